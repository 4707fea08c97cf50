//! `ctxbench report`: an old result again, in any format, on stdout.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use crate::cli::{Format, ReportArgs};
use crate::report::Exporter;
use crate::report::csv::Csv;
use crate::report::document::Document;
use crate::report::html::Html;
use crate::report::json::Json;
use crate::report::markdown::Markdown;
use crate::report::terminal::{STANDARD_WIDTH, Terminal};

/// Runs the command.
pub fn run(args: ReportArgs) -> anyhow::Result<ExitCode> {
    let document = Document::read(&args.file)?;
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
