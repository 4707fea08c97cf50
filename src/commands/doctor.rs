//! `ctxbench doctor`.

use std::process::ExitCode;

use crate::cli::DoctorArgs;

/// Runs the command.
pub fn run(_args: DoctorArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("'doctor' is not written yet")
}
