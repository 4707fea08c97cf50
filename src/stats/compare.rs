//! Whether one set of values is shown to be better than another, and by what factor.

use serde::{Deserialize, Serialize};

use super::estimate::Interval;
use super::ratio::ratio;

/// Least level at which an interval that leaves out 1 counts as shown. At 0.90 either direction
/// is wrongly claimed in at most 5 % of cases; it is what 3 samples against 3 can reach.
pub const SHOWN_LEVEL: f64 = 0.90;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Times.
    LowerIsBetter,
    /// Rates.
    HigherIsBetter,
}

/// What a comparison shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The candidate is better than the baseline.
    Faster,
    /// The candidate is worse than the baseline.
    Slower,
    /// The interval holds 1, or rests on too few samples to say.
    NoDifferenceShown,
}

impl Difference {
    /// The words for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::NoDifferenceShown => "no difference shown",
        }
    }
}

/// Candidate over baseline for one metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Candidate over baseline, as measured: above 1 is slower for times and faster for rates.
    pub ratio: Interval,
    /// Which way is better for this metric.
    pub direction: Direction,
    /// What the interval shows.
    pub verdict: Difference,
}

impl Comparison {
    /// Compares independent samples; `None` where [`ratio`] has none.
    pub fn of(baseline: &[f64], candidate: &[f64], direction: Direction) -> Option<Self> {
        let ratio = ratio(candidate, baseline)?;
        let verdict = match (ratio.low > 1.0, ratio.high < 1.0, direction) {
            _ if !reaches_shown_level(&ratio) => Difference::NoDifferenceShown,
            (true, _, Direction::LowerIsBetter) | (_, true, Direction::HigherIsBetter) => Difference::Slower,
            (true, _, Direction::HigherIsBetter) | (_, true, Direction::LowerIsBetter) => Difference::Faster,
            _ => Difference::NoDifferenceShown,
        };
        Some(Self { ratio, direction, verdict })
    }

    /// Whether the candidate is shown to take more than `share` longer (0.05 is 5 %): the whole
    /// interval lies beyond it.
    pub fn is_slower_by_more_than(&self, share: f64) -> bool {
        let beyond = match self.direction {
            Direction::LowerIsBetter => self.ratio.low > 1.0 + share,
            Direction::HigherIsBetter => self.ratio.high < 1.0 / (1.0 + share),
        };
        beyond && reaches_shown_level(&self.ratio)
    }
}

fn reaches_shown_level(ratio: &Interval) -> bool {
    ratio.level >= SHOWN_LEVEL - 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: [f64; 4] = [100.0, 101.0, 102.0, 99.0];

    #[test]
    fn separated_samples_show_a_difference_where_scipy_does() {
        // scipy.stats.mannwhitneyu([120, 121.2, 122.4, 118.8], [100, 101, 102, 99], method='exact')
        // pvalue = 0.02857 < 0.05
        let slow = BASE.map(|x| x * 1.2);
        let c = Comparison::of(&BASE, &slow, Direction::LowerIsBetter).unwrap();
        assert_eq!((c.verdict, c.verdict.words()), (Difference::Slower, "slower"));
        assert!(c.is_slower_by_more_than(0.05) && !c.is_slower_by_more_than(0.25));
        let c = Comparison::of(&slow, &BASE, Direction::LowerIsBetter).unwrap();
        assert_eq!(c.verdict, Difference::Faster);
    }

    #[test]
    fn more_tokens_per_second_is_faster() {
        let more = BASE.map(|x| x * 1.2);
        let c = Comparison::of(&BASE, &more, Direction::HigherIsBetter).unwrap();
        assert_eq!(c.verdict, Difference::Faster);
        let c = Comparison::of(&more, &BASE, Direction::HigherIsBetter).unwrap();
        assert_eq!(c.verdict, Difference::Slower);
        assert!(c.is_slower_by_more_than(0.05));
    }

    #[test]
    fn three_samples_against_three_can_show_a_difference_but_two_cannot() {
        let slow = BASE.map(|x| x * 1.2);
        let c = Comparison::of(&BASE[..3], &slow[..3], Direction::LowerIsBetter).unwrap();
        assert_eq!(c.verdict, Difference::Slower);
        assert_eq!(Comparison::of(&BASE[..2], &slow[..3], Direction::LowerIsBetter), None);
    }

    proptest! {
        #[test]
        fn equal_samples_show_no_difference(xs in prop::collection::vec(1.0..1e3f64, 3..20)) {
            for direction in [Direction::LowerIsBetter, Direction::HigherIsBetter] {
                let c = Comparison::of(&xs, &xs, direction).unwrap();
                prop_assert_eq!(c.verdict, Difference::NoDifferenceShown);
                prop_assert!(!c.is_slower_by_more_than(0.0));
            }
        }
    }
}
