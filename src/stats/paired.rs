//! Paired values: the same question measured twice, in the same block.
//!
//! Comes in: one value per pair (a difference or a ratio). Goes out: their median with its interval.

use serde::{Deserialize, Serialize};

use super::estimate::Estimate;

/// Median of paired values with its confidence interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Pairs.
    pub n: u32,
    /// The point estimate.
    pub median: f64,
    /// Lower end; `None` for fewer than 3 pairs.
    pub ci_low: Option<f64>,
    /// Upper end.
    pub ci_high: Option<f64>,
    /// How often such an interval holds the truth.
    pub ci_level: Option<f64>,
}

impl Paired {
    /// Summary of paired values; `None` if there are none or one is not finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        let e = Estimate::of(values)?;
        Some(Self { n: e.n, median: e.median, ci_low: e.ci_low, ci_high: e.ci_high, ci_level: e.ci_level })
    }
}
