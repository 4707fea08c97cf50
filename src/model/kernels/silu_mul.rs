//! `silu(gate) ∘ up` in one pass.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor};
use rayon::prelude::*;

use super::exp::exp;

/// Numbers per parallel piece: enough work to be worth handing out.
const PIECE: usize = 8192;

/// `silu(gate) ∘ up`, both of one shape.
pub fn silu_mul(gate: Tensor, up: &Tensor) -> Result<Tensor> {
    if !super::is_plain_f32(&gate) || !super::is_plain_f32(up) {
        return candle_nn::ops::silu(&gate)? * up;
    }
    gate.inplace_op2(up, &SiluMul)?;
    Ok(gate)
}

struct SiluMul;

impl InplaceOp2 for SiluMul {
    fn name(&self) -> &'static str {
        "silu-mul"
    }

    fn cpu_fwd(
        &self,
        gate: &mut CpuStorage,
        gate_at: &Layout,
        up: &CpuStorage,
        up_at: &Layout,
    ) -> Result<()> {
        let gate = &mut super::f32_slice(gate)?[super::contiguous_range(gate_at)?];
        let up = &up.as_slice::<f32>()?[super::contiguous_range(up_at)?];
        gate.par_chunks_mut(PIECE).zip(up.par_chunks(PIECE)).for_each(|(gate, up)| {
            for (g, u) in gate.iter_mut().zip(up) {
                *g = *g / (1.0 + exp(-*g)) * u;
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
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn agrees_with_the_plain_form(rows in 1usize..5, columns in 1usize..5000, spread in 0.1f32..40.0) {
            let gate = Tensor::randn(0f32, spread, (rows, columns), &Device::Cpu).unwrap();
            let up = Tensor::randn(0f32, 1.0, (rows, columns), &Device::Cpu).unwrap();
            let expected = (candle_nn::ops::silu(&gate).unwrap() * &up).unwrap();
            let got = silu_mul(gate, &up).unwrap();
            let worst = (got - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            prop_assert!(worst < 5e-5 * (1.0 + spread), "{worst}");
        }
    }
}
