//! The result table, formatted once for every format that shows one: a case in, a row of text out.

use super::NOT_AVAILABLE;
use super::document::{Case, Document};
use super::headline::percent as percent_of;
use super::one_line;
use super::rag::is_experiment;
use crate::stats::estimate::Estimate;
use crate::units::{bytes, significant, thousands};
use crate::verdict::validity::Status;

/// One column, and how its cell is made of whatever the table has a row for.
#[derive(Debug)]
pub struct Column<R> {
    /// First line of the header.
    pub name: &'static str,
    /// Second line of the header; empty where there is no unit.
    pub unit: &'static str,
    /// Whether its cells are aligned to the right.
    pub numeric: bool,
    /// Where room is short the highest rank goes first; rank 0 stays.
    pub rank: u8,
    /// The cell's text.
    pub cell: fn(&R) -> String,
}

/// A table as every format takes it: heads, and cells of text in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grid {
    /// One per cell of a row.
    pub heads: Vec<Head>,
    /// The cells.
    pub rows: Vec<Vec<String>>,
    /// Leading cells that rows of one band have in common; 0 where there are no bands.
    pub band_cells: usize,
}

/// The head of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// First line.
    pub name: &'static str,
    /// Second line; empty where there is no unit.
    pub unit: &'static str,
    /// Whether its cells are aligned to the right.
    pub numeric: bool,
    /// Where room is short the highest rank goes first; rank 0 stays.
    pub rank: u8,
}

impl Grid {
    /// A table whose rows are banded by model and weight type, the first two cells.
    pub fn new<R>(columns: &[Column<R>], rows: Vec<Vec<String>>) -> Self {
        let head = |c: &Column<R>| Head { name: c.name, unit: c.unit, numeric: c.numeric, rank: c.rank };
        Self { heads: columns.iter().map(head).collect(), rows, band_cells: 2 }
    }

    /// One row per entry, without bands.
    pub fn of<R>(columns: &[Column<R>], entries: &[R]) -> Self {
        let row = |entry: &R| columns.iter().map(|column| (column.cell)(entry)).collect();
        Self { band_cells: 0, ..Self::new(columns, entries.iter().map(row).collect()) }
    }

    /// Without the columns whose cells are all `empty`.
    pub fn without_columns_of(mut self, empty: &str) -> Self {
        let used: Vec<bool> =
            (0..self.heads.len()).map(|at| self.rows.iter().any(|row| row[at] != empty)).collect();
        let mut at = 0..;
        self.heads.retain(|_| at.next().is_some_and(|at| used[at]));
        for row in &mut self.rows {
            let mut at = 0..;
            row.retain(|_| at.next().is_some_and(|at| used[at]));
        }
        self
    }
}

/// One case, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// [`Case::id`].
    pub id: String,
    /// Its stamp.
    pub status: Status,
    /// One per column of [`COLUMNS`].
    pub cells: Vec<String>,
}

/// How to read the table, in a sentence.
pub const HINT: &str = "Medians of the complete samples. Intervals hold the true median in 95 % of cases, \
                        or in the share named beside them where samples are few.";

/// All columns, in the order shown.
pub const COLUMNS: &[Column<Case>] = &[
    text("Model", 0, |case| one_line(&case.model)),
    text("Weights", 0, |case| one_line(&case.quantization)),
    text("Scenario", 0, |case| one_line(&case.scenario)),
    number("Context", "tokens", 0, |case| thousands(case.depth_tokens.unwrap_or(case.context_tokens).into())),
    number("n", "", 1, samples),
    number("TTFT", "ms", 0, |case| median(case.summary.ttft_ms)),
    number("Interval", "ms", 2, |case| interval(case.summary.ttft_ms)),
    number("Prefill", "ms", 5, |case| median(case.summary.prefill_ms)),
    number("Prefill", "tok/s", 0, |case| median(case.summary.prefill_tokens_per_s)),
    number("TPOT", "ms", 4, |case| median(case.summary.tpot_ms)),
    number("Decode", "tok/s", 0, |case| median(case.summary.decode_tokens_per_s)),
    number("MBU", "%", 6, |case| percent(case.summary.mbu)),
    number("MFU", "%", 7, |case| percent(case.summary.mfu)),
    number("Of limit", "prefill %", 8, |case| percent(case.summary.prefill_of_limit)),
    number("Memory", "peak", 3, |case| case.peak_memory_bytes.map_or(NOT_AVAILABLE.into(), bytes)),
    text("Stamp", 0, stamp),
];

/// The table: one row a case, in the order of the document.
pub fn rows(document: &Document) -> Vec<Row> {
    let experiment = is_experiment(document);
    let cell = |column: &Column<Case>, case: &Case| (column.cell)(case);
    let row = |case: &Case| {
        let shown = if experiment { from_the_question(case) } else { case.clone() };
        Row {
            id: one_line(&case.id),
            status: case.validity.status,
            cells: COLUMNS.iter().map(|column| cell(column, &shown)).collect(),
        }
    };
    document.cases.iter().map(row).collect()
}

