//! The HTTP interface as programs meet it: what it announces, what it refuses, and in which words.

mod management;
mod metadata;
