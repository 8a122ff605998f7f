//! What each verb does. All are repeatable; they print JSON on standard output, and end with 0, 75 (try again) or 1.

mod arenas;
pub mod arrive;
pub mod customer;
pub mod demo;
mod hand;
mod hold;
pub mod key;
mod logging;
pub mod openapi;
pub mod progress;
pub mod serve;
pub mod status;
pub mod worker;

use std::process::ExitCode;

use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

use crate::cli::{ConfigArgs, Verb};
use crate::config::{self, Config};
use crate::node;

/// The exit code of what may go well the next time.
const TRY_AGAIN: u8 = 75;

/// A failure that trying again may mend.
#[derive(Debug, thiserror::Error)]
#[error("{0}; try again")]
pub struct Transient(pub String);

/// Runs a verb in a runtime and turns its end into an exit code.
pub fn run(verb: Verb) -> ExitCode {
    if matches!(verb, Verb::Demo(_) | Verb::Serve(_)) {
        arenas::few();
    }
    match start(verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("lakefront: {}", node::words(error));
    if let Some(unwell) = error.downcast_ref::<status::Unwell>() {
        return unwell.code();
    }
    let again = error.is::<Transient>() || error.is::<hold::InUse>() || node::is_transient(error);
    if again { ExitCode::from(TRY_AGAIN) } else { ExitCode::FAILURE }
}

fn start(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Demo(args) => demo::run(args),
        Verb::Serve(args) => serve::run(args),
        Verb::Migrate(args) => serve::migrate(&read(&args)?),
        Verb::Check(args) => serve::check(&read(&args)?),
        Verb::Run(args) => arrive::run(&read(&args.config)?, &args.name, args.r#for, args.idempotency_key),
        Verb::Backfill(args) => {
            arrive::backfill(&read(&args.config)?, &args.source, (args.from, args.to), args.again)
        }
        Verb::Rebuild(args) => arrive::rebuild(&read(&args.config)?, args.from.is_some()),
        Verb::Status(args) => status::run(&read(&args)?),
        Verb::Customer(verb) => customer::run(verb),
        Verb::Key(verb) => key::run(verb),
        Verb::Worker | Verb::Openapi => Ok(()),
    }
}

/// Reads the configuration and starts the log.
fn read(args: &ConfigArgs) -> anyhow::Result<Config> {
    let config = config::load("", args.config.as_deref())?;
    start_log(&config);
    Ok(config)
}

/// Starts the log, and says in it which variables look like settings and are none.
fn start_log(config: &Config) {
    logging::start(&config.log);
    for variable in config::strangers() {
        tracing::warn!(variable, "the variable is ignored: settings are called LAKEFRONT__SECTION__KEY");
    }
}

/// The runtime of HTTP, or of a verb's one task.
fn runtime(threads: usize) -> std::io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.thread_name("http").enable_all().build()
}

/// One line of JSON on standard output.
#[expect(clippy::print_stdout, reason = "the answer of a verb")]
fn print(body: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(body)?);
    Ok(())
}
