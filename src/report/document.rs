//! The report as data: what `report.json` holds, and the only thing that any format is made from.
//!
//! Its keys are a contract (`reports/schema.json`); every renderer is a pure function of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::during::CardDuring;
use super::experiment::Experiment;
use super::roof::Roof;
use super::start_up::StartUp;
use super::theory::Theory;
use crate::environment::{Environment, Tool};
use crate::sample::Sample;
use crate::sample::longest::{Attempt, StoppedBy};
use crate::stats::estimate::{Estimate, Interval};
use crate::stats::fit::Law;
use crate::verdict::validity::Validity;
pub use crate::weights::origin::{FileRecord, WeightsOrigin};

/// Raised when a key changes its meaning or disappears.
pub const SCHEMA_VERSION: u32 = 1;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// [`SCHEMA_VERSION`] of the program that wrote it.
    pub schema_version: u32,
    /// The program.
    pub tool: Tool,
    /// When the run began, RFC 3339 in UTC.
    pub started_at: String,
    /// The command as typed, without secrets.
    pub command: Vec<String>,
    /// The box.
    pub environment: Environment,
    /// Name of each number and what it means.
    pub definitions: BTreeMap<String, String>,
    /// Seed of weights, prompts and order.
    pub seed: u64,
    /// What was measured.
    pub models: Vec<ModelRecord>,
    /// One per model × quantization × scenario × length.
    pub cases: Vec<Case>,
    /// Laws fitted over the cases, one per model × quantization.
    pub fits: Vec<Fit>,
    /// What was planned but not run, and how to ask for it.
    pub left_out: Vec<LeftOut>,
    /// The longest context that ran, one per model × quantization; absent where none was looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub longest_contexts: Vec<LongestRecord>,
    /// What came before the first sample; absent in reports of `ctxbench rag`, and from before it was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_up: Option<StartUp>,
    /// What `ctxbench rag` adds: `retrieval`, `pairs`, `router`, `answers`, `verdicts`, at the top level. Empty in
    /// reports of `ctxbench run`.
    #[serde(flatten)]
    pub experiment: Experiment,
    /// Whether the run was stopped before its plan was done.
    pub interrupted: bool,
    /// The stamp on the whole run.
    pub validity: Validity,
}

/// One model and where its bytes came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// Catalog id, or what the user named.
    pub id: String,
    /// Hub repository, if it has one.
    pub repo: Option<String>,
    /// Commit of the repository that was used.
    pub revision: Option<String>,
    /// Files that were read; empty for random weights.
    pub files: Vec<FileRecord>,
    /// `hub`, `local` or `random`.
    pub weights: WeightsOrigin,
    /// Weights of the text model.
    pub parameters: u64,
    /// `qwen3` and the like.
    pub architecture: String,
    /// Longest context the model was made for.
    pub max_positions: u64,
    /// KV cache bytes per token, in the type this run used; where its arms differ, the most.
    pub kv_bytes_per_token: u64,
    /// What turned text into ids, e.g. `tokenizer.json` or `stand-in`.
    pub tokenizer: String,
    /// Licence as the catalog has it.
    pub license: Option<String>,
}

/// One cell of the plan, with everything measured in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Unique in the run, e.g. `qwen3-0.6b/q8_0/rag/2048`.
    pub id: String,
    /// [`ModelRecord::id`].
    pub model: String,
    /// `native`, `q8_0`, …, or `file:Q4_K_M` for a GGUF's own mix.
    pub quantization: String,
    /// Type of the activations, e.g. `f32`.
    pub dtype: String,
    /// `cpu`, `cuda:0`, …
    pub device: String,
    /// Attention implementation that ran.
    pub attention_path: String,
    /// `short`, `rag` or `decode`.
    pub scenario: String,
    /// Length that was asked for; equals `prompt_tokens`.
    pub context_tokens: u32,
    /// Ids fed to the model.
    pub prompt_tokens: u32,
    /// Output ids per request.
    pub output_tokens: u32,
    /// Tokens in the cache before the first timed decode step; only in scenario `decode`.
    pub depth_tokens: Option<u32>,
    /// Highest resident set (CPU) or device memory (GPU) while this case ran.
    pub peak_memory_bytes: Option<u64>,
    /// What the weights alone take in memory, in their stored type.
    pub weights_bytes: Option<u64>,
    /// Every sample, failed ones too, in the order taken.
    pub samples: Vec<Sample>,
    /// Warm-up runs before the first sample.
    pub warmups: u32,
    /// Interval summaries of the samples.
    pub summary: Summary,
    /// The stamp on this case.
    pub validity: Validity,
    /// Why the case has no result at all, or ended before it had all its samples.
    pub error: Option<String>,
    /// Whether that was for want of memory on the device; absent where it was not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub out_of_memory: bool,
    /// The card while it ran; absent where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<CardDuring>,
}

