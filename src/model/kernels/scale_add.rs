//! `x ∘ s + y` in one pass, where one number of `s` serves a run of `x`.

use candle_core::{CpuStorage, InplaceOp3, Layout, Result, Tensor};

/// `x` times `scales` plus `y`, which has the shape of `x`. The numbers of `x`, in order, are cut
/// into as many equal runs as there are scales: a scale a row, or a scale a matrix.
///
/// Where the fused loop applies, it writes into `x`. It runs on one thread: its callers share out the heads.
pub fn scale_add(x: Tensor, scales: &Tensor, y: &Tensor) -> Result<Tensor> {
    if ![&x, scales, y].into_iter().all(super::is_plain_f32) {
        return plain(&x, scales, y);
    }
    x.inplace_op3(scales, y, &ScaleAdd)?;
    Ok(x)
}

/// The same in candle's operations, for every device.
fn plain(x: &Tensor, scales: &Tensor, y: &Tensor) -> Result<Tensor> {
    let runs = scales.elem_count();
    let scaled = x.reshape((runs, ()))?.broadcast_mul(&scales.reshape((runs, 1))?)?;
    scaled.reshape(x.shape())? + y
}

struct ScaleAdd;

impl InplaceOp3 for ScaleAdd {
    fn name(&self) -> &'static str {
        "scale-add"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_at: &Layout,
        scales: &CpuStorage,
        scales_at: &Layout,
        y: &CpuStorage,
        y_at: &Layout,
    ) -> Result<()> {
        let x = &mut super::f32_slice(x)?[super::contiguous_range(x_at)?];
        let scales = &scales.as_slice::<f32>()?[super::contiguous_range(scales_at)?];
        let y = &y.as_slice::<f32>()?[super::contiguous_range(y_at)?];
        if x.len() != y.len() || !x.len().is_multiple_of(scales.len()) {
            candle_core::bail!("{} numbers, {} scales and {} to add", x.len(), scales.len(), y.len());
        }
        let run = x.len() / scales.len();
        for ((x, y), scale) in x.chunks_exact_mut(run).zip(y.chunks_exact(run)).zip(scales) {
            for (x, y) in x.iter_mut().zip(y) {
                *x = *x * scale + y;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]
        #[test]
        fn agrees_with_the_plain_form(rows in 1usize..9, columns in 1usize..70, spread in 0.1f32..1e4) {
            let randn = |columns: usize| Tensor::randn(0f32, spread, (2, rows, columns), &Device::Cpu).unwrap();
            let (x, y, of_rows) = (randn(columns), randn(columns), randn(1));
            for scales in [of_rows.clone(), of_rows.narrow(1, 0, 1).unwrap().contiguous().unwrap()] {
                let expected = plain(&x, &scales, &y).unwrap();
                let got = scale_add(x.force_contiguous().unwrap(), &scales, &y).unwrap();
                let worst = (got - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                prop_assert!(worst <= 1e-5 * spread * spread, "{worst}");
            }
        }
    }
}
