//! Percentiles, and the rule for when one may be printed.
//!
//! Comes in: values. Goes out: one of them, or a point between two. Not here: intervals.

/// Linear-interpolated percentile of sorted data, `p` in `[0, 100]` (NumPy's default).
///
/// # Panics
///
/// If `sorted` is empty or `p` is out of range: both are bugs in the caller.
pub fn percentile(sorted: &[f64], p: f64) -> f64 {
    assert!(!sorted.is_empty() && (0.0..=100.0).contains(&p));
    let rank = p / 100.0 * (sorted.len() - 1) as f64;
    let (low, high) = (rank.floor() as usize, rank.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * rank.fract()
}

/// Middle value of unsorted data; `None` if there is none or one of them is not finite.
pub fn median(values: &[f64]) -> Option<f64> {
    sorted(values).map(|sorted| percentile(&sorted, 50.0))
}

/// Percentile of unsorted data, only where the count supports it: p90 from 64 values on, p95
/// from 130, p99 from 662 (the same below the median: p10 needs what p90 needs). `None` otherwise.
pub fn supported_percentile(values: &[f64], p: f64) -> Option<f64> {
    let needed = needed_values(p)?;
    if values.len() < needed {
        return None;
    }
    sorted(values).map(|sorted| percentile(&sorted, p))
}

/// Values that a percentile needs, rounded up to the next of the three rules; `None` past p99.
pub(super) fn needed_values(p: f64) -> Option<usize> {
    match p.max(100.0 - p) {
        50.0 => Some(1),
        tail if tail <= 90.0 => Some(64),
        tail if tail <= 95.0 => Some(130),
        tail if tail <= 99.0 => Some(662),
        _ => None,
    }
}

/// The values in rising order; `None` if there are none or one of them is not finite.
pub(super) fn sorted(values: &[f64]) -> Option<Vec<f64>> {
    if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn matches_numpy() {
        // numpy.percentile([1, 2, 3, 4], [0, 50, 90, 100])
        let got = [0.0, 50.0, 90.0, 100.0].map(|p| percentile(&[1.0, 2.0, 3.0, 4.0], p));
        assert_eq!(got, [1.0, 2.5, 3.7, 4.0]);
    }

    #[test]
    fn a_percentile_is_absent_where_the_count_does_not_support_it() {
        let values: Vec<f64> = (0..662).map(f64::from).collect();
        for (p, needed) in [(90.0, 64), (10.0, 64), (75.0, 64), (95.0, 130), (99.0, 662)] {
            assert_eq!(supported_percentile(&values[..needed - 1], p), None, "p{p}");
            assert!(supported_percentile(&values[..needed], p).is_some(), "p{p}");
        }
        assert_eq!(supported_percentile(&[3.0], 50.0), Some(3.0));
        for never in [99.9, 101.0, -1.0, f64::NAN] {
            assert_eq!(supported_percentile(&values, never), None);
        }
        assert_eq!(supported_percentile(&[f64::NAN; 64], 90.0), None);
    }

    proptest! {
        #[test]
        fn lies_in_range_and_never_falls_as_p_rises(
            mut xs in prop::collection::vec(0.0..1e6f64, 1..50), p in 0.0..100.0f64, q in 0.0..100.0f64,
        ) {
            xs.sort_by(f64::total_cmp);
            let (low, high) = (percentile(&xs, p.min(q)), percentile(&xs, p.max(q)));
            prop_assert!(xs[0] <= low && low <= high + 1e-9 && high <= xs[xs.len() - 1]);
        }
    }
}
