//! Parse, call, print the error chain once, and say how it went by the exit code.

use std::process::ExitCode;

use clap::Parser;
use ctxbench::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    ctxbench::commands::logging(&cli);
    match ctxbench::commands::dispatch(cli.command) {
        Ok(code) => code,
        Err(error) if ctxbench::commands::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
