//! Energy of a phase of a request, as the card's counter told it over passes that were not timed samples.

use serde::{Deserialize, Serialize};

/// One phase, over as many passes as it took to last long enough for the counter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseEnergy {
    /// `joules` / `tokens`.
    pub j_per_token: f64,
    /// What the counter advanced by: the whole card, its idle power included.
    pub joules: f64,
    /// Tokens that went through in these passes.
    pub tokens: u64,
    /// How long they took together.
    pub seconds: f64,
}

/// Both phases of a case; `None` where there is no counter, or it told nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CaseEnergy {
    /// Passes over the whole prompt.
    pub prefill: Option<PhaseEnergy>,
    /// Decode steps behind it.
    pub output: Option<PhaseEnergy>,
}

impl PhaseEnergy {
    /// A phase that took `joules` for `tokens`; `None` if there were no tokens, or the counter did not move.
    pub fn of(joules: f64, tokens: u64, seconds: f64) -> Option<Self> {
        let j_per_token = joules / tokens as f64;
        (tokens > 0 && joules > 0.0).then_some(Self { j_per_token, joules, tokens, seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_stands_still_gives_no_energy_and_not_zero() {
        assert_eq!(PhaseEnergy::of(6.0, 3, 1.0).map(|energy| energy.j_per_token), Some(2.0));
        assert_eq!((PhaseEnergy::of(0.0, 3, 1.0), PhaseEnergy::of(1.0, 0, 1.0)), (None, None));
    }
}
