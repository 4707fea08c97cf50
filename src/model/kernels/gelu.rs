//! GELU with the exact error function, `x · (1 + erf(x / √2)) / 2`, in one pass on all cores.
//!
//! candle calls a library function per number on one core, which costs as much as the products around it.

use candle_core::{Result, Tensor};

use super::slices::write;
use crate::cpu::isa::isa;
use crate::cpu::rows;

/// GELU of every number of `x`. On the CPU in f32 `x` itself is changed.
pub fn gelu(x: Tensor) -> Result<Tensor> {
    if !super::is_plain_f32(&x) {
        return x.gelu_erf();
    }
    write(&x, |x| rows::gelu(isa(), x))?;
    Ok(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::isa::Isa;
    use candle_core::Device;

    #[test]
    fn agrees_with_the_library_in_double_precision() {
        let values: Vec<f64> = (-100_000..=100_000).map(|i| f64::from(i) * 1e-4).collect();
        let exact = Tensor::from_slice(&values, values.len(), &Device::Cpu).unwrap().gelu_erf().unwrap();
        let single: Vec<f32> = values.iter().map(|x| *x as f32).collect();
        let exact = exact.to_vec1::<f64>().unwrap();
        for isa in Isa::available() {
            let mut got = single.clone();
            rows::gelu(isa, &mut got);
            for ((x, e), g) in values.iter().zip(&exact).zip(&got) {
                let error = (f64::from(*g) - e).abs();
                assert!(error < 1e-6 * (1.0 + x.abs()), "gelu({x}): {g}, exactly {e} on {}", isa.name());
            }
        }
    }

    #[test]
    fn extremes_stay_finite() {
        let x = Tensor::new(&[0f32, 1e30, -1e30, 100.0, -100.0], &Device::Cpu).unwrap();
        let got = gelu(x).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(got[0], 0.0);
        assert!((got[1] / 1e30 - 1.0).abs() < 1e-6 && (got[3] / 100.0 - 1.0).abs() < 1e-6, "{got:?}");
        assert!(got[4].abs() < 1e-4, "{got:?}");
    }
}
