//! The HTTP interface as programs meet it: what it announces, what it refuses, and in which words.

mod apis;
mod clients;
mod cors;
mod documentation;
mod management;
mod metadata;
mod organizations;
mod users;
