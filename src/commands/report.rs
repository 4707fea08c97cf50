//! `ctxbench report`: an old result again, in any format, on stdout.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::cli::{Format, ReportArgs};
use crate::report::Exporter;
use crate::report::csv::Csv;
use crate::report::document::{Document, SCHEMA_VERSION};
use crate::report::html::Html;
use crate::report::json::Json;
use crate::report::markdown::Markdown;
use crate::report::terminal::{STANDARD_WIDTH, Terminal};

/// Runs the command.
pub fn run(args: ReportArgs) -> anyhow::Result<ExitCode> {
    let document = read_document(&args.file)?;
    let mut out = BufWriter::new(io::stdout().lock());
    exporter(args.format).write(&document, &mut out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The renderer of a format; `terminal` is as wide as the terminal on stdout.
pub fn exporter(format: Format) -> Box<dyn Exporter> {
    match format {
        Format::Terminal => Box::new(Terminal { width: terminal_width() }),
        Format::Json => Box::new(Json),
        Format::Md => Box::new(Markdown),
        Format::Html => Box::new(Html),
        Format::Csv => Box::new(Csv),
    }
}

/// Columns of the terminal on stdout, or the standard width if there is none.
fn terminal_width() -> u16 {
    comfy_table::Table::new().width().filter(|width| *width >= 40).unwrap_or(STANDARD_WIDTH)
}

/// Reads a report.json, or the one in a folder.
fn read_document(path: &Path) -> anyhow::Result<Document> {
    let path = if path.is_dir() { path.join("report.json") } else { path.to_owned() };
    let text = fs::read_to_string(&path).with_context(|| {
        format!("could not read '{}'; give a report.json or the folder that holds one", path.display())
    })?;
    let document: Document = serde_json::from_str(&text)
        .with_context(|| format!("'{}' is not a report of this ctxbench", path.display()))?;
    anyhow::ensure!(
        document.schema_version == SCHEMA_VERSION,
        "'{}' has schema version {}, and this ctxbench reads {SCHEMA_VERSION}; use the version that wrote it",
        path.display(),
        document.schema_version
    );
    Ok(document)
}
