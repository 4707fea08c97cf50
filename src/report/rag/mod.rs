//! What a document of `ctxbench rag` has beyond one of `ctxbench run`: sections, formatted once for every format.
//!
//! A document comes in; sentences, tables and cards go out. Not here: markup, charts, judging.

pub mod headline;
pub mod pairs;
pub mod retrieval;
pub mod router;
pub mod stages;
pub mod verdicts;

use super::card;
use super::document::{Case, Document};
use super::experiment::Experiment;
use super::longest;
use super::one_line;
use super::table::Grid;
use crate::sample::Sample;

/// Stands in a table where there is nothing to measure, unlike a value that is missing.
pub const NONE: &str = "-";

/// A heading, how to read what is below it, a table, and sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// A few words.
    pub heading: &'static str,
    /// A sentence.
    pub hint: String,
    /// `None` where sentences are enough.
    pub grid: Option<Grid>,
    /// One sentence each.
    pub lines: Vec<String>,
}

/// Whether this is a document of `ctxbench rag`.
pub fn is_experiment(document: &Document) -> bool {
    document.experiment != Experiment::default()
}

/// All sections behind the verdicts, in the order shown; none for a document of `ctxbench run`.
pub fn sections(document: &Document) -> Vec<Section> {
    let all = [
        pairs::section(document),
        retrieval::section(document),
        stages::section(document),
        retrieval::by_size(document),
        router::section(document),
        router::answers(document),
    ];
    all.into_iter().flatten().collect()
}

/// Sections behind the results that a document of either command may have: the card, and the longest context.
pub(super) fn behind_results(document: &Document) -> Vec<Section> {
    [card::section(document), longest::section(document)].into_iter().flatten().collect()
}

/// Complete samples of a case.
fn complete(case: &Case) -> impl Iterator<Item = &Sample> {
    case.samples.iter().filter(|sample| sample.is_complete())
}

/// An arm in words that need no knowledge of this program.
pub fn arm_name(scenario: &str) -> String {
    let known = [
        ("short", "Question alone"),
        ("padded", "Long prompt, no retrieval"),
        ("rag", "RAG"),
        ("rag_warm_prefix", "RAG, static prefix cached"),
        ("rag_warm_document", "RAG, prefix and first document cached"),
        ("hybrid", "Hybrid with a router"),
    ];
    known
        .iter()
        .find(|(key, _)| *key == scenario)
        .map_or_else(|| one_line(scenario), |(_, name)| (*name).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::html::Html;
    use crate::report::json::Json;
    use crate::report::markdown::Markdown;
    use crate::report::terminal::Terminal;
    use crate::report::{Exporter, fixture};

    #[test]
    fn a_run_without_an_experiment_has_none_of_it() {
        assert!(sections(&fixture::document()).is_empty() && !is_experiment(&fixture::document()));
    }

    #[test]
    fn parts_that_were_not_measured_have_no_section_and_break_nothing() {
        let mut document = fixture::experiment();
        document.cases.clear();
        document.experiment = Experiment { verdicts: document.experiment.verdicts, ..Experiment::default() };
        assert!(sections(&document).is_empty());
        let exporters: [&dyn Exporter; 4] = [&Html, &Json, &Markdown, &Terminal::default()];
        for exporter in exporters {
            assert!(!fixture::render(exporter, &document).is_empty(), "{}", exporter.name());
        }
    }
}