/// Summaries by metric; `None` where nothing supports one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Prompt text to ids.
    pub tokenize_ms: Option<Estimate>,
    /// Forward pass over the prompt.
    pub prefill_ms: Option<Estimate>,
    /// Text in hand to first id on the host.
    pub ttft_ms: Option<Estimate>,
    /// The same without tokenisation.
    pub ttft_ids_ms: Option<Estimate>,
    /// Mean time per output token, one value a request.
    pub tpot_ms: Option<Estimate>,
    /// Gaps between tokens; `n` counts gaps, the interval takes a request as one observation.
    pub itl_ms: Option<Estimate>,
    /// Text in hand to last id.
    pub e2e_ms: Option<Estimate>,
    /// Question in hand to first id on the host, the whole pipeline; only in `ctxbench rag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rag_ttft_ms: Option<Estimate>,
    /// 1000 / `tpot_ms`.
    pub decode_tokens_per_s: Option<Estimate>,
    /// 1000 × prompt / `prefill_ms`.
    pub prefill_tokens_per_s: Option<Estimate>,
    /// Share of the measured bandwidth that decode's necessary reads used.
    pub mbu: Option<Estimate>,
    /// Share of the measured rate of products in the weights' type that prefill's necessary FLOPs used.
    pub mfu: Option<Estimate>,
    /// The shortest time that the box allows / `prefill_ms`, each part of the work at its own rate; absent where
    /// no rate was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefill_of_limit: Option<Estimate>,
}

/// Laws fitted for one model in one quantization on one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// [`ModelRecord::id`].
    pub model: String,
    /// [`Case::quantization`].
    pub quantization: String,
    /// [`Case::device`].
    pub device: String,
    /// TTFT in ms against prompt tokens.
    pub ttft: Option<Law>,
    /// TPOT in ms against the depth of the cache.
    pub tpot: Option<Law>,
    /// What each further 1,000 tokens of context add to TTFT, in ms, over the measured range.
    pub ttft_ms_per_1000_tokens: Option<Interval>,
    /// What each further 1,000 tokens of depth add to TPOT, in ms.
    pub tpot_ms_per_1000_tokens: Option<Interval>,
    /// TTFT of `rag` over TTFT of `short`, one per context length.
    pub rag_over_short_ttft: Vec<RatioAt>,
    /// Work counted from the shape, beside its measured time; `None` in reports from before it was there.
    #[serde(default)]
    pub theory: Option<Theory>,
    /// The shortest times that the box allows; absent where no rate was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roof: Option<Roof>,
}

/// The longest context that ran for one model in one quantization on one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LongestRecord {
    /// [`ModelRecord::id`].
    pub model: String,
    /// [`Case::quantization`].
    pub quantization: String,
    /// [`Case::device`].
    pub device: String,
    /// The longest prompt that ran with one token of output; `None` if none did.
    pub tokens: Option<u32>,
    /// Resident set (CPU) or device memory (GPU) while it ran.
    pub memory_bytes: Option<u64>,
    /// What keeps it from more.
    pub stopped_by: StoppedBy,
    /// Every length tried, in order.
    pub attempts: Vec<Attempt>,
}

/// A ratio at one context length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RatioAt {
    /// Prompt tokens of the `rag` case.
    pub context_tokens: u32,
    /// Prompt tokens of the `short` case it is held against.
    pub short_tokens: u32,
    /// rag / short.
    pub ratio: Interval,
}

/// Something that was planned and not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Case id, or a description.
    pub what: String,
    /// Why, and what to type to get it.
    pub why: String,
}
