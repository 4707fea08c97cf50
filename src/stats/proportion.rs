//! Shares of answers that are right, and the difference of two of them.
//!
//! Comes in: counts. Goes out: intervals that hold for small counts and for shares of 0 and 1 too.

use super::estimate::{Interval, LEVEL};

/// 97.5 % quantile of the normal distribution.
const NORMAL: f64 = 1.959_963_985;

/// So many of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proportion {
    /// Right ones.
    pub correct: u32,
    /// All.
    pub n: u32,
}

/// The share with Wilson's interval; `None` for none at all, or more right ones than all.
pub fn wilson(a: Proportion) -> Option<Interval> {
    if a.n == 0 || a.correct > a.n {
        return None;
    }
    let (n, p, z2) = (f64::from(a.n), f64::from(a.correct) / f64::from(a.n), NORMAL * NORMAL);
    let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = NORMAL / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    Some(Interval { value: p, low: (middle - half).max(0.0), high: (middle + half).min(1.0), level: LEVEL })
}

/// Share of `a` less that of `b` with Newcombe's hybrid score interval; `None` as for [`wilson`].
pub fn newcombe(a: Proportion, b: Proportion) -> Option<Interval> {
    let (a, b) = (wilson(a)?, wilson(b)?);
    let value = a.value - b.value;
    let low = value - ((a.value - a.low).powi(2) + (b.high - b.value).powi(2)).sqrt();
    let high = value + ((a.high - a.value).powi(2) + (b.value - b.low).powi(2)).sqrt();
    Some(Interval { value, low, high, level: LEVEL })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_match_newcombe_1998() {
        // Newcombe (1998), table II, method 10: 56/70 less 48/80 is 0.2 (0.0524 to 0.3339).
        let i = newcombe(Proportion { correct: 56, n: 70 }, Proportion { correct: 48, n: 80 }).unwrap();
        assert!((i.low - 0.0524).abs() < 1e-4 && (i.high - 0.3339).abs() < 1e-4, "{i:?}");
    }
}
