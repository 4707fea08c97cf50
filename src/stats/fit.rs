//! How a time grows with context length: a line or a curve, with intervals, and which of them.
//!
//! Comes in: points (tokens, value). Goes out: a law over the measured range. Not here: which
//! samples belong to which fit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::estimate::Interval;
use super::least_squares::{Group, polynomial, residual_sum};
use super::percentile::median;
use super::{resample, two_samples};

/// Distinct lengths that a line needs.
const LINE_NEEDS: usize = 3;
/// Distinct lengths that a curve needs: one more than it has coefficients.
const CURVE_NEEDS: usize = 4;
/// A curve must lower AICc by more than this to be preferred (Burnham and Anderson's "substantial").
const CURVE_GAIN: f64 = 2.0;

/// A law `y = a + b·n (+ c·n²)` and how well it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Law {
    /// `linear` or `quadratic`.
    pub kind: LawKind,
    /// a, b and, for a quadratic, c; ms, ms/token, ms/token².
    pub coefficients: Vec<Interval>,
    /// Smallest and largest n that was measured: the law says nothing outside.
    pub range_tokens: [u32; 2],
    /// Distinct lengths it was fitted over.
    pub points: u32,
    /// Share of variance explained.
    pub r_squared: f64,
    /// Why this law and not the other, in one sentence.
    pub reason: String,
}

/// Shape of a [`Law`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LawKind {
    /// a + b·n
    Linear,
    /// a + b·n + c·n²
    Quadratic,
}

impl LawKind {
    fn degree(self) -> usize {
        match self {
            Self::Linear => 1,
            Self::Quadratic => 2,
        }
    }
}

/// One sample: a value measured at a length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Context length, or depth of the cache.
    pub tokens: u32,
    /// What was measured there, e.g. TTFT in ms.
    pub value: f64,
}

/// The law that the points support.
///
/// `None` for fewer than 3 distinct lengths, for values that are not finite, and where no length
/// was measured twice (nothing then tells noise from shape).
pub fn fit(points: &[Point], seed: u64) -> Option<Law> {
    let groups = grouped(points)?;
    if groups.len() < LINE_NEEDS {
        return None;
    }
    let choice = choose(&groups, seed)?;
    let values: Vec<f64> = choice.coefficients.iter().map(|c| c.value).collect();
    Some(Law {
        kind: choice.kind,
        r_squared: r_squared(&groups, &values),
        coefficients: choice.coefficients,
        range_tokens: [groups[0].tokens, groups[groups.len() - 1].tokens],
        points: groups.len() as u32,
        reason: choice.reason,
    })
}

/// What each further 1,000 tokens add on average over the measured range.
///
/// For 3 or more lengths, the slope from the smallest to the largest on the law of [`fit`]; for
/// 2 lengths, the slope between their medians, with the interval of [`two_samples`]. `None` for
/// one length, and for 2 lengths of which one has fewer than 3 values.
pub fn slope_per_1000(points: &[Point], seed: u64) -> Option<Interval> {
    let groups = grouped(points)?;
    let [first, .., last] = groups.as_slice() else {
        return None;
    };
    let per_1000 = 1000.0 / f64::from(last.tokens - first.tokens);
    if groups.len() == 2 {
        let rise = median(&last.values)? - median(&first.values)?;
        let i = two_samples::interval(&last.values, &first.values, rise, |x, y| x - y)?;
        return Some(Interval {
            value: i.value * per_1000,
            low: i.low * per_1000,
            high: i.high * per_1000,
            level: i.level,
        });
    }
    let degree = choose(&groups, seed)?.kind.degree();
    let ends = f64::from(first.tokens) + f64::from(last.tokens);
    let secant = |groups: &[Group]| {
        let law = polynomial(groups, degree)?;
        Some(vec![1000.0 * (law[1] + law.get(2).map_or(0.0, |c| c * ends))])
    };
    resample::intervals(&groups, seed, secant)?.pop()
}

/// A law's kind and coefficients, and why.
struct Choice {
    kind: LawKind,
    coefficients: Vec<Interval>,
    reason: String,
}

