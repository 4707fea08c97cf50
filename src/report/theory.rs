//! What a model must do as a function of context, counted from its shape, beside what was measured.
//!
//! An arm and its cases come in, a [`Theory`] goes out. Nothing in it is fitted: a measured time that
//! grows faster than the count is the engine's, not the architecture's. Formulas: `docs/measurement.md`.

use serde::{Deserialize, Serialize};

use super::document::Case;
use super::growth::{self, Measured, Phase};
pub use crate::model::shape::DecodeBytes;
use crate::model::shape::ModelShape;
pub use crate::model::shape::PrefillFlops;
use crate::stats::estimate::{Estimate, Interval};
use crate::stats::ratio::ratio;

/// Work of one model in one weight type: counted, and at every measured length held against its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Theory {
    /// FLOPs of a prefill of n tokens.
    pub prefill_flops: PrefillFlops,
    /// Bytes of a decode step at depth n; `None` where the weights were never loaded.
    pub decode_bytes: Option<DecodeBytes>,
    /// Memory of one sequence beside the weights.
    pub cache_bytes: CacheBytes,
    /// Where the part that grows has caught up with the rest.
    pub crossover_tokens: CrossoverTokens,
    /// Prefill at each measured length, the shortest first; work in FLOPs of the whole prefill.
    pub prefill: Vec<WorkAt>,
    /// Decode at each measured depth, the shallowest first; work in bytes of one step.
    pub decode: Vec<WorkAt>,
}

/// Bytes that a sequence of n tokens keeps: `constant + per_token · n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheBytes {
    /// State that does not grow; 0 where every layer is attention.
    pub constant: u64,
    /// Keys and values of one token.
    pub per_token: u64,
}

/// Context lengths at which the part that grows is as much work as the rest; `None` where it never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossoverTokens {
    /// Causal attention of a prefill, against all FLOPs that are proportional to its length.
    pub prefill: Option<u64>,
    /// Keys and values that a decode step reads, against weights and state.
    pub decode: Option<u64>,
}

/// Work at one measured length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkAt {
    /// Prompt tokens, or depth of the cache before the first timed step.
    pub tokens: u32,
    /// FLOPs of this prefill, or bytes of a step at the mean depth of the timed ones.
    pub work: f64,
    /// Counted work over measured time.
    pub work_per_s: Option<Estimate>,
    /// Against the shortest length; `None` at that length itself.
    pub growth: Option<Growth>,
}

/// Cost of one token (of the prompt, or decoded) over its cost at the shortest measured length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// The shortest length.
    pub from_tokens: u32,
    /// Ratio of counted work per token: what time would do if it were proportional to work.
    pub counted: f64,
    /// Ratio of measured time per token; `None` for fewer than 3 samples at either length.
    pub measured: Option<Interval>,
}

/// What is counted for an arm, before any sample.
#[derive(Clone, Copy, Debug)]
pub struct Counts<'a> {
    /// Its shape.
    pub shape: &'a ModelShape,
    /// Bytes of weights that a decode step reads.
    pub decode_weight_bytes: Option<u64>,
    /// Keys and values of one token, in the type of the cache.
    pub kv_bytes_per_token: u64,
}

impl Theory {
    /// Counts, and holds the counts against the cases of this arm.
    pub fn of(counts: &Counts<'_>, cases: &[&Case]) -> Self {
        let mut theory = Self::counted(counts);
        theory.prefill = theory.work_at(Phase::Prefill, cases);
        theory.decode = theory.work_at(Phase::Decode, cases);
        theory
    }

    fn counted(counts: &Counts<'_>) -> Self {
        let state = counts.shape.constant_state_bytes();
        let prefill_flops = counts.shape.prefill_growth();
        let decode_bytes = counts.decode_weight_bytes.map(|weights| DecodeBytes {
            constant: (weights + 2 * state) as f64,
            per_token: counts.kv_bytes_per_token as f64,
        });
        Self {
            prefill_flops,
            decode_bytes,
            cache_bytes: CacheBytes { constant: state, per_token: counts.kv_bytes_per_token },
            crossover_tokens: CrossoverTokens {
                prefill: meeting(prefill_flops.per_token, prefill_flops.per_token_squared),
                decode: decode_bytes.and_then(|bytes| meeting(bytes.constant, bytes.per_token)),
            },
            prefill: Vec::new(),
            decode: Vec::new(),
        }
    }

    /// Counted work of one token: FLOPs of a prompt's token on average over a prompt of `tokens`, or
    /// bytes of a decode step at that depth. `None` where it cannot be counted.
    pub fn token_cost(&self, phase: Phase, tokens: u64) -> Option<f64> {
        match phase {
            Phase::Prefill => (tokens > 0).then(|| self.prefill_flops.at(tokens) / tokens as f64),
            Phase::Decode => self.decode_bytes.map(|bytes| bytes.at(tokens)),
        }
    }

    /// Whether the architecture keeps a state of constant size in place of some of its attention.
    pub fn is_hybrid(&self) -> bool {
        self.cache_bytes.constant > 0
    }

    fn work_at(&self, phase: Phase, cases: &[&Case]) -> Vec<WorkAt> {
        let all = growth::measured(phase, cases);
        let Some(shortest) = all.first() else { return Vec::new() };
        all.iter().filter_map(|at| self.work_of(phase, shortest, at)).collect()
    }

    fn work_of(&self, phase: Phase, shortest: &Measured, at: &Measured) -> Option<WorkAt> {
        let cost = self.token_cost(phase, at.counted_tokens)?;
        let tokens = if phase == Phase::Prefill { at.counted_tokens as f64 } else { 1.0 };
        let rates: Vec<f64> = at.ms_per_token.iter().map(|ms| 1000.0 * cost / ms).collect();
        let growth = Growth {
            from_tokens: shortest.tokens,
            counted: cost / self.token_cost(phase, shortest.counted_tokens)?,
            measured: ratio(&at.ms_per_token, &shortest.ms_per_token),
        };
        Some(WorkAt {
            tokens: at.tokens,
            work: cost * tokens,
            work_per_s: Estimate::of(&rates),
            growth: (at.tokens > shortest.tokens).then_some(growth),
        })
    }
}

/// Tokens at which `per_token` of them have reached `constant`.
fn meeting(constant: f64, per_token: f64) -> Option<u64> {
    let tokens = constant / per_token;
    (per_token > 0.0 && tokens.is_finite()).then(|| tokens.round() as u64)
}
