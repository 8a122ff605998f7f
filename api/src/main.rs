//! The one binary: gateway, worker process and operator's tool in one. Each verb is a file in `verbs/`; this is where
//! a verb is chosen and its runtime is made.
//!
//! ```text
//! lakefront serve|demo ─▶ node: database, lake, catalog, workers, engine, ingest ─▶ router ─▶ front ─▶ listener
//! lakefront worker     ─▶ worker::serve (no runtime and no thread before its walls stand)
//! lakefront <other>    ─▶ one task over the same rooms, JSON on stdout
//! ```

mod caching;
mod cli;
mod config;
mod document;
mod extract;
mod middleware;
mod node;
mod problem;
mod repeats;
mod router;
mod routes;
mod state;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Verb};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.verb {
        Verb::Worker => verbs::worker::run(),
        Verb::Openapi => verbs::openapi::run(),
        verb => verbs::run(verb),
    }
}
