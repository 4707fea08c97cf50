//! `ctxbench fetch`.

use std::process::ExitCode;

use crate::cli::FetchArgs;

/// Runs the command.
pub fn run(_args: FetchArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("'fetch' is not written yet")
}
