//! `ctxbench report`.

use std::process::ExitCode;

use crate::cli::ReportArgs;

/// Runs the command.
pub fn run(_args: ReportArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("'report' is not written yet")
}
