//! Paired values: the same question measured twice, in the same block.
//!
//! Comes in: one value per pair (a difference or a ratio). Goes out: their Hodges-Lehmann estimate with the
//! interval that belongs to it (Wilcoxon's signed ranks). Not here: independent samples (`two_samples`).
//!
//! Both are made of the Walsh averages, the means of any two of the values and of each with itself. The
//! interval is exact where the differences are symmetric. Differences of two skewed times nearly are; where
//! they are not, the estimate is of the median of the mean of two differences, and the tests hold how often
//! the interval holds that. Against the interval of the median by order statistics (`Estimate::of`) it is the
//! same for 3 to 5 pairs, where both span all values, a fifth wider for 6 (96.9 % instead of 95), and 8 to
//! 15 % narrower for 10 to 20 in the tests.

use serde::{Deserialize, Serialize};

use super::estimate::{FEWEST, LEVEL};
use super::percentile::{percentile, sorted};

/// Pairs up to which the distribution of the rank sum is counted.
const MOST_EXACT: usize = 50;

/// Pairs above which they are thinned to their own quantiles before averages are formed.
const MOST_VALUES: usize = 1000;

/// Hodges-Lehmann estimate of paired values with its confidence interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Pairs.
    pub n: u32,
    /// The Hodges-Lehmann estimate: the median of the means of any two pairs. Where the values are symmetric
    /// it estimates their median, with less noise than the middle value has.
    pub median: f64,
    /// Lower end; `None` for fewer than 3 pairs.
    pub ci_low: Option<f64>,
    /// Upper end.
    pub ci_high: Option<f64>,
    /// How often such an interval holds the truth: 0.95 (or a little more often) from 6 pairs on, less for 3 to 5 (0.75, 0.875,
    /// 0.9375), where it spans all values and no wider one can be had.
    pub ci_level: Option<f64>,
}

impl Paired {
    /// Summary of paired values; `None` if there are none or one is not finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        Self::at_level(values, LEVEL)
    }

    /// The same with an interval of another level in (0, 1); `ci_level` is what was reached of it.
    pub fn at_level(values: &[f64], level: f64) -> Option<Self> {
        let n = values.len();
        let averages = walsh_averages(&thinned(sorted(values)?));
        let median = percentile(&averages, 50.0);
        let bare = Self { n: n as u32, median, ..Self::default() };
        if n < FEWEST {
            return Some(bare);
        }
        let rank = rank(n, level);
        // Of a thinned sample the ranks stand for shares.
        let share = rank.map_or(0.0, |rank| rank as f64 / (n * (n + 1) / 2) as f64);
        let skip = ((share * averages.len() as f64).round() as usize).min((averages.len() - 1) / 2);
        Some(Self {
            ci_low: Some(averages[skip].min(median)),
            ci_high: Some(averages[averages.len() - 1 - skip].max(median)),
            ci_level: Some(rank.map_or(1.0 - 0.5_f64.powi(n as i32 - 1), |_| level)),
            ..bare
        })
    }
}

fn walsh_averages(values: &[f64]) -> Vec<f64> {
    let from = |(at, a): (usize, &f64)| values[at..].iter().map(|b| a + (b - a) / 2.0).collect::<Vec<_>>();
    let mut averages: Vec<f64> = values.iter().enumerate().flat_map(from).collect();
    averages.sort_by(f64::total_cmp);
    averages
}

fn thinned(sorted: Vec<f64>) -> Vec<f64> {
    if sorted.len() <= MOST_VALUES {
        return sorted;
    }
    let step = 100.0 / MOST_VALUES as f64;
    (0..MOST_VALUES).map(|i| percentile(&sorted, (i as f64 + 0.5) * step)).collect()
}

/// Averages to leave out at either end: the largest c with P(T ≤ c) ≤ (1 − level) / 2, where T is the sum of
/// the ranks of the values that lie above the truth. `None` where even c = 0 is too many.
fn rank(n: usize, level: f64) -> Option<usize> {
    let tail = (1.0 - level) / 2.0;
    if n > MOST_EXACT {
        let (n, z) = (n as f64, normal_quantile(1.0 - tail));
        let spread = (n * (n + 1.0) * (2.0 * n + 1.0) / 24.0).sqrt();
        return Some((n * (n + 1.0) / 4.0 - 0.5 - z * spread).max(0.0) as usize);
    }
    let mut below = 0.0;
    let within = rank_sums(n).into_iter().take_while(|chance| {
        below += chance;
        below <= tail
    });
    within.count().checked_sub(1)
}

