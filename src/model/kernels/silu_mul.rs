//! Gates, in one pass: `silu(gate) ∘ up`, and `x ∘ sigmoid(gate)`.

use candle_core::{Result, Tensor};

use super::slices::{read, write};
use crate::cpu::isa::isa;
use crate::cpu::rows;
use crate::cuda;

/// `silu(gate) ∘ up`, both of one shape and each in memory of its own. Where kernels do it `gate`
/// itself is changed.
pub fn silu_mul(gate: Tensor, up: &Tensor) -> Result<Tensor> {
    if cuda::serves(&gate) && gate.dims() == up.dims() {
        cuda::rows::silu_mul(&gate, up)?;
        return Ok(gate);
    }
    if !super::is_plain_f32(&gate) || !super::is_plain_f32(up) || gate.dims() != up.dims() {
        return candle_nn::ops::silu(&gate)? * up;
    }
    let up = read(up)?;
    let up = up.slice()?;
    write(&gate, |gate| rows::silu_mul(isa(), gate, up))?;
    Ok(gate)
}

/// `x ∘ sigmoid(gate)`, both of one shape and each in memory of its own. Where kernels do it `x`
/// itself is changed.
pub fn sigmoid_mul(x: Tensor, gate: &Tensor) -> Result<Tensor> {
    if cuda::serves(&x) && x.dims() == gate.dims() {
        cuda::rows::sigmoid_mul(&x, gate)?;
        return Ok(x);
    }
    if !super::is_plain_f32(&x) || !super::is_plain_f32(gate) || x.dims() != gate.dims() {
        return x * candle_nn::ops::sigmoid(gate)?;
    }
    let gate = read(gate)?;
    let gate = gate.slice()?;
    write(&x, |x| rows::sigmoid_mul(isa(), x, gate))?;
    Ok(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn both_agree_with_the_plain_form(rows in 1usize..5, columns in 1usize..5000, spread in 0.1f32..40.0) {
            let randn = |spread: f32| Tensor::randn(0f32, spread, (rows, columns), &Device::Cpu).unwrap();
            let (gate, x) = (randn(spread), randn(1.0));
            let worst = |got: &Tensor, expected: &Tensor| {
                (got - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap()
            };
            let expected = (&x * candle_nn::ops::sigmoid(&gate).unwrap()).unwrap();
            let got = sigmoid_mul(x.force_contiguous().unwrap(), &gate).unwrap();
            prop_assert!(worst(&got, &expected) < 5e-6);
            let expected = (candle_nn::ops::silu(&gate).unwrap() * &x).unwrap();
            let got = silu_mul(gate, &x).unwrap();
            prop_assert!(worst(&got, &expected) < 5e-6 * (1.0 + spread));
        }
    }
}
