//! `ctxbench verify`.

use std::process::ExitCode;

use crate::cli::VerifyArgs;

/// Runs the command.
pub fn run(_args: VerifyArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("'verify' is not written yet")
}