/// Chance of each sum of ranks from 0 up to n (n + 1) / 2, where each of n ranks is in it or not by a coin.
fn rank_sums(n: usize) -> Vec<f64> {
    let most = n * (n + 1) / 2;
    let mut chances = vec![0.0; most + 1];
    chances[0] = 1.0;
    for rank in 1..=n {
        for sum in (0..=most).rev() {
            let with = if sum >= rank { chances[sum - rank] } else { 0.0 };
            chances[sum] = (chances[sum] + with) / 2.0;
        }
    }
    chances
}

/// Quantile of the normal distribution for p in (0.5, 1), by halving; within 1e-4 of it below 0.999.
fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (0.0, 8.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if normal_tail(middle) > 1.0 - p { low = middle } else { high = middle }
    }
    low
}

/// Chance of a standard normal value above z ≥ 0 (Abramowitz and Stegun 26.2.17, within 7.5e-8).
fn normal_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let series = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    let polynomial = series.iter().fold(0.0, |sum, b| (sum + b) * t);
    (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * polynomial
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::estimate::Estimate;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    const TWELVE: [f64; 12] =
        [3901.2, 4012.7, 3850.4, 4103.9, 3967.5, 4250.1, 3888.8, 4041.3, 3932.0, 4177.6, 3999.9, 3875.3];

    #[test]
    fn twelve_pairs_match_the_test_of_scipy_turned_around() {
        // The shifts mu between Walsh averages that scipy.stats.wilcoxon(x - mu, method='exact') does not
        // reject: at 5 % from 3910.40 to 4088.75, at 10 % from 3928.15 to 4069.45 (scipy 1.17).
        let near = |got: Option<f64>, wanted: f64| (got.unwrap() - wanted).abs() < 1e-9;
        let p = Paired::of(&TWELVE).unwrap();
        assert!((p.median - 3989.85).abs() < 1e-9, "{p:?}");
        assert!(near(p.ci_low, 3910.40) && near(p.ci_high, 4088.75), "{p:?}");
        assert_eq!((p.n, p.ci_level), (12, Some(0.95)));
        let p = Paired::at_level(&TWELVE, 0.9).unwrap();
        assert!(near(p.ci_low, 3928.15) && near(p.ci_high, 4069.45), "{p:?}");
    }

    #[test]
    fn ranks_match_the_distribution_of_scipy() {
        // Largest c with scipy's WilcoxonDistribution(n).cdf(c) <= 0.025.
        for (n, c) in [(6, 0), (8, 3), (10, 8), (15, 25), (20, 52), (30, 137), (50, 434)] {
            assert_eq!(rank(n, 0.95), Some(c), "{n}");
        }
        // The normal approximation stays within one of the exact ones.
        for (n, c) in [(60, 648), (100, 1955)] {
            assert!(rank(n, 0.95).unwrap().abs_diff(c) <= 1, "{n}: {:?}", rank(n, 0.95));
        }
        assert_eq!(rank(5, 0.95), None);
        for (p, z) in [(0.975, 1.959_964), (0.95, 1.644_854), (0.995, 2.575_829)] {
            assert!((normal_quantile(p) - z).abs() < 1e-4, "{p}");
        }
    }

    #[test]
    fn three_to_five_pairs_span_all_and_say_their_level() {
        for (n, level) in [(3, 0.75), (4, 0.875), (5, 0.9375)] {
            let (p, e) = (Paired::of(&TWELVE[..n]).unwrap(), Estimate::of(&TWELVE[..n]).unwrap());
            assert_eq!((p.ci_low, p.ci_high, p.ci_level), (Some(e.min), Some(e.max), Some(level)));
        }
    }

    #[test]
    fn too_few_pairs_have_no_interval_and_none_have_no_estimate() {
        let two = Paired::of(&[1.0, 2.0]).unwrap();
        assert_eq!((two.median, two.ci_low, two.ci_level), (1.5, None, None));
        assert_eq!(Paired::of(&[]), None);
        assert_eq!(Paired::of(&[1.0, f64::INFINITY, 2.0]), None);
        assert_eq!(Paired::of(&[7.0; 9]).unwrap().ci_high, Some(7.0));
    }

    fn normal(rng: &mut Xoshiro256PlusPlus) -> f64 {
        let (u, v): (f64, f64) = (rng.random::<f64>().max(1e-300), rng.random());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// How often the interval holds the truth, and its mean width over that of the order statistics.
    struct Simulated {
        coverage: f64,
        width: f64,
    }

    /// Differences that are log-normal, `sigma` wide on the log scale, with `truth` as what they estimate.
    fn simulate(n: usize, sigma: f64, truth: f64) -> Simulated {
        const TRIALS: u32 = 4000;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(n as u64);
        let (mut hits, mut width, mut other) = (0, 0.0, 0.0);
        for _ in 0..TRIALS {
            let values: Vec<f64> = (0..n).map(|_| (sigma * normal(&mut rng)).exp()).collect();
            let (p, e) = (Paired::of(&values).expect("values"), Estimate::of(&values).expect("values"));
            let (low, high) = (p.ci_low.expect("an interval"), p.ci_high.expect("an interval"));
            hits += u32::from(low <= truth && truth <= high);
            width += high - low;
            other += e.ci_high.expect("an interval") - e.ci_low.expect("an interval");
        }
        Simulated { coverage: f64::from(hits) / f64::from(TRIALS), width: width / other }
    }

    #[test]
    fn simulated_intervals_of_log_normal_differences_hold_the_truth_as_often_as_they_claim() {
        // The median of the mean of two log-normal values, by 4 million draws with NumPy.
        for (sigma, truth) in [(0.1, 1.0026), (0.5, 1.0593)] {
            for (n, claimed) in [(3, 0.75), (4, 0.875), (5, 0.9375), (6, 0.95), (10, 0.95), (20, 0.95)] {
                let real = simulate(n, sigma, truth);
                println!("sigma {sigma}, n = {n:2}: {:.3}, width {:.2}", real.coverage, real.width);
                assert!(real.coverage > claimed - 0.02, "sigma {sigma}, n = {n}: {}", real.coverage);
                assert!(real.coverage < claimed + 0.03, "sigma {sigma}, n = {n}: {}", real.coverage);
                assert!(
                    n < 10 || sigma > 0.1 || real.width < 0.95,
                    "no narrower than order statistics: {}",
                    real.width
                );
            }
        }
    }

    #[test]
    fn the_median_of_mildly_skewed_differences_is_held_too() {
        // A spread of 10 % of the difference is much for a quiet box.
        for n in [6, 12, 40] {
            let real = simulate(n, 0.1, 1.0).coverage;
            assert!(real > 0.93, "n = {n}: {real}");
        }
    }

    #[test]
    fn many_pairs_are_thinned_without_a_step() {
        let values: Vec<f64> = (0..1001).map(|i| f64::from(i * i % 1009)).collect();
        let (all, more) = (Paired::of(&values[..1000]).unwrap(), Paired::of(&values).unwrap());
        assert!((all.median - more.median).abs() < 2.0, "{all:?} {more:?}");
        assert!((all.ci_low.unwrap() - more.ci_low.unwrap()).abs() < 2.0, "{all:?} {more:?}");
    }

    proptest! {
        #[test]
        fn a_shift_of_the_pairs_shifts_all(xs in prop::collection::vec(-1e3..1e3f64, 3..60), by in -1e3..1e3f64) {
            let shifted: Vec<f64> = xs.iter().map(|x| x + by).collect();
            let (a, b) = (Paired::of(&xs).unwrap(), Paired::of(&shifted).unwrap());
            for (a, b) in [(Some(a.median), Some(b.median)), (a.ci_low, b.ci_low), (a.ci_high, b.ci_high)] {
                prop_assert!((a.unwrap() + by - b.unwrap()).abs() < 1e-8);
            }
        }

        #[test]
        fn more_certainty_takes_more_room(xs in prop::collection::vec(-1e3..1e3f64, 3..80)) {
            let all = [0.5, 0.8, 0.9, 0.95, 0.99].map(|level| Paired::at_level(&xs, level).unwrap());
            for pair in all.windows(2) {
                prop_assert!(pair[1].ci_low <= pair[0].ci_low && pair[0].ci_high <= pair[1].ci_high);
                prop_assert!(pair[0].ci_low.unwrap() <= pair[0].median && pair[0].median <= pair[0].ci_high.unwrap());
            }
        }
    }
}
