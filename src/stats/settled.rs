//! When to stop: the warm-up has come to rest, the interval is narrow enough.

use super::estimate::{Estimate, LEVEL};
use super::percentile::median;

/// Whether the last `k` values lie within `tolerance` of their own median, relative to it
/// (0.05 is 5 %). `false` for fewer than `k` values, for `k` below 2, and for values not finite.
pub fn settled(values: &[f64], k: usize, tolerance: f64) -> bool {
    let Some(start) = values.len().checked_sub(k).filter(|_| k >= 2) else {
        return false;
    };
    let last = &values[start..];
    median(last).is_some_and(|m| last.iter().all(|value| (value - m).abs() <= tolerance * m.abs()))
}

/// Whether the 95 % interval of the median is no wider than `target` to either side, relative to
/// the median (0.05 is ± 5 %). `false` for fewer than 6 values: those have no 95 % interval.
pub fn narrow_enough(values: &[f64], target: f64) -> bool {
    Estimate::of(values)
        .filter(|estimate| estimate.ci_level == Some(LEVEL))
        .and_then(|estimate| estimate.relative_half_width())
        .is_some_and(|width| width <= target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_last_runs_count() {
        let warming = [300.0, 180.0, 104.0, 101.0, 100.0];
        assert!(settled(&warming, 3, 0.05));
        assert!(!settled(&warming, 4, 0.05));
        assert!(!settled(&warming, 6, 10.0));
        assert!(!settled(&warming, 1, 0.05));
        assert!(!settled(&[1.0, f64::NAN, 1.0], 2, 0.05));
    }

    #[test]
    fn five_values_are_never_enough_for_an_interval_of_95_percent() {
        assert!(!narrow_enough(&[100.0; 5], 0.05));
        assert!(narrow_enough(&[100.0; 6], 0.05));
        // 6 values: between [min, max] (96.9 %) and the next pair; half of 96..104 is 4 % at most.
        assert!(narrow_enough(&[96.0, 99.0, 100.0, 100.0, 101.0, 104.0], 0.04));
        assert!(!narrow_enough(&[80.0, 99.0, 100.0, 100.0, 101.0, 120.0], 0.04));
    }

    proptest! {
        #[test]
        fn a_wider_tolerance_never_unsettles(
            xs in prop::collection::vec(1.0..1e3f64, 2..20), k in 2usize..10, t in 0.0..1.0f64, more in 0.0..1.0f64,
        ) {
            prop_assert!(!settled(&xs, k, t) || settled(&xs, k, t + more));
            prop_assert!(!narrow_enough(&xs, t) || narrow_enough(&xs, t + more));
        }
    }
}
