//! Mixtures: values of several kinds, each with its share, against plain ones.
//!
//! Comes in: samples of each kind, and the share that each kind has. Goes out: mean and percentiles of the mix,
//! and their ratio to those of other samples with an interval. Not here: what the shares follow from.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::estimate::{Interval, LEVEL};
use super::percentile::{percentile, sorted};

/// Bootstrap draws per interval: the ends then move by under 2 % of the width from seed to seed.
const DRAWS: usize = 2000;

/// One kind in a mix.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its share; the shares of a mix need not add up to 1.
    pub share: f64,
    /// Its samples.
    pub values: Vec<f64>,
}

/// What is asked of a mix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// Arithmetic mean.
    Mean,
    /// The smallest value that so many per cent of the mix do not exceed.
    Percentile(f64),
}

/// A measure of a mix; `None` if a part with a share has no samples, or nothing has a share.
pub fn measure(parts: &[Part], what: Measure) -> Option<f64> {
    let parts: Vec<&Part> = parts.iter().filter(|part| part.share > 0.0).collect();
    if parts.is_empty() || parts.iter().any(|part| part.values.is_empty()) {
        return None;
    }
    let whole: f64 = parts.iter().map(|part| part.share).sum();
    let weight = |part: &Part| part.share / whole / part.values.len() as f64;
    let weighed = parts.iter().flat_map(|part| part.values.iter().map(|value| (*value, weight(part))));
    match what {
        Measure::Mean => Some(weighed.map(|(value, weight)| value * weight).sum()),
        Measure::Percentile(p) => {
            let mut weighed: Vec<(f64, f64)> = weighed.collect();
            weighed.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut below = 0.0;
            let reached = weighed.iter().find(|(_, weight)| {
                below += weight;
                // A hair of slack for sums of weights.
                below >= p / 100.0 - 1e-9
            });
            reached.or(weighed.last()).map(|(value, _)| *value)
        }
    }
}

/// A measure of the mix over that of `plain` samples, with a seeded bootstrap interval over requests.
///
/// `None` where either has no such measure, a value is not finite, or that of `plain` is not above 0.
pub fn ratio(mix: &[Part], plain: &[f64], what: Measure, seed: u64) -> Option<Interval> {
    let plain = [Part { share: 1.0, values: plain.to_vec() }];
    if mix.iter().chain(&plain).any(|part| part.values.iter().any(|value| !value.is_finite())) {
        return None;
    }
    let of = |mix: &[Part], plain: &[Part]| {
        let base = measure(plain, what).filter(|base| *base > 0.0)?;
        Some(measure(mix, what)? / base)
    };
    let value = of(mix, &plain)?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let draws: Vec<f64> =
        (0..DRAWS).filter_map(|_| of(&redrawn(mix, &mut rng), &redrawn(&plain, &mut rng))).collect();
    let drawn = sorted(&draws)?;
    let (low, high) = (percentile(&drawn, 2.5).min(value), percentile(&drawn, 97.5).max(value));
    Some(Interval { value, low, high, level: LEVEL })
}

fn redrawn(parts: &[Part], rng: &mut Xoshiro256PlusPlus) -> Vec<Part> {
    let mut draw = |values: &[f64]| match values.len() {
        0 => Vec::new(),
        n => (0..n).map(|_| values[rng.random_range(0..n)]).collect(),
    };
    parts.iter().map(|part| Part { share: part.share, values: draw(&part.values) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(share: f64, values: impl IntoIterator<Item = f64>) -> Part {
        Part { share, values: values.into_iter().collect() }
    }

    #[test]
    fn a_mix_weighs_its_parts_by_share_and_not_by_samples() {
        let mix = [part(0.1, [1000.0; 3]), part(0.9, [10.0; 300])];
        assert!((measure(&mix, Measure::Mean).unwrap() - 109.0).abs() < 1e-9);
        assert_eq!(measure(&mix, Measure::Percentile(90.0)), Some(10.0));
        assert_eq!(measure(&mix, Measure::Percentile(95.0)), Some(1000.0));
    }

    #[test]
    fn a_single_part_is_the_inverted_cdf_of_numpy() {
        // numpy.percentile(range(1, 131), [50, 95, 100], method='inverted_cdf')
        let one = [part(1.0, (1..=130).map(f64::from))];
        let got = [50.0, 95.0, 100.0].map(|p| measure(&one, Measure::Percentile(p)).unwrap());
        assert_eq!(got, [65.0, 124.0, 130.0]);
    }

    #[test]
    fn a_part_without_a_share_needs_no_samples_and_one_with_a_share_does() {
        assert_eq!(measure(&[part(0.0, []), part(1.0, [2.0])], Measure::Mean), Some(2.0));
        assert_eq!(measure(&[part(0.1, []), part(0.9, [2.0])], Measure::Mean), None);
        assert_eq!(measure(&[], Measure::Mean), None);
        assert_eq!(ratio(&[part(1.0, [1.0])], &[0.0], Measure::Mean, 1), None);
        assert_eq!(ratio(&[part(1.0, [f64::NAN])], &[1.0], Measure::Mean, 1), None);
    }

    #[test]
    fn simulated_ratios_lie_in_their_intervals_nearly_as_often_as_claimed() {
        const TRIALS: u64 = 200;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(9);
        let mut exponential =
            |n: usize| -> Vec<f64> { (0..n).map(|_| 1.0 - 0.1 * (1.0 - rng.random::<f64>()).ln()).collect() };
        let hits = (0..TRIALS).filter(|seed| {
            let mix = [part(0.3, exponential(130)), part(0.7, exponential(130))];
            let i = ratio(&mix, &exponential(130), Measure::Percentile(95.0), *seed).expect("a ratio");
            i.low <= 1.0 && 1.0 <= i.high
        });
        let real = hits.count() as f64 / TRIALS as f64;
        println!("{real}");
        assert!((0.90..=0.99).contains(&real), "{real}");
    }
}
