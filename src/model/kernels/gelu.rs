//! GELU with the exact error function, `x · (1 + erf(x / √2)) / 2`, in one pass on all cores.
//!
//! candle calls a library function per number on one core, which costs as much as the products around it.

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor};
use rayon::prelude::*;

/// Numbers per parallel piece: enough work to be worth handing out.
const PIECE: usize = 4096;

/// GELU of every number of `x`.
pub fn gelu(x: Tensor) -> Result<Tensor> {
    if !super::is_plain_f32(&x) {
        return x.gelu_erf();
    }
    x.inplace_op1(&Gelu)?;
    Ok(x)
}

/// erf(x), off by less than 5e-7: a rational function of x that compilers turn into vector code. The
/// coefficients are those that XLA and Eigen use for f32.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let y = x * x;
    let p = -2.726_142_3e-10;
    let p = p * y + 2.770_681_4e-8;
    let p = p * y - 2.101_024e-6;
    let p = p * y - 5.692_506_4e-5;
    let p = p * y - 7.349_906_3e-4;
    let p = p * y - 2.954_6e-3;
    let p = p * y - 1.609_603_3e-2;
    let q = -1.456_607_2e-5;
    let q = q * y - 2.133_740_6e-4;
    let q = q * y - 1.682_826_9e-3;
    let q = q * y - 7.373_329_2e-3;
    let q = q * y - 1.426_473_9e-2;
    x * p / q
}

struct Gelu;

impl InplaceOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let range = super::contiguous_range(layout)?;
        super::f32_slice(storage)?[range].par_chunks_mut(PIECE).for_each(|piece| {
            for x in piece {
                *x *= 0.5 + 0.5 * erf(*x * std::f32::consts::FRAC_1_SQRT_2);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn agrees_with_the_library_in_double_precision() {
        let values: Vec<f64> = (-100_000..=100_000).map(|i| f64::from(i) * 1e-4).collect();
        let exact = Tensor::from_slice(&values, values.len(), &Device::Cpu).unwrap().gelu_erf().unwrap();
        let single: Vec<f32> = values.iter().map(|x| *x as f32).collect();
        let got = gelu(Tensor::from_vec(single, values.len(), &Device::Cpu).unwrap()).unwrap();
        for ((x, e), g) in
            values.iter().zip(exact.to_vec1::<f64>().unwrap()).zip(got.to_vec1::<f32>().unwrap())
        {
            let error = (f64::from(g) - e).abs();
            assert!(error < 1e-6 * (1.0 + x.abs()), "gelu({x}): {g}, exactly {e}");
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
