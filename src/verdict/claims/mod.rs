//! Claims of the article, held against what was measured.
//!
//! Comes in: [`Evidence`], plain numbers. Goes out: one [`Verdict`] per claim. The rules are data
//! (`claims.toml`, dated, written before any run). Not here: how the numbers were taken.
//!
//! | file | claims |
//! |---|---|
//! | `speed` | H6, H8a: what RAG adds to the first token and to each further one |
//! | `gap` | H6a, H6b: what that is made of, and what caching takes off it |
//! | `corpus` | H7, H9: size of the corpus, and searches against promised TTFTs |
//! | `answers` | H5: answers without retrieval against those with it |
//! | `hybrid` | H11: a router's mix against plain RAG |

mod answers;
mod corpus;
mod decide;
mod gap;
mod hybrid;
pub mod judge;
pub mod rules;
mod speed;
#[cfg(test)]
mod testing;

pub use judge::judge;
pub use rules::Rules;

use serde::{Deserialize, Serialize};

/// What was found for one claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// `H6` and the like.
    pub id: String,
    /// The claim, in the article's sense.
    pub claim: String,
    /// What the measurement says.
    pub status: Outcome,
    /// The number that decides; `None` where it could not be had.
    pub value: Option<f64>,
    /// Lower end of its interval.
    pub ci_low: Option<f64>,
    /// Upper end.
    pub ci_high: Option<f64>,
    /// What the number is, with its unit.
    pub measure: String,
    /// The rule, with its margin.
    pub rule: String,
    /// Why it came out so, in plain words; starts with `inconclusive` where the interval straddles the margin.
    pub reason: String,
}

/// The three answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The whole interval lies on the claim's side of the margin.
    Supported,
    /// The whole interval lies on the other side.
    NotSupported,
    /// Anything else.
    NotTestable,
}

/// What the claims are held against. Times in ms; a value that was not measured is `None` or absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// One per block: the same question through every arm.
    pub blocks: Vec<QuestionBlock>,
    /// Per block: TTFT of the short prompt by corpus size.
    pub short_by_size: Vec<Vec<SizePoint>>,
    /// Embed + search of each request of retrieval alone.
    pub embed_search_ms: Vec<f64>,
    /// Hybrid requests that were routed to retrieval.
    pub routed: Vec<Request>,
    /// Hybrid requests that were not.
    pub unrouted: Vec<Request>,
    /// Plain RAG requests.
    pub rag: Vec<Request>,
    /// Share of questions that the hybrid routed, or would by its labels.
    pub routed_share: Option<f64>,
    /// Closed-book answers.
    pub closed_book: Option<Score>,
    /// Answers with retrieval.
    pub rag_answers: Option<Score>,
    /// Answers of the hybrid.
    pub hybrid_answers: Option<Score>,
    /// Whether the embedder's vectors say nothing of meaning.
    pub stand_in_embedder: bool,
    /// Whether the generator's weights are random.
    pub random_weights: bool,
    /// Whether a tuned adapter was merged; without it base weights stand in for the tuned model.
    pub adapter: bool,
    /// Whether the router's decisions were forced.
    pub forced_routing: bool,
}

/// One question through the arms of one block.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QuestionBlock {
    /// Question in hand to first id, the question alone.
    pub short_ttft_ms: Option<f64>,
    /// The same for a prompt as long as the RAG prompt, without retrieval.
    pub padded_ttft_ms: Option<f64>,
    /// The whole pipeline.
    pub rag_ttft_ms: Option<f64>,
    /// The pipeline with the static prefix cached.
    pub warm_prefix_ttft_ms: Option<f64>,
    /// The pipeline with system text and first document cached.
    pub warm_document_ttft_ms: Option<f64>,
    /// Time per output token after the short prompt.
    pub short_tpot_ms: Option<f64>,
    /// Time per output token after the RAG prompt.
    pub rag_tpot_ms: Option<f64>,
}

/// TTFT of the short prompt beside an index of so many chunks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SizePoint {
    /// Chunks in the index.
    pub chunks: u64,
    /// TTFT of the short prompt.
    pub ttft_ms: f64,
}

/// One request, for mixes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Request {
    /// Question in hand to first id.
    pub ttft_ms: f64,
    /// Question in hand to last id: the time that the box is busy with it.
    pub busy_ms: f64,
    /// Tokens that were prefilled.
    pub prompt_tokens: u32,
}

/// Answers that were right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Right ones.
    pub correct: u32,
    /// All.
    pub n: u32,
}
