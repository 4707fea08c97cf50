//! The paired differences as a table.

use super::super::document::Document;
use super::super::experiment::Pair;
use super::super::table::{Column, Grid, number, text};
use super::super::{NOT_AVAILABLE, one_line};
use super::Section;
use crate::stats::paired::Paired;
use crate::units::{significant, thousands};

const COLUMNS: &[Column<Pair>] = &[
    text("What", 0, what),
    number("Context", "tokens", 0, |pair| {
        pair.context_tokens.map_or(NOT_AVAILABLE.into(), |n| thousands(n.into()))
    }),
    number("n", "pairs", 0, |pair| pair.difference.map_or(NOT_AVAILABLE.into(), |p| p.n.to_string())),
    number("Difference", "ms", 0, |pair| middle(pair.difference)),
    number("Interval", "ms", 0, |pair| interval(pair.difference)),
    number("Ratio", "a / b", 3, |pair| middle(pair.ratio)),
    number("Interval", "a / b", 4, |pair| interval(pair.ratio)),
    text("Metric", 1, |pair| one_line(&pair.metric)),
    text("Arms", 2, |pair| one_line(&format!("{} - {}", pair.a, pair.b))),
];

/// Pairs in the order in which they are told: what RAG adds, what that is made of, what takes some of it off.
pub fn in_order(document: &Document) -> Vec<&Pair> {
    let order = [
        ("rag", "short"),
        ("padded", "short"),
        ("rag", "padded"),
        ("rag_warm_prefix", "rag"),
        ("rag_warm_document", "rag"),
        ("hybrid", "rag"),
        ("hybrid", "short"),
    ];
    let metrics = ["rag_ttft_ms", "ttft_ms", "prefill_ms", "tpot_ms"];
    let place = |pair: &&Pair| {
        let metric = metrics.iter().position(|metric| *metric == pair.metric).unwrap_or(metrics.len());
        let arms = order.iter().position(|(a, b)| *a == pair.a && *b == pair.b).unwrap_or(order.len());
        (metric, pair.context_tokens, arms)
    };
    let mut pairs: Vec<&Pair> = document.experiment.pairs.iter().collect();
    pairs.sort_by_key(place);
    pairs
}

/// The table of all pairs; `None` where none was measured.
pub fn section(document: &Document) -> Option<Section> {
    let pairs: Vec<Pair> = in_order(document).into_iter().cloned().collect();
    (!pairs.is_empty()).then(|| Section {
        heading: "Paired differences",
        hint: "The same question through both arms, in the same block: each question is its own yardstick. \
               Differences are Hodges-Lehmann estimates; intervals hold the truth in 95 % of cases, or in the share \
               named beside them."
            .into(),
        grid: Some(Grid::of(COLUMNS, &pairs)),
        lines: Vec::new(),
    })
}

/// What a pair shows, in plain words.
pub fn what(pair: &Pair) -> String {
    let words = match (pair.a.as_str(), pair.b.as_str(), pair.metric.as_str()) {
        ("rag", "short", "rag_ttft_ms") => "What RAG adds to the first token",
        ("padded", "short", "rag_ttft_ms") => "Context tax: the long prompt",
        ("rag", "padded", "rag_ttft_ms") => "Retrieval tax: embed, search, fetch, assemble",
        ("rag_warm_prefix", "rag", "rag_ttft_ms") => "Static prefix cached",
        ("rag_warm_document", "rag", "rag_ttft_ms") => "Prefix and first document cached",
        ("hybrid", "rag", "rag_ttft_ms") => "Router instead of always retrieving",
        ("hybrid", "short", "rag_ttft_ms") => "Router instead of never retrieving",
        ("rag", "short", "prefill_ms") => "Prefill alone, RAG against short",
        ("rag", "padded", "prefill_ms") => "Prefill alone, RAG against padded",
        ("rag", "short", "tpot_ms") => "Each further output token",
        _ => {
            return pair
                .name
                .as_deref()
                .map_or_else(|| one_line(&format!("{} - {}", pair.a, pair.b)), one_line);
        }
    };
    words.into()
}

fn middle(p: Option<Paired>) -> String {
    p.filter(|p| p.median.is_finite()).map_or(NOT_AVAILABLE.into(), |p| significant(p.median))
}

fn interval(p: Option<Paired>) -> String {
    match p {
        Some(Paired { ci_low: Some(low), ci_high: Some(high), ci_level, .. }) => {
            let level = ci_level.filter(|level| *level < 0.949).map(super::super::headline::percent);
            let level = level.map_or(String::new(), |level| format!(" {level}"));
            format!("[{}, {}]{level}", significant(low), significant(high))
        }
        Some(p) => format!("{NOT_AVAILABLE}, n = {}", p.n),
        None => NOT_AVAILABLE.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_that_is_missing_or_narrower_than_95_percent_says_so() {
        let two = Paired { n: 2, median: 1.0, ..Paired::default() };
        assert_eq!(interval(Some(two)), "n/a, n = 2");
        assert_eq!(interval(None), "n/a");
        let three = Paired { ci_low: Some(-1.0), ci_high: Some(2.0), ci_level: Some(0.75), ..two };
        assert_eq!(interval(Some(three)), "[-1.00, 2.00] 75 %");
    }

    #[test]
    fn a_pair_without_words_of_its_own_is_named_by_its_arms() {
        let pair = Pair { a: "x".into(), b: "y\u{1b}".into(), ..Pair::default() };
        assert_eq!(what(&pair), "x - y");
    }
}
