//! What users do, from the first click to the last webhook, over HTTP against the real server on both engines.

mod command_line;
mod install_an_app;
mod rotating_keys;
mod sign_in_through_an_app;
mod the_guides_sample_app;
mod two_nodes;
mod webhooks_through_jetstream;
