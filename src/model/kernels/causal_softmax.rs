//! Scale, causal mask and softmax of a block of attention scores, in one pass over each row.

use candle_core::{CpuStorage, D, DType, InplaceOp1, Layout, Result, Tensor};

use super::exp::exp;
use crate::cpu::pool;

/// Softmax over the keys each row may see.
///
/// `scores` is (kv_heads, rows · group, keys): the query heads that share a key head lie next to
/// each other, so row `r` stands at position `offset + r / group` and sees that many keys plus
/// itself. The rest of the row becomes 0. `scale` multiplies before the softmax.
pub fn causal_softmax(scores: Tensor, offset: usize, group: usize, scale: f64) -> Result<Tensor> {
    if !super::is_plain_f32(&scores) {
        return plain(&scores, offset, group, scale);
    }
    let (_, rows, keys) = scores.dims3()?;
    scores.inplace_op1(&CausalSoftmax { rows, keys, offset, group, scale: scale as f32 })?;
    Ok(scores)
}

/// The same in candle's operations, for every device and type; the softmax itself in f32.
fn plain(scores: &Tensor, offset: usize, group: usize, scale: f64) -> Result<Tensor> {
    let (_, rows, keys) = scores.dims3()?;
    let scaled = (scores.to_dtype(DType::F32)? * scale)?;
    let masked = match rows == group {
        true => scaled, // one position: it sees every key
        false => scaled.broadcast_add(&mask(rows, keys, offset, group, scores)?)?,
    };
    candle_nn::ops::softmax(&masked, D::Minus1)?.to_dtype(scores.dtype())
}

/// 0 where a row may look, −∞ elsewhere; (rows, keys), f32.
fn mask(rows: usize, keys: usize, offset: usize, group: usize, like: &Tensor) -> Result<Tensor> {
    let values: Vec<f32> = (0..rows)
        .flat_map(|r| (0..keys).map(move |k| if k <= offset + r / group { 0.0 } else { f32::NEG_INFINITY }))
        .collect();
    Tensor::from_vec(values, (rows, keys), like.device())
}

struct CausalSoftmax {
    rows: usize,
    keys: usize,
    offset: usize,
    group: usize,
    scale: f32,
}

impl InplaceOp1 for CausalSoftmax {
    fn name(&self) -> &'static str {
        "causal-softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let range = super::contiguous_range(layout)?;
        let scores = &mut super::f32_slice(storage)?[range];
        pool::run_chunks(scores, self.keys, |index, row| {
            let position = self.offset + (index % self.rows) / self.group;
            let (seen, hidden) = row.split_at_mut((position + 1).min(self.keys));
            softmax(seen, self.scale);
            hidden.fill(0.0);
        });
        Ok(())
    }
}

/// Softmax of `scale · row`, in place.
pub(super) fn softmax(row: &mut [f32], scale: f32) {
    let top = maximum(row) * scale;
    for x in row.iter_mut() {
        *x = exp(*x * scale - top);
    }
    let inverse = 1.0 / sum(row);
    for x in row.iter_mut() {
        *x *= inverse;
    }
}

const LANES: usize = 16;

/// Largest value, in lanes that the compiler keeps in vector registers.
fn maximum(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    lanes.into_iter().fold(rest, f32::max)
}

/// Sum, in lanes.
fn sum(row: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    lanes.into_iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn agrees_with_the_plain_form(
            heads in 1usize..4, positions in 1usize..9, group in 1usize..4, offset in 0usize..70,
            spread in 0.1f64..60.0,
        ) {
            let keys = offset + positions;
            let scores = Tensor::randn(0f32, spread as f32, (heads, positions * group, keys), &Device::Cpu).unwrap();
            let expected = plain(&scores, offset, group, 0.125).unwrap();
            let got = causal_softmax(scores, offset, group, 0.125).unwrap();
            let worst = (got - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            // Rounding of the exponent grows with the scores; a wrong mask or scale moves results by tenths.
            prop_assert!(f64::from(worst) < 1e-6 * (2.0 + spread), "{worst}");
        }
    }

    #[test]
    fn scores_far_apart_do_not_overflow() {
        let scores = Tensor::new(&[[[1e30f32, -1e30, 0.0]]], &Device::Cpu).unwrap();
        let got = causal_softmax(scores, 2, 1, 1.0).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(got[0], 1.0);
        assert!(got[1] < 1e-30 && got[2] < 1e-30);
    }
}
