//! The retrieval pipeline in words, and what a larger corpus does to it.

use super::super::document::Document;
use super::super::experiment::{AtCorpusSize, RetrievalRecord};
use super::super::table::{Column, Grid, interval, median, number};
use super::super::{NOT_AVAILABLE, one_line};
use super::Section;
use crate::units::{bytes, significant, span, thousands};

/// The pipeline; `None` where nothing was retrieved.
pub fn section(document: &Document) -> Option<Section> {
    let r = document.experiment.retrieval.as_ref()?;
    let lines = [Some(pipeline(r)), Some(index(r)), Some(quality(r)), alone(r)];
    Some(Section {
        heading: "Retrieval",
        hint: "What was searched, how well, and how fast without a model that answers.".into(),
        grid: None,
        lines: lines.into_iter().flatten().collect(),
    })
}

fn pipeline(r: &RetrievalRecord) -> String {
    let stand_in = if r.stand_in_embedder { " (a stand-in: its vectors say nothing of meaning)" } else { "" };
    let reranker =
        r.reranker.as_deref().map_or(String::new(), |id| format!(", reranked by {}", one_line(id)));
    let perturbed = match r.perturbed_vectors {
        0 => String::new(),
        n => format!(", {} of them with made-up vectors near real ones", thousands(n as i64)),
    };
    format!(
        "{}{stand_in} makes vectors of {} numbers; store {} holds {} chunks{perturbed} of at most {} tokens from {} \
         documents; the {} nearest go into the prompt{reranker}.",
        one_line(&r.embedder),
        thousands(r.dimensions.into()),
        one_line(&r.store),
        thousands(r.chunks as i64),
        thousands(r.chunk_tokens.into()),
        thousands(r.documents as i64),
        r.top_k
    )
}

fn index(r: &RetrievalRecord) -> String {
    let built = match (r.index_build_ms, r.index_reused) {
        (_, true) => "was there from an earlier run with the same content".to_owned(),
        (Some(ms), _) => format!("took {} to embed and build", span(ms)),
        (None, false) => format!("time to build it: {NOT_AVAILABLE}"),
    };
    let size = r.index_bytes.map_or(NOT_AVAILABLE.into(), bytes);
    let speed = r
        .embed_tokens_per_s
        .map_or(String::new(), |s| format!("; chunks were embedded at {} tokens/s", significant(s)));
    format!("The index {built}, size {size}{speed}.")
}

fn quality(r: &RetrievalRecord) -> String {
    let percent =
        |share: Option<f64>| share.map_or(NOT_AVAILABLE.into(), |s| format!("{} %", significant(100.0 * s)));
    format!(
        "Of the 10 nearest chunks by exact search it finds {} (recall_at_10); the passage with the answer is among the \
         hits for {} of the questions.",
        percent(r.recall_at_10),
        percent(r.gold_in_hits)
    )
}

fn alone(r: &RetrievalRecord) -> Option<String> {
    let alone = r.alone.as_ref()?;
    let all = alone.embed_search_ms?;
    let time = |ms: Option<f64>| ms.map_or(NOT_AVAILABLE.into(), span);
    let ci = alone
        .p99_ci
        .map_or(String::new(), |[low, high]| format!(" (interval {} to {})", span(low), span(high)));
    Some(format!(
        "Embedding the question takes {}, searching {} in the median; both together p50 {}, p95 {}, p99 {}{ci}, n = {}.",
        time(alone.embed_ms.map(|e| e.median)),
        time(alone.search_ms.map(|e| e.median)),
        time(alone.p50_ms),
        time(alone.p95_ms),
        time(alone.p99_ms),
        thousands(all.n.into())
    ))
}

const SIZES: &[Column<AtCorpusSize>] = &[
    number("Corpus", "chunks", 0, |at| thousands(at.chunks as i64)),
    number("Search", "ms", 0, |at| median(at.search_ms)),
    number("Interval", "ms", 1, |at| interval(at.search_ms)),
    number("Question alone", "TTFT, ms", 0, |at| median(at.short_ttft_ms)),
    number("Interval", "TTFT, ms", 2, |at| interval(at.short_ttft_ms)),
];

/// The table of corpus sizes; `None` where there was one.
pub fn by_size(document: &Document) -> Option<Section> {
    let sizes = &document.experiment.retrieval.as_ref()?.by_size;
    (!sizes.is_empty()).then(|| Section {
        heading: "Larger corpora",
        hint:
            "Median search, and TTFT of the question alone while the index of that size was the one in use."
                .into(),
        grid: Some(Grid::of(SIZES, sizes)),
        lines: Vec::new(),
    })
}
