//! One timed request, exactly as measured. No averages, no rounding, no judgement.

pub mod case;
pub mod energy;
pub mod first_times;
pub mod longest;

use serde::{Deserialize, Serialize};

/// One timed generation. All times are milliseconds on one monotonic clock,
/// counted from the moment the prompt's text was in hand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Position of this sample in the whole run, warm-ups not counted: the order of taking.
    pub order: u32,
    /// Ids fed to the model, after the chat template, special tokens included.
    pub prompt_tokens: u32,
    /// Prompt text to ids.
    pub tokenize_ms: Option<f64>,
    /// Forward pass over the whole prompt to last-position logits, device synchronised at both ends.
    pub prefill_ms: Option<f64>,
    /// Prompt text in hand to first output id on the host.
    pub ttft_ms: Option<f64>,
    /// When each output id was on the host; `[0]` equals `ttft_ms`. Empty if none came.
    pub token_ready_ms: Vec<f64>,
    /// Why this sample has no numbers, or stopped early.
    pub error: Option<String>,
    /// The question that was asked, where arms are paired by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question_id: Option<String>,
    /// Where the time of `rag_ttft_ms` went; only in the experiment of `ctxbench rag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages_ms: Option<Stages>,
    /// Question in hand to first output id on the host, by two clock reads of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rag_ttft_ms: Option<f64>,
    /// Whether the router sent this question to retrieval; only in scenario `hybrid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed: Option<bool>,
}

/// The stage ledger of one request, in milliseconds; `None` for a stage that this request has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stages {
    /// Deciding whether to retrieve: the first pass up to the end of its tool call, or the pre-router.
    pub route: Option<f64>,
    /// Question to the embedder's ids.
    pub tokenize_query: Option<f64>,
    /// Ids to vector.
    pub embed: Option<f64>,
    /// Vector to hits.
    pub search: Option<f64>,
    /// Hits to texts.
    pub fetch: Option<f64>,
    /// Texts to a better order.
    pub rerank: Option<f64>,
    /// Texts to one prompt.
    pub assemble: Option<f64>,
    /// Prompt to ids.
    pub tokenize: Option<f64>,
    /// Forward pass over what no cache holds, restoring of a cached prefix included.
    pub prefill: Option<f64>,
    /// Sampling of the first id.
    pub first_token: Option<f64>,
}

impl Stages {
    /// Names and times in the order in which they happen.
    pub fn in_order(&self) -> [(&'static str, Option<f64>); 10] {
        [
            ("route", self.route),
            ("tokenize_query", self.tokenize_query),
            ("embed", self.embed),
            ("search", self.search),
            ("fetch", self.fetch),
            ("rerank", self.rerank),
            ("assemble", self.assemble),
            ("tokenize", self.tokenize),
            ("prefill", self.prefill),
            ("first_token", self.first_token),
        ]
    }

    /// All stages together.
    pub fn sum(&self) -> f64 {
        self.in_order().iter().filter_map(|(_, ms)| *ms).sum()
    }
}

impl Sample {
    /// TTFT without tokenisation: what MLPerf and mistral.rs call TTFT.
    pub fn ttft_ids_ms(&self) -> Option<f64> {
        Some(self.ttft_ms? - self.tokenize_ms?)
    }

    /// Mean time per output token after the first; `None`, never 0, for fewer than two tokens.
    pub fn tpot_ms(&self) -> Option<f64> {
        let [first, .., last] = self.token_ready_ms.as_slice() else {
            return None;
        };
        Some((last - first) / (self.token_ready_ms.len() - 1) as f64)
    }

    /// Gaps between consecutive output tokens, n − 1 of them.
    pub fn itl_ms(&self) -> Vec<f64> {
        self.token_ready_ms.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    /// Prompt in hand to last output id.
    pub fn e2e_ms(&self) -> Option<f64> {
        self.token_ready_ms.last().copied()
    }

    /// 1000 / [`Self::tpot_ms`].
    pub fn decode_tokens_per_s(&self) -> Option<f64> {
        self.tpot_ms().filter(|ms| *ms > 0.0).map(|ms| 1000.0 / ms)
    }

    /// 1000 × `prompt_tokens` / `prefill_ms`.
    pub fn prefill_tokens_per_s(&self) -> Option<f64> {
        let ms = self.prefill_ms.filter(|ms| *ms > 0.0)?;
        Some(1000.0 * f64::from(self.prompt_tokens) / ms)
    }

    /// Whether the sample finished: it has no error and a first token.
    pub fn is_complete(&self) -> bool {
        self.error.is_none() && !self.token_ready_ms.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(ready: &[f64]) -> Sample {
        Sample {
            prompt_tokens: 90,
            tokenize_ms: Some(2.0),
            prefill_ms: Some(45.0),
            ttft_ms: ready.first().copied(),
            token_ready_ms: ready.to_vec(),
            ..Sample::default()
        }
    }

    #[test]
    fn rates_exclude_the_first_token() {
        let s = sample(&[50.0, 60.0, 70.0]);
        assert_eq!(s.tpot_ms(), Some(10.0));
        assert_eq!(s.decode_tokens_per_s(), Some(100.0));
        assert_eq!(s.prefill_tokens_per_s(), Some(2000.0));
        assert_eq!(s.ttft_ids_ms(), Some(48.0));
        assert_eq!(s.itl_ms(), vec![10.0, 10.0]);
        assert_eq!(s.e2e_ms(), Some(70.0));
    }

    #[test]
    fn one_token_has_no_rate_and_no_gap() {
        let s = sample(&[50.0]);
        assert_eq!(s.tpot_ms(), None);
        assert_eq!(s.decode_tokens_per_s(), None);
        assert!(s.itl_ms().is_empty());
    }

    #[test]
    fn nothing_measured_is_missing_never_zero() {
        let s = Sample::default();
        assert_eq!((s.ttft_ids_ms(), s.e2e_ms(), s.prefill_tokens_per_s()), (None, None, None));
        assert!(!s.is_complete());
    }
}
