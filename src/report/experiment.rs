//! What `ctxbench rag` adds to a document: retrieval, paired differences, the router, answers, verdicts.
//!
//! Part of the contract of [`super::document`]. Absent from the reports of `ctxbench run`.

use serde::{Deserialize, Serialize};

use super::document::LeftOut;
use crate::stats::estimate::Estimate;
use crate::stats::paired::Paired;
use crate::verdict::claims::rules::Later;
use crate::verdict::claims::{Evidence, Rules, Verdict, judge};

/// Everything that the experiment adds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// The pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrieval: Option<RetrievalRecord>,
    /// Paired differences between arms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<Pair>,
    /// The hybrid's router, where the hybrid ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<RouterRecord>,
    /// Scores of answers, one per arm; empty where weights are random.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<AnswerRecord>,
    /// One per claim, those that were not testable included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<Verdict>,
    /// When the rules of the verdicts were written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules_date: Option<String>,
    /// Claims that this program cannot test yet, and what it would take.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_tested: Vec<LeftOut>,
}

impl Experiment {
    /// Adds the verdicts of `rules` on the evidence, and the claims that they leave for later.
    pub fn with_verdicts(self, evidence: &Evidence, rules: &Rules) -> Self {
        let later = |later: &Later| LeftOut {
            what: format!("{} {}", later.id, later.claim),
            why: format!("needs {}", later.needs),
        };
        Self {
            verdicts: judge(evidence, rules),
            rules_date: Some(rules.date.clone()),
            not_tested: rules.later.iter().map(later).collect(),
            ..self
        }
    }
}

/// The retrieval pipeline, and what was measured of it alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RetrievalRecord {
    /// Catalog id, or `stand-in`.
    pub embedder: String,
    /// Whether its vectors say nothing of meaning.
    pub stand_in_embedder: bool,
    /// Model that put the hits into a better order.
    pub reranker: Option<String>,
    /// `embedded`, `pgvector` or `pinecone`.
    pub store: String,
    /// Documents of the corpus.
    pub documents: u64,
    /// Chunks in the index.
    pub chunks: u64,
    /// Of these, chunks whose vectors are seeded perturbations of others' instead of embeddings.
    pub perturbed_vectors: u64,
    /// Numbers in a vector.
    pub dimensions: u32,
    /// Longest chunk, in tokens of the generating model.
    pub chunk_tokens: u32,
    /// Tokens that neighbouring chunks share at most.
    pub chunk_overlap: u32,
    /// Hits per question.
    pub top_k: u32,
    /// Time to embed and index all chunks; `None` if the index was there already.
    pub index_build_ms: Option<f64>,
    /// Whether an index of an earlier run was used.
    pub index_reused: bool,
    /// Bytes that the index takes.
    pub index_bytes: Option<u64>,
    /// Share of the 10 nearest by exact search that the store's search found.
    pub recall_at_10: Option<f64>,
    /// Share of the questions whose gold passage is among the hits; `None` without gold answers.
    pub gold_in_hits: Option<f64>,
    /// Tokens embedded per second in batches, while the index was built.
    pub embed_tokens_per_s: Option<f64>,
    /// Requests of retrieval alone, without a model that answers.
    pub alone: Option<RetrievalAlone>,
    /// The same question against corpora of other sizes.
    pub by_size: Vec<AtCorpusSize>,
}

/// Requests of retrieval alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RetrievalAlone {
    /// Question to vector.
    pub embed_ms: Option<Estimate>,
    /// Vector to hits.
    pub search_ms: Option<Estimate>,
    /// Both together: question in hand to hits.
    pub embed_search_ms: Option<Estimate>,
    /// Percentiles of `embed_search_ms`; `None` where the count does not support one.
    pub p50_ms: Option<f64>,
    /// 95th.
    pub p95_ms: Option<f64>,
    /// 99th.
    pub p99_ms: Option<f64>,
    /// 95 % interval of the 99th percentile.
    pub p99_ci: Option<[f64; 2]>,
}

/// One corpus size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AtCorpusSize {
    /// Chunks in the index.
    pub chunks: u64,
    /// TTFT of the short prompt while this index was the one in use.
    pub short_ttft_ms: Option<Estimate>,
    /// Vector to hits in it.
    pub search_ms: Option<Estimate>,
}

/// A paired difference between two arms, over the same questions in the same blocks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The arm that is looked at.
    pub a: String,
    /// The arm it is held against.
    pub b: String,
    /// `rag_ttft_ms`, `ttft_ms`, `prefill_ms` or `tpot_ms`.
    pub metric: String,
    /// What the difference is called, e.g. `context tax`.
    pub name: Option<String>,
    /// Length that was asked for where the experiment has several.
    pub context_tokens: Option<u32>,
    /// a − b, in ms.
    pub difference: Option<Paired>,
    /// a / b.
    pub ratio: Option<Paired>,
}

/// How the hybrid decided, and what a mix of routed and unrouted questions takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouterRecord {
    /// `tool_call`, `similarity` or `forced`.
    pub kind: String,
    /// Share of the routed questions that needed the handbook; `None` where routing was forced.
    pub precision: Option<f64>,
    /// Share of the questions that needed the handbook that were routed.
    pub recall: Option<f64>,
    /// Cosine from which the similarity router retrieves, fitted on a held-out half.
    pub threshold: Option<f64>,
    /// Tool calls that could not be read, and were taken for answers.
    pub malformed_calls: u32,
    /// Questions that precision and recall rest on.
    pub judged: u32,
    /// Routed and unrouted samples that the mixes are drawn from.
    pub routed_samples: u32,
    /// Unrouted ones.
    pub unrouted_samples: u32,
    /// The mix at shares r of routed questions.
    pub mix: Vec<Mix>,
    /// Where the mix crosses plain RAG.
    pub crossings: Vec<Crossing>,
}

/// A mix of which the share `r` is routed to retrieval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mix {
    /// Share of routed questions.
    pub r: f64,
    /// Mean TTFT, pipeline included.
    pub ttft_ms_mean: Option<f64>,
    /// Median of resampled samples.
    pub ttft_ms_p50: Option<f64>,
    /// 95th percentile; `None` below the counts that support one.
    pub ttft_ms_p95: Option<f64>,
    /// Tokens that are prefilled per question, on average.
    pub prompt_tokens_mean: Option<f64>,
    /// Seconds of this box per 1,000 questions, one after the other: what a cost is made of.
    pub box_seconds_per_1k: Option<f64>,
}

/// The share of routed questions at which the mix and plain RAG are equal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Crossing {
    /// Key of [`Mix`].
    pub metric: String,
    /// Value of plain RAG.
    pub plain_rag: f64,
    /// The share; `None` if the mix stays on one side.
    pub r: Option<f64>,
    /// Whether the mix is below plain RAG at r = 0.
    pub below_at_zero: bool,
}

/// Answers of one arm held against the gold answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AnswerRecord {
    /// The arm: `short` is closed-book.
    pub scenario: String,
    /// Questions that were scored.
    pub n: u32,
    /// Answers that are the gold answer, after normalisation.
    pub exact: u32,
    /// Answers that contain an accepted wording, after normalisation.
    pub correct: u32,
    /// `correct` / `n` with its 95 % interval (Wilson).
    pub accuracy: Option<f64>,
    /// Lower end.
    pub ci_low: Option<f64>,
    /// Upper end.
    pub ci_high: Option<f64>,
}
