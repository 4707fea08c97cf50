//! Time per token by length: the measured side of every growth that is shown.
//!
//! Cases of one arm come in, samples by length go out. Not here: counting ([`super::theory`]).

use std::collections::BTreeMap;

use super::document::Case;
use super::summarise::mean_depth;
use crate::sample::Sample;

/// The two halves of a request, which grow by different laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The forward pass over the prompt.
    Prefill,
    /// One step that makes one token.
    Decode,
}

impl Phase {
    /// As in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prefill => "prefill",
            Self::Decode => "decode",
        }
    }

    /// The scenario that this half is best read from, since it holds everything else still.
    fn scenario(self) -> &'static str {
        match self {
            Self::Prefill => "rag",
            Self::Decode => "decode",
        }
    }
}

/// The samples of one length.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Prompt tokens, or depth of the cache before the first timed step.
    pub tokens: u32,
    /// The length that work is counted at: the same, or the mean depth of the timed steps.
    pub counted_tokens: u64,
    /// Milliseconds per prompt token, or per decoded token; positive, one a sample.
    pub ms_per_token: Vec<f64>,
}

/// Samples by rising length.
///
/// Of the phase's own scenario (`rag`, `decode`) where that was measured at two lengths or more; else
/// of all cases that have the number.
pub fn measured(phase: Phase, cases: &[&Case]) -> Vec<Measured> {
    let own: Vec<&Case> = cases.iter().copied().filter(|case| case.scenario == phase.scenario()).collect();
    let own = by_length(phase, &own);
    if own.len() > 1 { own } else { by_length(phase, cases) }
}

/// Samples by rising length, of all cases that have the number.
pub fn by_length(phase: Phase, cases: &[&Case]) -> Vec<Measured> {
    let mut lengths: BTreeMap<u32, Vec<&Sample>> = BTreeMap::new();
    for case in cases {
        let complete = case.samples.iter().filter(|sample| sample.is_complete());
        let tokens = match phase {
            Phase::Prefill => case.prompt_tokens,
            Phase::Decode => case.depth_tokens.unwrap_or(case.prompt_tokens),
        };
        lengths.entry(tokens).or_default().extend(complete);
    }
    lengths.into_iter().filter_map(|(tokens, samples)| at_length(phase, tokens, &samples)).collect()
}

fn at_length(phase: Phase, tokens: u32, samples: &[&Sample]) -> Option<Measured> {
    let ms_per_token: Vec<f64> = samples
        .iter()
        .filter_map(|sample| match phase {
            Phase::Prefill => Some(sample.prefill_ms? / f64::from(sample.prompt_tokens)),
            Phase::Decode => sample.tpot_ms(),
        })
        .filter(|ms| ms.is_finite() && *ms > 0.0)
        .collect();
    let counted_tokens = match phase {
        Phase::Prefill => f64::from(tokens),
        Phase::Decode => samples.iter().map(|s| mean_depth(s)).sum::<f64>() / samples.len() as f64,
    };
    let counted_tokens = counted_tokens.round() as u64;
    (!ms_per_token.is_empty()).then_some(Measured { tokens, counted_tokens, ms_per_token })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn rag_alone_tells_prefill_where_it_has_two_lengths() {
        let document = fixture::document();
        let q8: Vec<&Case> = document.cases.iter().filter(|case| case.quantization == "q8_0").collect();
        let rag = measured(Phase::Prefill, &q8[..4]);
        assert_eq!(rag.iter().map(|at| at.tokens).collect::<Vec<_>>(), [512, 1024, 2048]);
        let both = measured(Phase::Prefill, &q8[..2]);
        assert_eq!(both.iter().map(|at| at.tokens).collect::<Vec<_>>(), [64, 512]);
        let expected = q8[0].samples[0].prefill_ms.unwrap() / 64.0;
        assert_eq!(both[0].ms_per_token[0], expected);
    }

    #[test]
    fn a_decode_step_is_counted_at_the_mean_depth_of_the_timed_ones() {
        let document = fixture::document();
        let decode: Vec<&Case> = document.cases.iter().filter(|case| case.scenario == "decode").collect();
        let at = measured(Phase::Decode, &decode);
        assert_eq!((at.len(), at[0].tokens, at[0].counted_tokens), (1, 1024, 1028));
        assert_eq!(at[0].ms_per_token.len(), 4, "the failed sample is not in it");
    }

    #[test]
    fn cases_without_the_number_leave_no_length_behind() {
        let mut document = fixture::document();
        document.cases.iter_mut().for_each(|case| case.samples.clear());
        let cases: Vec<&Case> = document.cases.iter().collect();
        assert!(measured(Phase::Prefill, &cases).is_empty() && measured(Phase::Decode, &cases).is_empty());
    }
}
