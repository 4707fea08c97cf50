//! The longest context that ran, as a table for every format that shows one.

use super::NOT_AVAILABLE;
use super::document::{Document, LongestRecord};
use super::one_line;
use super::rag::Section;
use super::table::{Column, Grid, number, number_or_missing, text};
use crate::units::{bytes, thousands};

const HEADING: &str = "The longest context that ran";

const HINT: &str = "Each length tried was one prefill of so many tokens and one decode step. Lengths are powers of two, the \
                    midpoints between them, and the most that should fit, which is tried first.";

const COLUMNS: &[Column<LongestRecord>] = &[
    text("Model", 0, |found| one_line(&found.model)),
    text("Weights", 0, |found| one_line(&found.quantization)),
    text("Device", 2, |found| one_line(&found.device)),
    number("Longest", "tokens", 0, |found| {
        found.tokens.map_or(NOT_AVAILABLE.into(), |tokens| thousands(tokens.into()))
    }),
    number("Memory", "in use", 0, |found| found.memory_bytes.map_or(NOT_AVAILABLE.into(), bytes)),
    number("Memory", "bytes/token", 3, |found| number_or_missing(bytes_per_token(found))),
    text("Stopped by", 1, |found| found.stopped_by.words().into()),
    number("Tried", "", 4, |found| found.attempts.len().to_string()),
];

/// Memory in use at the longest length over its tokens, weights and all.
fn bytes_per_token(found: &LongestRecord) -> Option<f64> {
    Some(found.memory_bytes? as f64 / f64::from(found.tokens?))
}

/// One row an arm, and a sentence for each length that failed; `None` where none was looked for.
pub(super) fn section(document: &Document) -> Option<Section> {
    let found = &document.longest_contexts;
    if found.is_empty() {
        return None;
    }
    let rows = found.iter().map(|record| COLUMNS.iter().map(|column| (column.cell)(record)).collect());
    let grid = Some(Grid::new(COLUMNS, rows.collect()));
    let lines = found.iter().flat_map(failures).collect();
    Some(Section { heading: HEADING, hint: HINT.into(), grid, lines })
}

fn failures(found: &LongestRecord) -> impl Iterator<Item = String> {
    found.attempts.iter().filter_map(|attempt| {
        let (model, weights) = (one_line(&found.model), one_line(&found.quantization));
        let tokens = thousands(attempt.tokens.into());
        Some(format!("{model}/{weights} at {tokens} tokens: {}", one_line(attempt.error.as_ref()?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Exporter;
    use crate::report::fixture;
    use crate::report::html::Html;
    use crate::report::markdown::Markdown;
    use crate::report::terminal::Terminal;
    use crate::sample::longest::{Attempt, StoppedBy};

    fn document() -> Document {
        let attempt = |tokens, error: Option<&str>| Attempt {
            tokens,
            memory_bytes: error.is_none().then_some(6 << 30),
            error: error.map(Into::into),
        };
        let record = LongestRecord {
            model: "m".into(),
            quantization: "q8_0".into(),
            device: "cuda:0".into(),
            tokens: Some(24_576),
            memory_bytes: Some(6 << 30),
            stopped_by: StoppedBy::OutOfMemory,
            attempts: vec![attempt(40_000, Some("CUDA_ERROR_OUT_OF_MEMORY")), attempt(24_576, None)],
        };
        Document { longest_contexts: vec![record], ..fixture::document() }
    }

    #[test]
    fn every_format_shows_what_was_found_and_what_failed() {
        let exporters: [&dyn Exporter; 3] = [&Html, &Markdown, &Terminal::default()];
        for exporter in exporters {
            let text = fixture::render(exporter, &document());
            for part in [HEADING, "24,576", "6.00 GiB", "out of memory beyond it", "40,000"] {
                assert!(text.contains(part), "'{part}' is not in {}", exporter.name());
            }
            assert!(!fixture::render(exporter, &fixture::document()).contains(HEADING));
        }
    }

    #[test]
    fn where_nothing_ran_there_is_no_number() {
        let mut document = document();
        (document.longest_contexts[0].tokens, document.longest_contexts[0].memory_bytes) = (None, None);
        let grid = section(&document).and_then(|section| section.grid).unwrap();
        assert_eq!(grid.rows[0][3..6], ["n/a", "n/a", "n/a"].map(String::from));
    }
}
