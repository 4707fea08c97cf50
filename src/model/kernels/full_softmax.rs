//! Scale and softmax of attention scores where every token sees every other.

use candle_core::{CpuStorage, D, DType, InplaceOp1, Layout, Result, Tensor};

use super::causal_softmax::softmax;
use crate::cpu::pool;

/// Softmax over the last dimension of `scale · scores`; `scores` (…, keys), any number of dimensions.
pub fn full_softmax(scores: Tensor, scale: f64) -> Result<Tensor> {
    if !super::is_plain_f32(&scores) {
        return plain(&scores, scale);
    }
    let keys = scores.dim(D::Minus1)?;
    scores.inplace_op1(&FullSoftmax { keys, scale: scale as f32 })?;
    Ok(scores)
}

/// The same in candle's operations, for every device and type; the softmax itself in f32.
fn plain(scores: &Tensor, scale: f64) -> Result<Tensor> {
    let scaled = (scores.to_dtype(DType::F32)? * scale)?;
    candle_nn::ops::softmax(&scaled, D::Minus1)?.to_dtype(scores.dtype())
}

struct FullSoftmax {
    keys: usize,
    scale: f32,
}

/// Numbers per parallel piece, in whole rows: enough work to be worth handing out.
const PIECE: usize = 8192;

impl InplaceOp1 for FullSoftmax {
    fn name(&self) -> &'static str {
        "full-softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let range = super::contiguous_range(layout)?;
        let scores = &mut super::f32_slice(storage)?[range];
        let keys = self.keys.max(1);
        let piece = keys * (PIECE / keys).max(1);
        pool::run_chunks(scores, piece, |_, rows| {
            for row in rows.chunks_mut(keys) {
                softmax(row, self.scale);
            }
        });
        Ok(())
    }
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
            heads in 1usize..5, rows in 1usize..40, keys in 1usize..300, spread in 0.1f64..60.0,
        ) {
            let scores = Tensor::randn(0f32, spread as f32, (heads, rows, keys), &Device::Cpu).unwrap();
            let expected = plain(&scores, 0.125).unwrap();
            let got = full_softmax(scores, 0.125).unwrap();
            let worst = (got - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            prop_assert!(f64::from(worst) < 1e-6 * (2.0 + spread), "{worst}");
        }
    }
}
