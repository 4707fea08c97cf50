//! What a document of `ctxbench rag` has beyond one of `ctxbench run`: sections, formatted once for every format.
//!
//! A document comes in; sentences, tables and cards go out. Not here: markup, charts, judging.

pub mod headline;
pub mod pairs;
pub mod retrieval;
pub mod router;
pub mod stages;
pub mod verdicts;

use super::document::{Case, Document};
use super::experiment::Experiment;
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
