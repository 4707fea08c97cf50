//! `ctxbench compare`.

use std::process::ExitCode;

use crate::cli::CompareArgs;

/// Runs the command.
pub fn run(_args: CompareArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("'compare' is not written yet")
}
