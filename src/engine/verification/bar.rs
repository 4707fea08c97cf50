//! How a path's logits are judged: numbers that tell a wrong model from rounding.
//! Comes in: two tensors of logits and a bar. Goes out: differences and a verdict.

use candle_core::{D, DType, Tensor};

/// How a path is judged.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    /// Floats in f32: largest absolute difference of a logit, and the same top-1 everywhere.
    Exact {
        /// The largest difference that passes.
        tolerance: f64,
    },
    /// Mean KL divergence, and the same top-1 wherever the reference is sure.
    Quantized {
        /// Largest difference of steps and chunks from the same file's own prefill that passes at any divergence.
        tolerance: f64,
    },
    /// Activations in half precision: as far from f32 as the reference implementation's own, by some factor.
    Rounded(Noise),
}

/// How far rounding leads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Largest absolute difference of a logit.
    pub max_abs_diff: f64,
    /// Mean KL divergence in nats.
    pub mean_kl: f64,
}

/// What a path's logits are held against.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Against {
    /// The reference.
    Reference,
    /// The logits that the same engine gave for the whole prompt.
    OwnPrefill,
}

/// Mean KL divergence that a quantized file may have from its own dequantized weights.
const QUANTIZED_MEAN_KL: f64 = 0.05;
/// Mean KL divergence that a quantized file's steps and chunks may have from its own prefill. They are mostly
/// equal to the last bit, but candle rounds activations to 8 bits in such products: a number at the edge
/// between two steps falls to either side, and every later position sees it.
const STEPS_MEAN_KL: f64 = 0.005;
/// A reference is sure of its top-1 where the runner-up lies this far below.
const SURE_GAP: f32 = 1.0;

/// A comparison and its verdict.
pub(super) struct Compared {
    pub max_abs_diff: f64,
    pub kl: Divergence,
    pub top1_share: f64,
    pub top1_equal: bool,
    pub pass: bool,
}

pub(super) fn compare(
    expected: &Tensor,
    got: &Tensor,
    bar: Bar,
    against: Against,
) -> anyhow::Result<Compared> {
    let (max_abs_diff, kl) = (max_abs_diff(expected, got)?, divergence(expected, got)?);
    let gap = match bar {
        Bar::Exact { .. } => 0.0,
        Bar::Quantized { .. } => SURE_GAP,
        // Two logits that each move by the bar can change places only if they lie closer than twice that.
        Bar::Rounded(bar) => 2.0 * bar.max_abs_diff as f32,
    };
    let top1_equal = top1_share(expected, got, gap)? == 1.0;
    let top1_share = top1_share(expected, got, f32::NEG_INFINITY)?;
    // A comparison with NaN is false, so output that is not finite never passes.
    let near = match (bar, against) {
        (Bar::Quantized { .. }, Against::Reference) => kl.mean <= QUANTIZED_MEAN_KL,
        (Bar::Quantized { tolerance }, Against::OwnPrefill) => {
            max_abs_diff <= tolerance || kl.mean <= STEPS_MEAN_KL
        }
        (Bar::Exact { tolerance }, _) => max_abs_diff <= tolerance,
        (Bar::Rounded(bar), _) => max_abs_diff <= bar.max_abs_diff && kl.mean <= bar.mean_kl,
    };
    Ok(Compared { max_abs_diff, kl, top1_share, top1_equal, pass: near && top1_equal })
}

/// How far `got` lies from `expected`, both (positions, vocabulary) f32.
pub fn noise(expected: &Tensor, got: &Tensor) -> candle_core::Result<Noise> {
    Ok(Noise { max_abs_diff: max_abs_diff(expected, got)?, mean_kl: divergence(expected, got)?.mean })
}

/// Largest absolute difference; NaN if any number is: candle's own maximum passes over NaN.
pub(super) fn max_abs_diff(expected: &Tensor, got: &Tensor) -> candle_core::Result<f64> {
    let differences = (expected - got)?.abs()?.flatten_all()?.to_vec1::<f32>()?;
    Ok(differences.into_iter().map(f64::from).fold(0.0, worst))
}

/// The larger of two numbers; NaN if either is.
fn worst(a: f64, b: f64) -> f64 {
    if a >= b || a.is_nan() { a } else { b }
}

/// KL(expected ‖ got) over rows, in nats; both NaN if any row is.
pub(super) struct Divergence {
    pub mean: f64,
    pub max: f64,
}

fn divergence(expected: &Tensor, got: &Tensor) -> candle_core::Result<Divergence> {
    let log = |t: &Tensor| candle_nn::ops::log_softmax(&t.to_dtype(DType::F64)?, D::Minus1);
    let (p, q) = (log(expected)?, log(got)?);
    let rows = (p.exp()? * (&p - &q)?)?.sum(D::Minus1)?.to_vec1::<f64>()?;
    let mean = rows.iter().sum::<f64>() / rows.len() as f64;
    Ok(Divergence { mean, max: rows.into_iter().fold(0.0, worst) })
}

