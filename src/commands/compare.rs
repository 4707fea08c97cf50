//! `ctxbench compare`: reports side by side, case by case.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::cli::{CompareArgs, TextFormat};
use crate::report::comparison::{ComparisonReport, NamedReport};
use crate::report::comparison_table;
use crate::report::document::Document;

/// Runs the command: exit code 1 if a case is shown to be slower by more than `--fail-above`.
///
/// With `--fail-above` and not one judged ratio the gate would pass unseen, so that is an error.
pub fn run(args: CompareArgs) -> anyhow::Result<ExitCode> {
    let reports = args.reports.iter().map(|path| read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let (baseline, candidates) = reports.split_first().context("name at least two reports to compare")?;
    let comparison = ComparisonReport::new(baseline, candidates, args.fail_above);
    let mut out = io::stdout().lock();
    match args.format {
        TextFormat::Terminal => comparison_table::write(&comparison, &mut out)?,
        TextFormat::Json => writeln!(out, "{}", serde_json::to_string_pretty(&comparison)?)?,
    }
    anyhow::ensure!(
        args.fail_above.is_none() || comparison.verdicts() > 0,
        "--fail-above could judge nothing: no case is in both reports with 3 complete samples or more; \
         measure the same cases again, e.g. with --runs 6"
    );
    Ok(if comparison.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(path: &Path) -> anyhow::Result<NamedReport> {
    Ok(NamedReport { name: path.display().to_string(), document: Document::read(path)? })
}
