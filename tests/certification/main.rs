//! What the OpenID Foundation's conformance suite checks, module by module: Basic OP, Form Post OP, Config OP,
//! RP-Initiated Logout OP and Back-Channel Logout OP. Each test has its module's name, without the `oidcc-` in front.
//!
//! Left out are the modules that the suite itself skips for statically registered clients, and those about request
//! objects, which discovery says are not supported.

mod back_channel_logout_op;
mod basic_op;
mod config_op;
mod consent;
mod form_post_op;
mod modules;
mod op;
mod products;
mod rp_initiated_logout_op;
