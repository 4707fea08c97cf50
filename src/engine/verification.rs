//! Proof of an engine against reference logits: whole prompt, token by token, in uneven chunks,
//! and greedily. Comes in: a loaded engine and a reference. Goes out: one row per path.

use candle_core::{D, Device, Tensor};
use serde::Serialize;

use super::Engine;
use super::candle::CandleEngine;
use super::reference::{Prompt, Reference};

/// How a path is judged.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    /// Largest absolute difference of a logit, and the same top-1 everywhere.
    Exact {
        /// The largest difference that passes.
        tolerance: f64,
    },
    /// Mean KL divergence, and the same top-1 wherever the reference is sure.
    Quantized {
        /// Largest difference of steps and chunks from the same file's own prefill that passes at any divergence.
        tolerance: f64,
    },
}

/// Mean KL divergence that a quantized file may have from its own dequantized weights.
const QUANTIZED_MEAN_KL: f64 = 0.05;
/// Mean KL divergence that a quantized file's steps and chunks may have from its own prefill. They are mostly
/// equal to the last bit, but candle rounds activations to 8 bits in such products: a number at the edge
/// between two steps falls to either side, and every later position sees it.
const STEPS_MEAN_KL: f64 = 0.005;
/// A reference is sure of its top-1 where the runner-up lies this far below.
const SURE_GAP: f32 = 1.0;
/// Pieces of the `chunks` path, repeated until the prompt ends: uneven, and none divides the other.
const CHUNKS: [usize; 5] = [7, 1, 19, 3, 64];

/// One line of the result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PathResult {
    /// Weight file.
    pub file: String,
    /// `prefill`, `steps`, `chunks` or `greedy`.
    pub path: &'static str,
    /// `short` or `long`.
    pub prompt: &'static str,
    /// Largest absolute difference of a logit; `None` for `greedy`.
    pub max_abs_diff: Option<f64>,
    /// Mean over positions of KL(reference ‖ engine); `None` for `greedy`.
    pub mean_kl: Option<f64>,
    /// Whether the most likely id is the same: everywhere, or where the bar asks for it.
    pub top1_equal: bool,
    /// Whether the bar is met.
    pub pass: bool,
}

/// Runs every path for every prompt of `reference`.
pub fn verify(
    file: &str,
    engine: &mut CandleEngine,
    reference: &Reference,
    bar: Bar,
) -> anyhow::Result<Vec<PathResult>> {
    let mut rows = Vec::new();
    for prompt in reference.prompts(matches!(bar, Bar::Quantized { .. })) {
        let prefill = logits(engine, &prompt.ids, &[prompt.ids.len()])?;
        let compared = compare(&prompt.logits, &prefill, bar, Against::Reference)?;
        rows.push(compared.row(file, "prefill", &prompt));
        let (expected, against) = match bar {
            Bar::Exact { .. } => (&prompt.logits, Against::Reference),
            Bar::Quantized { .. } => (&prefill, Against::OwnPrefill),
        };
        for (path, pieces) in [("steps", vec![1]), ("chunks", CHUNKS.to_vec())] {
            let got = logits(engine, &prompt.ids, &pieces)?;
            rows.push(compare(expected, &got, bar, against)?.row(file, path, &prompt));
        }
        if let (Bar::Exact { .. }, Some(expected)) = (bar, &prompt.greedy) {
            rows.push(greedy(file, engine, &prompt, expected)?);
        }
    }
    Ok(rows)
}

/// Logits of all `ids`, fed in pieces of the given sizes, repeated; (ids, vocabulary) on the CPU.
fn logits(engine: &mut CandleEngine, ids: &[u32], pieces: &[usize]) -> anyhow::Result<Tensor> {
    engine.reset()?;
    let mut rest = ids;
    let mut parts = Vec::new();
    for size in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        parts.push(engine.logits_of_all(piece)?.to_device(&Device::Cpu)?);
        rest = after;
    }
    Ok(Tensor::cat(&parts, 0)?)
}

fn greedy(
    file: &str,
    engine: &mut CandleEngine,
    prompt: &Prompt,
    expected: &[u32],
) -> anyhow::Result<PathResult> {
    engine.reset()?;
    engine.prefill(&prompt.ids)?;
    let mut got = vec![engine.sample()?];
    while got.len() < expected.len() {
        got.push(engine.decode(got[got.len() - 1])?);
    }
    let equal = got == expected;
    let name = prompt.name;
    let file = file.into();
    Ok(PathResult {
        file,
        path: "greedy",
        prompt: name,
        max_abs_diff: None,
        mean_kl: None,
        top1_equal: equal,
        pass: equal,
    })
}

