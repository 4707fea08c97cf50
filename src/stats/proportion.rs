//! Shares: of so many questions, so many were answered.
//!
//! Comes in: counts. Goes out: the share, or the difference of two, with its interval. Not here: what counts as
//! answered.

use super::estimate::{Interval, LEVEL};

/// 97.5 % of the standard normal distribution lies below.
const Z: f64 = 1.959_963_984_540_054;

/// So many of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// At most `n`.
    pub correct: u32,
    /// How many there were.
    pub n: u32,
}

/// The share with its 95 % interval (Wilson 1927, the score interval). `None` for none of none, and for more
/// than there are.
///
/// It stays inside [0, 1] and keeps its level for shares near 0 and 1, where the textbook's p ± 1.96 s does not.
pub fn wilson(correct: u32, n: u32) -> Option<Interval> {
    if n == 0 || correct > n {
        return None;
    }
    let (count, size) = (f64::from(correct), f64::from(n));
    let (middle, square) = (count + Z * Z / 2.0, Z * Z + size);
    let half = Z * (count * (size - count) / size + Z * Z / 4.0).sqrt();
    // At both ends the root is exact on paper only.
    let low = if correct == 0 { 0.0 } else { (middle - half) / square };
    let high = if correct == n { 1.0 } else { (middle + half) / square };
    Some(Interval { value: count / size, low, high, level: LEVEL })
}

/// The share of `a` minus that of `b`, two independent samples, with its 95 % interval (Newcombe 1998, method
/// 10: made of the two score intervals). `None` where one of them has none.
pub fn newcombe(a: Share, b: Share) -> Option<Interval> {
    let (a, b) = (wilson(a.correct, a.n)?, wilson(b.correct, b.n)?);
    let difference = a.value - b.value;
    let below = (a.value - a.low).hypot(b.high - b.value);
    let above = (a.high - a.value).hypot(b.value - b.low);
    Some(Interval { value: difference, low: difference - below, high: difference + above, level: LEVEL })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rounded(interval: Option<Interval>) -> [f64; 2] {
        let interval = interval.expect("an interval");
        [interval.low, interval.high].map(|end| (end * 1e4).round() / 1e4)
    }

    #[test]
    fn matches_newcombe_1998a() {
        // Two-sided confidence intervals for the single proportion, Statistics in Medicine 17, table I, method 3.
        let published = [(81, 263), (15, 148), (0, 20), (1, 29)].map(|(r, n)| rounded(wilson(r, n)));
        assert_eq!(published, [[0.2553, 0.3662], [0.0624, 0.1605], [0.0, 0.1611], [0.0061, 0.1718]]);
    }

    #[test]
    fn matches_newcombe_1998b() {
        // Interval estimation for the difference between independent proportions, ibid., table II, method 10.
        let difference = |a, m, b, n| rounded(newcombe(Share { correct: a, n: m }, Share { correct: b, n }));
        assert_eq!(difference(56, 70, 48, 80), [0.0524, 0.3339]);
        assert_eq!(difference(9, 10, 3, 10), [0.1705, 0.8090]);
        assert_eq!(difference(10, 10, 0, 20), [0.6791, 1.0]);
    }

    #[test]
    fn nothing_has_no_share() {
        assert_eq!([wilson(0, 0), wilson(2, 1)], [None, None]);
        assert_eq!(newcombe(Share { correct: 1, n: 2 }, Share { correct: 0, n: 0 }), None);
    }

    proptest! {
        #[test]
        fn holds_the_share_inside_the_possible_and_narrows(n in 1u32..5000, part in 0.0..=1.0f64) {
            let correct = (f64::from(n) * part) as u32;
            let share = wilson(correct, n).unwrap();
            prop_assert!(0.0 <= share.low && share.low <= share.value);
            prop_assert!(share.value <= share.high && share.high <= 1.0);
            let four = wilson(4 * correct, 4 * n).unwrap();
            prop_assert!(four.high - four.low < share.high - share.low);
        }

        #[test]
        fn a_difference_turns_its_sign_with_its_sides(
            a in 0u32..50, b in 0u32..50, more_a in 1u32..50, more_b in 1u32..50,
        ) {
            let (a, b) = (Share { correct: a, n: a + more_a }, Share { correct: b, n: b + more_b });
            let (forth, back) = (newcombe(a, b).unwrap(), newcombe(b, a).unwrap());
            prop_assert!((forth.low + back.high).abs() < 1e-12 && (forth.value + back.value).abs() < 1e-12);
            prop_assert!(-1.0 - 1e-12 <= forth.low && forth.low <= forth.value);
            prop_assert!(forth.value <= forth.high && forth.high <= 1.0 + 1e-12);
        }
    }
}
