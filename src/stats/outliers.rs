//! Values that stand apart from the rest: the modified z-score of Iglewicz and Hoaglin (1993).

use super::percentile::{median, percentile, sorted};

/// Score beyond which a value is called an outlier, as Iglewicz and Hoaglin advise.
pub const THRESHOLD: f64 = 3.5;

/// Indices of the outliers, in order. Empty for fewer than 3 values or one that is not finite.
pub fn outliers(values: &[f64]) -> Vec<usize> {
    modified_z_scores(values)
        .map(|scores| (0..scores.len()).filter(|i| scores[*i].abs() > THRESHOLD).collect())
        .unwrap_or_default()
}

/// Distance of each value from the median in robust standard deviations: 0.6745·(x − median) / MAD.
///
/// Where more than half of the values are equal, the MAD is 0 and the mean absolute deviation
/// stands in (1.253314 of it, as Iglewicz and Hoaglin have it). All equal: all scores are 0.
/// `None` for fewer than 3 values, or one that is not finite.
pub fn modified_z_scores(values: &[f64]) -> Option<Vec<f64>> {
    let center = median(values).filter(|_| values.len() >= 3)?;
    let deviations: Vec<f64> = values.iter().map(|value| (value - center).abs()).collect();
    let mad = percentile(&sorted(&deviations)?, 50.0);
    let mean = deviations.iter().sum::<f64>() / deviations.len() as f64;
    let unit = if mad > 0.0 { mad / 0.6745 } else { mean * 1.253_314 };
    Some(values.iter().map(|value| if unit > 0.0 { (value - center) / unit } else { 0.0 }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn matches_scipy() {
        // x = [9.9, 10, 10.1, 10.2, 14]
        // 0.6745 * (x - np.median(x)) / scipy.stats.median_abs_deviation(x) -> [..., 26.3055]
        let x = [9.9, 10.0, 10.1, 10.2, 14.0];
        let scores = modified_z_scores(&x).unwrap();
        assert!((scores[4] - 26.305_5).abs() < 1e-4, "{scores:?}");
        assert_eq!(outliers(&x), [4]);
    }

    #[test]
    fn equal_values_do_not_divide_by_zero() {
        assert!(outliers(&[5.0; 8]).is_empty());
        assert_eq!(outliers(&[5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 6.0]), [8]);
        assert!(outliers(&[1.0, 100.0]).is_empty());
        assert!(outliers(&[1.0, f64::NAN, 2.0]).is_empty());
    }

    proptest! {
        #[test]
        fn never_more_than_half_and_never_the_middle(xs in prop::collection::vec(1e-3..1e6f64, 3..40)) {
            let found = outliers(&xs);
            prop_assert!(found.len() * 2 <= xs.len());
            let center = median(&xs).unwrap();
            prop_assert!(found.iter().all(|i| xs[*i] != center));
        }
    }
}
