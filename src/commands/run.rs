//! `ctxbench run`.

use std::process::ExitCode;

use crate::cli::RunArgs;

/// Runs the command.
pub fn run(_args: RunArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("'run' is not written yet")
}
