//! How many times larger one set of values is than another.

use super::estimate::{Interval, median_interval};
use super::percentile::median;
use super::two_samples;

/// Ratio of the medians of two independent samples, with its interval ([`two_samples`]).
///
/// The interval is exact where both samples have the same shape up to a factor. Its `level` is
/// 0.95, and 0.90 for 3 against 3. `None` if either has fewer than 3 values, or a value that is
/// not positive and finite.
pub fn ratio(numerator: &[f64], denominator: &[f64]) -> Option<Interval> {
    if !all_positive(numerator) || !all_positive(denominator) {
        return None;
    }
    let value = median(numerator)? / median(denominator)?;
    two_samples::interval(numerator, denominator, value, |x, y| x / y)
}

/// Median of the ratios within pairs that were measured together (same block, same request).
///
/// The interval is that of [`median_interval`]: `level` 0.75 for 3 pairs, 0.95 from 6 on.
/// `None` for fewer than 3 pairs, unequal lengths, or a value that is not positive and finite.
pub fn paired_ratio(numerator: &[f64], denominator: &[f64]) -> Option<Interval> {
    if numerator.len() != denominator.len() || !all_positive(numerator) || !all_positive(denominator) {
        return None;
    }
    let ratios: Vec<f64> = numerator.iter().zip(denominator).map(|(x, y)| x / y).collect();
    median_interval(&ratios)
}

fn all_positive(values: &[f64]) -> bool {
    values.iter().all(|value| value.is_finite() && *value > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_value_is_the_ratio_of_numpy_medians() {
        // numpy.median([2, 4, 9, 5]) / numpy.median([1, 2, 3]) = 2.25
        let r = ratio(&[2.0, 4.0, 9.0, 5.0], &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(r.value, 2.25);
        assert!(r.low <= 2.25 && r.high >= 2.25);
    }

    #[test]
    fn pairing_removes_what_both_share() {
        let base: Vec<f64> = (1..=8).map(|i| f64::from(i * i)).collect();
        let slower: Vec<f64> = base.iter().map(|x| x * 1.5).collect();
        let paired = paired_ratio(&slower, &base).unwrap();
        assert_eq!((paired.low, paired.value, paired.high), (1.5, 1.5, 1.5));
        let unpaired = ratio(&slower, &base).unwrap();
        assert!(unpaired.low < 1.0 && unpaired.high > 2.0);
    }

    #[test]
    fn what_has_no_ratio_gets_none() {
        assert_eq!(ratio(&[1.0, 2.0], &[1.0, 2.0, 3.0]), None);
        assert_eq!(ratio(&[1.0, 2.0, 3.0], &[0.0, 2.0, 3.0]), None);
        assert_eq!(ratio(&[1.0, f64::INFINITY, 3.0], &[1.0, 2.0, 3.0]), None);
        assert_eq!(paired_ratio(&[1.0, 2.0, 3.0], &[1.0, 2.0]), None);
    }

    proptest! {
        #[test]
        fn a_factor_goes_straight_through(xs in prop::collection::vec(1.0..1e3f64, 3..20), factor in 0.1..10.0f64) {
            let scaled: Vec<f64> = xs.iter().map(|x| x * factor).collect();
            let (one, many) = (ratio(&xs, &xs).unwrap(), ratio(&scaled, &xs).unwrap());
            prop_assert!((many.value - factor).abs() < 1e-9 * factor);
            prop_assert!((many.low - factor * one.low).abs() < 1e-9 * many.high);
            prop_assert!(one.low <= 1.0 && 1.0 <= one.high);
        }
    }
}
