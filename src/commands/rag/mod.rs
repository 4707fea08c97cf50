//! `ctxbench rag`: from what was typed to a report with verdicts. Wiring: each step is another room's.

mod config;

use std::process::ExitCode;

use crate::cli::RagArgs;

/// Runs the command.
pub fn run(_args: RagArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