/// What a path's logits are held against.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Against {
    Reference,
    OwnPrefill,
}

struct Compared {
    max_abs_diff: f64,
    mean_kl: f64,
    top1_equal: bool,
    pass: bool,
}

impl Compared {
    fn row(self, file: &str, path: &'static str, prompt: &Prompt) -> PathResult {
        PathResult {
            file: file.into(),
            path,
            prompt: prompt.name,
            max_abs_diff: Some(self.max_abs_diff),
            mean_kl: Some(self.mean_kl),
            top1_equal: self.top1_equal,
            pass: self.pass,
        }
    }
}

fn compare(expected: &Tensor, got: &Tensor, bar: Bar, against: Against) -> anyhow::Result<Compared> {
    let max_abs_diff = max_abs_diff(expected, got)?;
    let mean_kl = mean_kl(expected, got)?;
    let gap = match bar {
        Bar::Exact { .. } => 0.0,
        Bar::Quantized { .. } => SURE_GAP,
    };
    let top1_equal = top1_equal(expected, got, gap)?;
    // A comparison with NaN is false, so output that is not finite never passes.
    let near = match (bar, against) {
        (Bar::Quantized { .. }, Against::Reference) => mean_kl <= QUANTIZED_MEAN_KL,
        (Bar::Quantized { tolerance }, Against::OwnPrefill) => {
            max_abs_diff <= tolerance || mean_kl <= STEPS_MEAN_KL
        }
        (Bar::Exact { tolerance }, _) => max_abs_diff <= tolerance,
    };
    Ok(Compared { max_abs_diff, mean_kl, top1_equal, pass: near && top1_equal })
}

/// Largest absolute difference; NaN if any number is: candle's own maximum passes over NaN.
fn max_abs_diff(expected: &Tensor, got: &Tensor) -> candle_core::Result<f64> {
    let differences = (expected - got)?.abs()?.flatten_all()?.to_vec1::<f32>()?;
    let worst = |a: f32, b: f32| if a >= b || a.is_nan() { a } else { b };
    Ok(f64::from(differences.into_iter().fold(0.0, worst)))
}

/// Mean over rows of KL(expected ‖ got), in nats.
fn mean_kl(expected: &Tensor, got: &Tensor) -> candle_core::Result<f64> {
    let log = |t: &Tensor| candle_nn::ops::log_softmax(&t.to_dtype(candle_core::DType::F64)?, D::Minus1);
    let (p, q) = (log(expected)?, log(got)?);
    (p.exp()? * (&p - &q)?)?.sum(D::Minus1)?.mean_all()?.to_scalar::<f64>()
}

/// Whether the largest logit is the same id in every row whose two largest lie more than `gap` apart.
fn top1_equal(expected: &Tensor, got: &Tensor, gap: f32) -> candle_core::Result<bool> {
    let (expected, got) = (expected.to_vec2::<f32>()?, got.to_vec2::<f32>()?);
    Ok(expected.iter().zip(&got).filter(|(e, _)| lead(e) > gap).all(|(e, g)| largest(e) == largest(g)))
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
    fn output_that_is_not_finite_fails_wherever_it_stands() {
        let reference = rows(&[[3.0, 1.0, 0.0]]);
        for bad in [f32::NAN, -f32::NAN, f32::NEG_INFINITY] {
            for at in 0..3 {
                let mut row = [3.0, 1.0, 0.0];
                row[at] = bad;
                for bar in [Bar::Exact { tolerance: 1e9 }, Bar::Quantized { tolerance: 1e9 }] {
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
        assert!(!result.pass && !result.top1_equal && result.mean_kl > 0.05);
        let far = rows(&[[2.7, 1.3, 0.0], [0.9, 1.0, 0.0]]);
        assert!(compare(&reference, &far, bar, Against::Reference).unwrap().pass);
        assert!(!compare(&reference, &far, bar, Against::OwnPrefill).unwrap().pass);
    }

    #[test]
    fn divergence_is_the_textbook_number() {
        // scipy.stats.entropy([0.5, 0.5], [0.25, 0.75]) = 0.14384103622589045
        let p = Tensor::new(&[[0.5f32.ln(), 0.5f32.ln()]], &Device::Cpu).unwrap();
        let q = Tensor::new(&[[0.25f32.ln(), 0.75f32.ln()]], &Device::Cpu).unwrap();
        assert!((mean_kl(&p, &q).unwrap() - 0.143_841_036_225_890_45).abs() < 1e-7);
    }
}