/// Share of the rows whose two largest lie more than `gap` apart in which the largest is the same id; 1 where
/// there is no such row.
fn top1_share(expected: &Tensor, got: &Tensor, gap: f32) -> candle_core::Result<f64> {
    let (expected, got) = (expected.to_vec2::<f32>()?, got.to_vec2::<f32>()?);
    let sure: Vec<_> = expected.iter().zip(&got).filter(|(e, _)| lead(e) > gap).collect();
    let same = sure.iter().filter(|(e, g)| largest(e) == largest(g)).count();
    Ok(if sure.is_empty() { 1.0 } else { same as f64 / sure.len() as f64 })
}

fn largest(row: &[f32]) -> Option<usize> {
    (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]))
}

/// How far the largest number lies above the second largest.
fn lead(row: &[f32]) -> f32 {
    let mut top = [f32::NEG_INFINITY; 2];
    for x in row {
        if *x > top[0] {
            top = [*x, top[0]];
        } else if *x > top[1] {
            top[1] = *x;
        }
    }
    top[0] - top[1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn rows<const N: usize>(values: &[[f32; 3]; N]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_difference_beyond_the_tolerance_fails() {
        let bar = Bar::Exact { tolerance: 1e-3 };
        let reference = rows(&[[3.0, 1.0, 0.0]]);
        assert!(compare(&reference, &rows(&[[3.0005, 1.0, 0.0]]), bar, Against::Reference).unwrap().pass);
        assert!(!compare(&reference, &rows(&[[3.002, 1.0, 0.0]]), bar, Against::Reference).unwrap().pass);
    }

    #[test]
    fn half_precision_must_stay_within_both_measures_of_noise() {
        let reference = rows(&[[3.0, 1.0, 0.0]]);
        let got = rows(&[[3.2, 1.0, 0.0]]);
        let found = noise(&reference, &got).unwrap();
        let judge = |bar| compare(&reference, &got, Bar::Rounded(bar), Against::Reference).unwrap().pass;
        assert!(judge(found));
        assert!(!judge(Noise { max_abs_diff: 0.1, ..found }));
        assert!(!judge(Noise { mean_kl: 0.5 * found.mean_kl, ..found }));
    }

    #[test]
    fn output_that_is_not_finite_fails_wherever_it_stands() {
        let reference = rows(&[[3.0, 1.0, 0.0]]);
        let wide = Noise { max_abs_diff: 1e9, mean_kl: 1e9 };
        let bars = [Bar::Exact { tolerance: 1e9 }, Bar::Quantized { tolerance: 1e9 }, Bar::Rounded(wide)];
        for bad in [f32::NAN, -f32::NAN, f32::NEG_INFINITY] {
            for at in 0..3 {
                let mut row = [3.0, 1.0, 0.0];
                row[at] = bad;
                for bar in bars {
                    for against in [Against::Reference, Against::OwnPrefill] {
                        let result = compare(&reference, &rows(&[row]), bar, against).unwrap();
                        assert!(!result.pass, "{bad} at {at}, {bar:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn quantized_rows_are_judged_by_divergence_and_where_the_reference_is_sure() {
        let bar = Bar::Quantized { tolerance: 1e-3 };
        let reference = rows(&[[3.0, 1.0, 0.0], [1.0, 0.9, 0.0]]);
        let close = rows(&[[2.9, 1.1, 0.0], [0.9, 1.0, 0.0]]); // second row flips, but was not sure
        assert!(compare(&reference, &close, bar, Against::Reference).unwrap().pass);
        let flipped = rows(&[[1.0, 3.0, 0.0], [1.0, 0.9, 0.0]]);
        let result = compare(&reference, &flipped, bar, Against::Reference).unwrap();
        assert!(!result.pass && !result.top1_equal && result.kl.mean > 0.05);
        let far = rows(&[[2.7, 1.3, 0.0], [0.9, 1.0, 0.0]]);
        assert!(compare(&reference, &far, bar, Against::Reference).unwrap().pass);
        assert!(!compare(&reference, &far, bar, Against::OwnPrefill).unwrap().pass);
    }

    #[test]
    fn divergence_is_the_textbook_number() {
        // scipy.stats.entropy([0.5, 0.5], [0.25, 0.75]) = 0.14384103622589045
        let p = Tensor::new(&[[0.5f32.ln(), 0.5f32.ln()]], &Device::Cpu).unwrap();
        let q = Tensor::new(&[[0.25f32.ln(), 0.75f32.ln()]], &Device::Cpu).unwrap();
        let one = divergence(&p, &q).unwrap();
        assert!((one.mean - 0.143_841_036_225_890_45).abs() < 1e-7);
        let (p, q) = (Tensor::cat(&[&p, &p], 0).unwrap(), Tensor::cat(&[&q, &p], 0).unwrap());
        let two = divergence(&p, &q).unwrap();
        assert!((two.max - one.mean).abs() < 1e-12 && (two.mean - one.mean / 2.0).abs() < 1e-12);
    }

    #[test]
    fn the_share_of_equal_ids_counts_the_rows_that_the_bar_forgives() {
        let reference = rows(&[[3.0, 1.0, 0.0], [1.0, 0.9, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 5.0]]);
        let got = rows(&[[2.9, 1.1, 0.0], [0.9, 1.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 5.0]]);
        let result =
            compare(&reference, &got, Bar::Quantized { tolerance: 1e-3 }, Against::Reference).unwrap();
        assert!(result.top1_equal && result.top1_share == 0.75);
    }
}
