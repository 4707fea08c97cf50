//! The interval of a percentile by order statistics: which two of the sorted values hold it.
//!
//! Comes in: values. Goes out: the percentile between two of them. How many values lie below the true
//! percentile is a coin toss with chance p each, whatever their distribution, so the ranks follow from the
//! binomial distribution alone. Not here: whether a percentile may be printed (`percentile`).

use super::estimate::{Interval, LEVEL};
use super::percentile::{percentile, sorted};

/// The `p`-th percentile of unsorted values with its interval of 95 % or a little more.
///
/// `None` where the values are too few for one (368 hold a p99 between two of them), where one of them is
/// not finite, or `p` lies outside (0, 100).
pub fn percentile_interval(values: &[f64], p: f64) -> Option<Interval> {
    let sorted = sorted(values)?;
    let ranks = ranks(sorted.len(), p)?;
    Some(Interval {
        value: percentile(&sorted, p),
        low: sorted[ranks.low - 1],
        high: sorted[ranks.high - 1],
        level: LEVEL,
    })
}

/// Ranks from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ranks {
    low: usize,
    high: usize,
}

/// The innermost ranks that leave out at most 2.5 % on either side. With B values below the percentile, the
/// value of rank r lies above it where B < r.
fn ranks(n: usize, p: f64) -> Option<Ranks> {
    if !(p > 0.0 && p < 100.0) || n == 0 {
        return None;
    }
    let tail = (1.0 - LEVEL) / 2.0;
    let (mut below, mut low, mut high) = (0.0, 0, None);
    for (b, chance) in binomial(n, p / 100.0).enumerate() {
        // Here `below` is P(B < b).
        if below <= tail {
            low = b;
        }
        if high.is_none() && below >= 1.0 - tail {
            high = Some(b);
        }
        below += chance;
    }
    // P(B < n + 1) is 1, but there is no value of rank n + 1, and none of rank 0.
    high.filter(|high| low > 0 && low < *high).map(|high| Ranks { low, high })
}

/// Chances of 0 to `n` hits, each with chance `p` inside (0, 1).
fn binomial(n: usize, p: f64) -> impl Iterator<Item = f64> {
    let odds = (p / (1.0 - p)).ln();
    let mut log = n as f64 * (1.0 - p).ln();
    (0..=n).map(move |k| {
        let chance = log.exp();
        log += ((n - k) as f64 / (k + 1) as f64).ln() + odds;
        chance
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    #[test]
    fn ranks_match_scipy() {
        // scipy.stats.quantile_test(range(1, n + 1), q=0, p=p).confidence_interval(0.95), scipy 1.17.
        for (n, p, low, high) in [
            (662, 99.0, 650, 661),
            (130, 95.0, 118, 129),
            (1000, 99.0, 983, 997),
            (64, 90.0, 53, 63),
            (10, 50.0, 2, 9),
        ] {
            assert_eq!(ranks(n, p), Some(Ranks { low, high }), "p{p} of {n}");
        }
    }

    #[test]
    fn too_few_values_hold_no_percentile() {
        assert_eq!(ranks(367, 99.0), None);
        assert!(ranks(368, 99.0).is_some());
        assert_eq!((ranks(0, 50.0), ranks(100, 100.0), ranks(100, f64::NAN)), (None, None, None));
        assert_eq!(percentile_interval(&[], 50.0), None);
        assert_eq!(percentile_interval(&[f64::NAN; 20], 50.0), None);
    }

    #[test]
    fn simulated_intervals_hold_the_percentile_as_often_as_they_claim() {
        const TRIALS: usize = 2000;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let hits = (0..TRIALS).filter(|_| {
            let values: Vec<f64> = (0..662).map(|_| rng.random::<f64>().powi(3)).collect();
            let i = percentile_interval(&values, 99.0).expect("enough values");
            i.low <= 0.99f64.powi(3) && 0.99f64.powi(3) <= i.high
        });
        let real = hits.count() as f64 / TRIALS as f64;
        // 97.2 % by scipy.stats.binom; four standard errors are 1.5 %.
        assert!((real - 0.972).abs() < 0.015, "{real}");
    }

    #[test]
    fn a_hundred_thousand_values_do_not_underflow() {
        let ranks = ranks(100_000, 99.0).unwrap();
        assert!(ranks.low > 98_900 && ranks.high < 99_100, "{ranks:?}");
    }
}
