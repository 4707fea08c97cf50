//! From a number with its interval to a verdict. Not here: any claim's own number.

use super::rules::{Claim, Side};
use super::{Outcome, Verdict};
use crate::stats::estimate::Interval;
use crate::stats::paired::Paired;

/// A claim beside what all claims share.
#[derive(Clone, Copy)]
pub(super) struct Rule<'a> {
    pub claim: &'a Claim,
    /// Level below which an interval decides nothing.
    pub least_level: f64,
}

impl Rule<'_> {
    /// The verdict of a whole interval on one side of the margin; `told` is the finding in words.
    pub fn decide(self, number: Interval, told: &str) -> Verdict {
        if number.level < self.least_level {
            let reason = format!(
                "too few blocks: an interval of so few holds the truth in {} of cases, and {} is asked for. {told}",
                percent(number.level),
                percent(self.least_level)
            );
            return self.verdict(Outcome::NotTestable, Some(number), reason);
        }
        let (above, below) = (number.low > self.claim.margin, number.high < self.claim.margin);
        let (holds, fails) = match self.claim.holds {
            Side::Above => (above, below),
            Side::Below => (below, above),
        };
        match (holds, fails) {
            (true, _) => self.verdict(Outcome::Supported, Some(number), told.into()),
            (_, true) => self.verdict(Outcome::NotSupported, Some(number), told.into()),
            _ => self.inconclusive(number, told),
        }
    }

    /// The interval holds the margin.
    pub fn inconclusive(self, number: Interval, told: &str) -> Verdict {
        let reason = format!(
            "inconclusive: the interval, {} to {}, holds the margin of {}. {told}",
            percent(number.low),
            percent(number.high),
            percent(self.claim.margin)
        );
        self.verdict(Outcome::NotTestable, Some(number), reason)
    }

    /// [`Self::decide`] for paired values; without an interval the pairs were too few.
    pub fn decide_paired(self, paired: Paired, told: &str) -> Verdict {
        match interval(paired) {
            Some(number) => self.decide(number, told),
            None => self.untested(format!("too few blocks: {} of them have no interval. {told}", paired.n)),
        }
    }

    /// No number was had.
    pub fn untested(self, reason: impl Into<String>) -> Verdict {
        self.verdict(Outcome::NotTestable, None, reason.into())
    }

    pub fn verdict(self, status: Outcome, number: Option<Interval>, reason: String) -> Verdict {
        Verdict {
            id: self.claim.id.clone(),
            claim: self.claim.claim.clone(),
            status,
            value: number.map(|n| n.value),
            ci_low: number.map(|n| n.low),
            ci_high: number.map(|n| n.high),
            measure: self.claim.measure.clone(),
            rule: self.claim.rule(),
            reason,
        }
    }
}

/// `None` for fewer than 3 pairs.
pub(super) fn interval(p: Paired) -> Option<Interval> {
    Some(Interval { value: p.median, low: p.ci_low?, high: p.ci_high?, level: p.ci_level? })
}

/// A share in per cent, to three digits: `12.3 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", crate::units::significant(100.0 * share))
}

/// The finite ones of what `of` finds in each block.
pub(super) fn values<T>(blocks: &[T], of: impl Fn(&T) -> Option<f64>) -> Vec<f64> {
    blocks.iter().filter_map(of).filter(|value| value.is_finite()).collect()
}