fn choose(groups: &[Group], seed: u64) -> Option<Choice> {
    let coefficients =
        |kind: LawKind| resample::intervals(groups, seed, |groups| polynomial(groups, kind.degree()));
    let line = |reason: String| {
        coefficients(LawKind::Linear).map(|coefficients| Choice {
            kind: LawKind::Linear,
            coefficients,
            reason,
        })
    };
    if groups.len() < CURVE_NEEDS {
        return line(format!(
            "linear: {} lengths were measured, and a curve needs {CURVE_NEEDS}",
            groups.len()
        ));
    }
    let gain = aicc(groups, LawKind::Linear)? - aicc(groups, LawKind::Quadratic)?;
    if gain <= CURVE_GAIN {
        return line("linear: a curve explains the samples no better than a straight line".into());
    }
    let curve = coefficients(LawKind::Quadratic)?;
    let bend = curve[2];
    let reason = match (bend.low > 0.0, bend.high < 0.0) {
        (true, _) => {
            format!("quadratic: it explains the samples better than a straight line (AICc {gain:.1} lower)")
        }
        (_, true) => "quadratic, bending down: each further token cost less than the last over this range, \
                      which is no law of growth and holds nowhere beyond it"
            .into(),
        _ => return line("linear: the samples bend, but by no more than their noise".into()),
    };
    Some(Choice { kind: LawKind::Quadratic, coefficients: curve, reason })
}

/// Akaike's criterion with the correction for few samples (Hurvich and Tsai 1989), up to a constant.
fn aicc(groups: &[Group], kind: LawKind) -> Option<f64> {
    let law = polynomial(groups, kind.degree())?;
    let samples: f64 = groups.iter().map(|group| group.values.len() as f64).sum();
    let square: f64 = groups.iter().flat_map(|group| &group.values).map(|y| y * y).sum();
    // Below the rounding of the values themselves, one fit is as perfect as the other.
    let residual = residual_sum(groups, &law).max(square * 1e-20);
    let parameters = (law.len() + 1) as f64; // and the variance
    let rest = samples - parameters - 1.0;
    let correction = if rest > 0.0 { 2.0 * parameters * (parameters + 1.0) / rest } else { f64::INFINITY };
    let fit = if residual > 0.0 { samples * (residual / samples).ln() } else { 0.0 };
    Some(fit + 2.0 * parameters + correction)
}

fn r_squared(groups: &[Group], law: &[f64]) -> f64 {
    let count: usize = groups.iter().map(|group| group.values.len()).sum();
    let mean = groups.iter().flat_map(|group| &group.values).sum::<f64>() / count as f64;
    let total = residual_sum(groups, &[mean]);
    if total > 0.0 { 1.0 - residual_sum(groups, law) / total } else { 1.0 }
}

