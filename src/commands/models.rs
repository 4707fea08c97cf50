//! `ctxbench models`.

use std::process::ExitCode;

use crate::cli::ModelsArgs;

/// Runs the command.
pub fn run(_args: ModelsArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("'models' is not written yet")
}
