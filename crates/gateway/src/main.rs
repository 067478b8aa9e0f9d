//! The binary `firsthand`: configuration, wiring, serving, the command line, the demo.
//!
//! Read first: `cli.rs` (the commands), `assemble.rs` (how a gateway is put together), `serve.rs` (how it runs and ends).

mod admin;
mod admin_client;
mod agreement;
mod analyst;
mod api;
mod assemble;
mod ca;
mod certificates;
mod channels;
mod cli;
mod config;
mod contain;
mod day;
mod demo;
mod desk;
mod evidence;
mod failure;
mod fetch;

mod follow;
mod grants;
mod http;
mod listen;
mod log_keys;
mod logging;
mod metrics;
mod own_roles;
mod place;
mod reading;
mod remote;
mod rules;
mod serve;
mod shelf;
mod show;
mod signer;
mod tlog;
mod warnings;
mod web;
mod weigh;
mod who;
mod witness;
mod witnesses;

use std::process::ExitCode;

/// The version of this build.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    // One cryptographic provider for the process; an error would mean that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    cli::main()
}
