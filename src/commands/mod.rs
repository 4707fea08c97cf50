//! One file per command: wiring, no logic.
//!
//! Exit codes: 0 finished; 1 finished, but a run failed or a threshold was passed;
//! 2 could not run. A closed pipe on stdout is not an error.

use std::io;
use std::process::ExitCode;

use crate::cli::{Cli, Command};

pub mod bench;
pub mod compare;
pub mod completions;
pub mod doctor;
pub mod fetch;
pub mod models;
pub mod progress;
pub mod rag;
pub mod report;
pub mod run;
pub mod verify;

/// Runs what was asked for.
pub fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(*args),
        Command::Rag(args) => rag::run(*args),
        Command::Compare(args) => compare::run(args),
        Command::Report(args) => report::run(args),
        Command::Models(args) => models::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Bench(args) => bench::run(args),
    }
}

/// Sends `tracing` to stderr, as loud as `-v` and `-q` say; silent by default.
pub fn logging(cli: &Cli) {
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => tracing::Level::ERROR,
        (_, 0) => tracing::Level::WARN,
        (_, 1) => tracing::Level::INFO,
        _ => tracing::Level::DEBUG,
    };
    tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).without_time().init();
}

/// Whether stdout's reader went away, as `| head` does.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