/// The case with the TTFT that an experiment is about: the whole pipeline's.
fn from_the_question(case: &Case) -> Case {
    let mut shown = case.clone();
    shown.summary.ttft_ms = case.summary.rag_ttft_ms.or(case.summary.ttft_ms);
    shown
}

/// How to read the table.
pub fn hint(document: &Document) -> String {
    match is_experiment(document) {
        true => format!("{HINT} TTFT counts from the question in hand (rag_ttft_ms)."),
        false => HINT.into(),
    }
}

/// The table of results.
pub fn grid(document: &Document) -> Grid {
    Grid::new(COLUMNS, rows(document).into_iter().map(|row| row.cells).collect())
}

/// A stamp as it is printed.
pub fn status_name(status: Status) -> &'static str {
    match status {
        Status::Valid => "VALID",
        Status::Caveat => "CAVEAT",
        Status::Invalid => "INVALID",
    }
}

/// The median in three significant digits.
pub fn median(estimate: Option<Estimate>) -> String {
    number_or_missing(estimate.map(|e| e.median))
}

/// The interval of the median, with its level where that is not 95 %; or why there is none.
pub fn interval(estimate: Option<Estimate>) -> String {
    match estimate {
        Some(Estimate { ci_low: Some(low), ci_high: Some(high), ci_level, .. }) => {
            let level = ci_level.filter(|level| *level < 0.949).map(percent_of);
            let level = level.map_or(String::new(), |level| format!(" {level}"));
            format!("[{}, {}]{level}", number_or_missing(Some(low)), number_or_missing(Some(high)))
        }
        Some(estimate) if estimate.n < 3 => format!("{NOT_AVAILABLE}, n = {}", estimate.n),
        _ => NOT_AVAILABLE.into(),
    }
}

fn percent(estimate: Option<Estimate>) -> String {
    number_or_missing(estimate.map(|e| 100.0 * e.median))
}

/// Three significant digits, or that there is no number.
pub fn number_or_missing(value: Option<f64>) -> String {
    value.filter(|x| x.is_finite()).map_or(NOT_AVAILABLE.into(), significant)
}

/// Complete samples, and of how many if some failed.
fn samples(case: &Case) -> String {
    let complete = case.samples.iter().filter(|sample| sample.is_complete()).count();
    match case.samples.len() {
        total if total == complete => complete.to_string(),
        total => format!("{complete}/{total}"),
    }
}

fn stamp(case: &Case) -> String {
    if case.error.is_some() { "FAILED".into() } else { status_name(case.validity.status).into() }
}

/// A column of words, without a unit.
pub const fn text<R>(name: &'static str, rank: u8, cell: fn(&R) -> String) -> Column<R> {
    Column { name, unit: "", numeric: false, rank, cell }
}

/// A column of numbers.
pub const fn number<R>(
    name: &'static str,
    unit: &'static str,
    rank: u8,
    cell: fn(&R) -> String,
) -> Column<R> {
    Column { name, unit, numeric: true, rank, cell }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn cell(row: &Row, name: &str, unit: &str) -> String {
        let at = COLUMNS.iter().position(|c| c.name == name && c.unit == unit).unwrap();
        row.cells[at].clone()
    }

    #[test]
    fn a_failed_case_shows_no_number_at_all() {
        let document = fixture::document();
        let failed = document.cases.iter().position(|case| case.error.is_some()).unwrap();
        let row = &rows(&document)[failed];
        for (name, unit) in [("TTFT", "ms"), ("Prefill", "tok/s"), ("Decode", "tok/s"), ("MBU", "%")] {
            assert_eq!(cell(row, name, unit), "n/a");
        }
        assert_eq!(cell(row, "Stamp", ""), "FAILED");
    }

    #[test]
    fn one_output_token_has_a_ttft_and_no_rate() {
        let document = fixture::document();
        let at = document.cases.iter().position(|case| case.output_tokens == 1).unwrap();
        let row = &rows(&document)[at];
        assert_ne!(cell(row, "TTFT", "ms"), "n/a");
        assert_eq!((cell(row, "TPOT", "ms"), cell(row, "Decode", "tok/s")), ("n/a".into(), "n/a".into()));
    }

    #[test]
    fn an_interval_that_is_missing_says_why() {
        let two = Estimate {
            n: 2,
            median: 1.0,
            ci_low: None,
            ci_high: None,
            ci_level: None,
            mean: 1.0,
            sd: None,
            min: 1.0,
            max: 1.0,
        };
        assert_eq!(interval(Some(two)), "n/a, n = 2");
        assert_eq!(interval(None), "n/a");
        let three = Estimate { ci_low: Some(1.0), ci_high: Some(2.0), ci_level: Some(0.75), ..two };
        assert_eq!(interval(Some(three)), "[1.00, 2.00] 75 %");
        assert_eq!(interval(Some(Estimate { ci_level: Some(0.95), ..three })), "[1.00, 2.00]");
        assert_eq!(median(Some(Estimate { median: f64::NAN, ..two })), "n/a");
    }
}