/// Points by length, rising; `None` if there are none or a value is not finite.
fn grouped(points: &[Point]) -> Option<Vec<Group>> {
    let mut by_length: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for point in points {
        if !point.value.is_finite() {
            return None;
        }
        by_length.entry(point.tokens).or_default().push(point.value);
    }
    let groups = by_length.into_iter().map(|(tokens, values)| Group { tokens, values }).collect::<Vec<_>>();
    (!groups.is_empty()).then_some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Three samples a length, spread by ± `noise` around `law`.
    fn measured(lengths: &[u32], noise: f64, law: fn(f64) -> f64) -> Vec<Point> {
        let at = |tokens: &u32| {
            let y = law(f64::from(*tokens));
            [1.0 - noise, 1.0 + 0.4 * noise, 1.0 + 0.6 * noise]
                .map(|f| Point { tokens: *tokens, value: y * f })
        };
        lengths.iter().flat_map(at).collect()
    }

    #[test]
    fn a_curve_is_called_a_curve_and_its_coefficients_match_numpy() {
        let points = measured(&[64, 512, 1024, 2048, 4096], 0.01, |n| 20.0 + 0.5 * n + 1e-4 * n * n);
        let law = fit(&points, 7).unwrap();
        assert_eq!((law.kind, law.points, law.range_tokens), (LawKind::Quadratic, 5, [64, 4096]));
        // the three factors average to 1, so numpy.polyfit over all 15 points returns the law itself
        for (got, wanted) in law.coefficients.iter().zip([20.0, 0.5, 1e-4]) {
            assert!((got.value - wanted).abs() < 1e-6 * wanted, "{law:?}");
            assert!(got.low < wanted && wanted < got.high, "{law:?}");
        }
        assert!(law.r_squared > 0.999, "{law:?}");
        assert!(law.reason.starts_with("quadratic: it explains"), "{}", law.reason);
        let slope = slope_per_1000(&points, 7).unwrap();
        assert!((slope.value - 1000.0 * (0.5 + 1e-4 * 4160.0)).abs() < 1e-3, "{slope:?}");
        assert!(slope.low < slope.value && slope.value < slope.high);
    }

    #[test]
    fn a_line_stays_a_line() {
        let points = measured(&[64, 512, 1024, 2048], 0.03, |n| 20.0 + 0.5 * n);
        let law = fit(&points, 7).unwrap();
        assert_eq!((law.kind, law.coefficients.len()), (LawKind::Linear, 2));
        let exact = measured(&[64, 512, 1024, 2048], 0.0, |n| 20.0 + 0.5 * n);
        assert_eq!(fit(&exact, 7).unwrap().kind, LawKind::Linear);
    }

    #[test]
    fn three_lengths_are_never_a_curve_and_two_are_no_law() {
        let points = measured(&[64, 512, 1024], 0.001, |n| n * n);
        let law = fit(&points, 7).unwrap();
        assert_eq!(law.kind, LawKind::Linear);
        assert_eq!(law.reason, "linear: 3 lengths were measured, and a curve needs 4");
        let two = measured(&[24, 1024], 0.01, |n| 20.0 + 0.5 * n);
        assert_eq!(fit(&two, 7), None);
        let slope = slope_per_1000(&two, 7).unwrap();
        assert!((slope.value - 500.0).abs() < 5.0 && (slope.level - 0.9).abs() < 1e-12, "{slope:?}");
        assert_eq!(slope_per_1000(&two[..3], 7), None);
        assert_eq!(slope_per_1000(&[], 7), None);
    }

    #[test]
    fn a_curve_that_bends_down_is_reported_and_not_called_growth() {
        let points = measured(&[64, 512, 1024, 2048, 4096], 0.005, |n| 20.0 + 0.5 * n - 5e-5 * n * n);
        let law = fit(&points, 7).unwrap();
        assert_eq!(law.kind, LawKind::Quadratic);
        assert!(law.coefficients[2].high < 0.0 && law.reason.contains("no law of growth"), "{law:?}");
    }

    #[test]
    fn one_sample_a_length_is_no_law() {
        let points: Vec<Point> = (1..6).map(|i| Point { tokens: i * 100, value: f64::from(i) }).collect();
        assert_eq!(fit(&points, 7), None);
        let mut wrong = measured(&[1, 2, 3], 0.1, |n| n);
        wrong[0].value = f64::NAN;
        assert_eq!((fit(&wrong, 7), slope_per_1000(&wrong, 7)), (None, None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn a_factor_on_the_times_scales_the_law(factor in 0.01..100.0f64, seed: u64) {
            let points = measured(&[64, 512, 1024, 2048], 0.02, |n| 20.0 + 0.5 * n);
            let scaled: Vec<Point> = points.iter().map(|p| Point { value: p.value * factor, ..*p }).collect();
            let (one, many) = (fit(&points, seed).unwrap(), fit(&scaled, seed).unwrap());
            prop_assert_eq!(one.kind, many.kind);
            for (x, y) in one.coefficients.iter().zip(&many.coefficients) {
                prop_assert!((y.low - factor * x.low).abs() < 1e-6 * (factor * x.low).abs().max(1e-9));
            }
            prop_assert!((one.r_squared - many.r_squared).abs() < 1e-9);
        }
    }
}
