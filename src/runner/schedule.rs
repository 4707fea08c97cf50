//! When to stop and what to leave out: pure rules over predicted and measured times.

use std::time::Duration;

use crate::sample::case::{CaseProgress, CaseSpec, Kind, Wish};
use crate::stats::settled::{narrow_enough, settled};

/// How much is to be taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Time for everything, loading included; `None` has no end.
    pub time: Option<Duration>,
    /// Whether the user set that limit: then even cases asked for by name yield to it.
    pub time_is_strict: bool,
    /// Samples per case, where asked for; else as many as the interval needs.
    pub runs: Option<u32>,
    /// Half the width of the interval that is narrow enough, relative to the median.
    pub target_half_width: f64,
}

/// Samples that a case gets at the least: fewer contexts before fewer samples.
pub const LEAST_RUNS: u32 = 3;
/// Samples after which a case is left as it is, narrow or not.
const MOST_RUNS: u32 = 40;
/// Warm-up of the smallest case: this many in a row within this tolerance of their median …
const SETTLED_RUNS: usize = 3;
/// … relative to it …
const SETTLED_TOLERANCE: f64 = 0.1;
/// … or no more than this many.
const MOST_WARMUPS: usize = 8;

impl Budget {
    /// Whether `case` has what it needs, were there time without end.
    pub fn is_done(&self, case: &CaseProgress) -> bool {
        let n = case.samples.len() as u32;
        match self.runs {
            Some(runs) => n >= runs,
            None if n < LEAST_RUNS => false,
            None if n >= MOST_RUNS => true,
            None => narrow_enough(&case.headline_ms(), self.target_half_width),
        }
    }

    /// Samples that must be taken even if time runs short.
    pub fn least(&self) -> u32 {
        self.runs.unwrap_or(LEAST_RUNS)
    }

    /// Whether `case` may be left out for want of time.
    pub fn may_drop(&self, case: &CaseSpec) -> bool {
        self.time.is_some() && (self.time_is_strict || case.asked_for == Wish::Plan)
    }
}

/// Whether warming up can end, from the times of whole requests so far.
pub fn warm(seconds: &[f64]) -> Warm {
    if settled(seconds, SETTLED_RUNS, SETTLED_TOLERANCE) {
        Warm::Settled
    } else if seconds.len() >= MOST_WARMUPS {
        Warm::GivenUp
    } else {
        Warm::NotYet
    }
}

/// State of a warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warm {
    /// The last runs agree.
    Settled,
    /// Go on.
    NotYet,
    /// They never agreed.
    GivenUp,
}

/// Predicts the seconds of one request of `case` from a measured one of another length.
///
/// `work` gives the FLOPs of a prefill; decode steps are taken to cost the same at every length,
/// so the prediction is low where attention dominates decode.
pub fn predict_s(known: &Known, case: &CaseSpec, work: &dyn Fn(u64) -> f64) -> f64 {
    let scale = work(u64::from(case.tokens).max(1)) / work(u64::from(known.tokens).max(1));
    let steps = f64::from(case.output_tokens.saturating_sub(1));
    match case.kind {
        Kind::Decode => known.prefill_s * scale + LEAST_RUNS as f64 * known.step_s * (steps + 1.0),
        _ => known.prefill_s * scale + known.step_s * steps,
    }
}

/// A measured request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// Its prompt.
    pub tokens: u32,
    /// Its prefill.
    pub prefill_s: f64,
    /// One decode step of it.
    pub step_s: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    fn budget(runs: Option<u32>) -> Budget {
        Budget { time: None, time_is_strict: false, runs, target_half_width: 0.05 }
    }

    fn case(ttft: &[f64]) -> CaseProgress {
        let spec = CaseSpec { kind: Kind::Rag, tokens: 512, output_tokens: 1, asked_for: Wish::Plan };
        let mut case = CaseProgress::new(spec);
        case.samples = ttft
            .iter()
            .map(|t| Sample { ttft_ms: Some(*t), token_ready_ms: vec![*t], ..Sample::default() })
            .collect();
        case
    }

    #[test]
    fn a_number_of_runs_asked_for_is_taken_exactly() {
        assert!(!budget(Some(2)).is_done(&case(&[1.0])));
        assert!(budget(Some(2)).is_done(&case(&[1.0, 9.0])));
    }

    #[test]
    fn without_one_runs_go_on_until_the_interval_is_narrow() {
        assert!(!budget(None).is_done(&case(&[1.0, 1.0])));
        assert!(!budget(None).is_done(&case(&[1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0])));
        assert!(budget(None).is_done(&case(&[1.0; 7])));
        assert!(budget(None).is_done(&case(&[1.0, 9.0].repeat(20))));
    }

    #[test]
    fn warm_up_ends_when_the_last_runs_agree_or_never_will() {
        assert_eq!(warm(&[9.0, 1.0, 1.0]), Warm::NotYet);
        assert_eq!(warm(&[9.0, 1.0, 1.02, 0.99]), Warm::Settled);
        assert_eq!(warm(&[1.0, 2.0].repeat(4)), Warm::GivenUp);
    }

    #[test]
    fn a_longer_prompt_is_predicted_by_its_work() {
        let known = Known { tokens: 512, prefill_s: 1.0, step_s: 0.1 };
        let spec = CaseSpec { kind: Kind::Rag, tokens: 1024, output_tokens: 11, asked_for: Wish::Plan };
        assert_eq!(predict_s(&known, &spec, &|n| n as f64), 3.0);
        assert_eq!(predict_s(&known, &spec, &|n| (n * n) as f64), 5.0);
    }
}
