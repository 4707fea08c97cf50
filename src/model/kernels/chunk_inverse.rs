//! Solves the small triangular systems of a chunk: how much each token's correction undoes of the
//! corrections before it.
//!
//! Forward substitution on the CPU; elsewhere inversion by halves, as batches of matrix products.
//! Both stay accurate where the power series `I − A + A² − …` cancels numbers of any size.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor};

/// `X` with `(I + A) X = diag(d)`, for every chunk.
///
/// `a` is (heads, chunks, size, size), strictly lower: what stands on and above the diagonal must be 0.
/// `diagonal` is (heads, chunks, size). Where the fused loop applies, it writes into `a`;
/// it runs on one thread, since its callers share out the heads.
pub fn chunk_inverse(a: Tensor, diagonal: &Tensor) -> Result<Tensor> {
    let size = a.dim(3)?;
    if !super::is_plain_f32(&a) || !super::is_plain_f32(diagonal) {
        return plain(&a, diagonal);
    }
    a.inplace_op2(diagonal, &ChunkInverse { size })?;
    Ok(a)
}

/// The same in candle's operations, for every device.
fn plain(a: &Tensor, diagonal: &Tensor) -> Result<Tensor> {
    let (heads, chunks, size, _) = a.dims4()?;
    let missing = size.next_power_of_two() - size;
    let flat = a.reshape((heads * chunks, size, size))?;
    let padded = flat.pad_with_zeros(1, 0, missing)?.pad_with_zeros(2, 0, missing)?;
    let inverse = by_halves(&padded.contiguous()?)?.narrow(1, 0, size)?.narrow(2, 0, size)?;
    let scaled = inverse.broadcast_mul(&diagonal.reshape((heads * chunks, 1, size))?)?;
    scaled.reshape((heads, chunks, size, size))
}

/// `(I + a)⁻¹` of strictly lower `a` (batch, n, n), n a power of two:
/// `[[P, 0], [Q, R]]⁻¹ = [[P⁻¹, 0], [−R⁻¹ Q P⁻¹, R⁻¹]]`, with P and R inverted in one batch.
fn by_halves(a: &Tensor) -> Result<Tensor> {
    let (batch, size, _) = a.dims3()?;
    if size == 1 {
        return a.ones_like();
    }
    let half = size / 2;
    let block = |row: usize, column: usize| a.narrow(1, row, half)?.narrow(2, column, half)?.contiguous();
    let inverses = by_halves(&Tensor::cat(&[block(0, 0)?, block(half, half)?], 0)?)?;
    let (top, bottom) = (inverses.narrow(0, 0, batch)?, inverses.narrow(0, batch, batch)?);
    let between = bottom.matmul(&block(half, 0)?)?.matmul(&top)?.neg()?;
    let upper = Tensor::cat(&[&top, &top.zeros_like()?], 2)?;
    Tensor::cat(&[upper, Tensor::cat(&[&between, &bottom], 2)?], 1)
}

struct ChunkInverse {
    size: usize,
}

impl InplaceOp2 for ChunkInverse {
    fn name(&self) -> &'static str {
        "chunk-inverse"
    }

    fn cpu_fwd(
        &self,
        a: &mut CpuStorage,
        a_at: &Layout,
        diagonal: &CpuStorage,
        diagonal_at: &Layout,
    ) -> Result<()> {
        let a = &mut super::f32_slice(a)?[super::contiguous_range(a_at)?];
        let diagonal = &diagonal.as_slice::<f32>()?[super::contiguous_range(diagonal_at)?];
        let chunks = a.chunks_exact_mut(self.size * self.size).zip(diagonal.chunks_exact(self.size));
        chunks.for_each(|(a, diagonal)| substitute(a, diagonal));
        Ok(())
    }
}

/// Forward substitution, row after row, in place: row i of the solution is `dᵢ eᵢ` less the rows
/// above it, each as often as row i of `a` says.
fn substitute(a: &mut [f32], diagonal: &[f32]) {
    let size = diagonal.len();
    let mut row = vec![0f32; size];
    for (i, d) in diagonal.iter().enumerate() {
        let (above, below) = a.split_at_mut(i * size);
        row.fill(0.0);
        row[i] = *d;
        for (factor, solved) in below[..i].iter().zip(above.chunks_exact(size)) {
            for (r, s) in row[..i].iter_mut().zip(&solved[..i]) {
                *r -= factor * s;
            }
        }
        below[..size].copy_from_slice(&row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    /// Strictly lower parts, (heads, 2, size, size).
    fn strictly_lower(heads: usize, size: usize, spread: f32) -> Tensor {
        let full = Tensor::randn(0f32, spread, (heads, 2, size, size), &Device::Cpu).unwrap();
        let mask: Vec<f32> = (0..size * size).map(|i| f32::from(u8::from(i % size < i / size))).collect();
        full.broadcast_mul(&Tensor::from_vec(mask, (size, size), &Device::Cpu).unwrap()).unwrap()
    }

    fn largest(x: &Tensor) -> f32 {
        x.abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn agrees_with_the_plain_form(heads in 1usize..4, size in 1usize..70, spread in 0.01f32..0.3) {
            let a = strictly_lower(heads, size, spread);
            let diagonal = Tensor::rand(0f32, 1.0, (heads, 2, size), &Device::Cpu).unwrap();
            let expected = plain(&a, &diagonal).unwrap();
            let got = chunk_inverse(a, &diagonal).unwrap();
            // What is solved for grows like (1 + spread)^size, and rounding with it.
            let worst = largest(&(got - &expected).unwrap());
            prop_assert!(worst < 2e-5 * (1.0 + largest(&expected)), "{worst}");
        }
    }

    #[test]
    fn the_solution_solves() {
        let a = strictly_lower(2, 64, 0.1);
        let diagonal = Tensor::rand(0.5f32, 1.0, (2, 2, 64), &Device::Cpu).unwrap();
        let x = chunk_inverse(a.force_contiguous().unwrap(), &diagonal).unwrap();
        let product = (a.matmul(&x).unwrap() + x).unwrap();
        let expected = Tensor::eye(64, candle_core::DType::F32, &Device::Cpu).unwrap();
        let expected = expected.broadcast_mul(&diagonal.unsqueeze(2).unwrap()).unwrap();
        assert!(largest(&(product - expected).unwrap()) < 1e-4);
    }

    #[test]
    fn equal_keys_corrected_in_full_leave_a_difference_of_neighbours() {
        // A = 1 everywhere below the diagonal: the inverse has 1 on it, −1 under it, 0 elsewhere. The
        // terms of the power series would reach 62 choose 31, about 5 · 10¹⁷, on the way there.
        let size = 64;
        let ones: Vec<f32> = (0..size * size).map(|i| f32::from(u8::from(i % size < i / size))).collect();
        let ones = Tensor::from_vec(ones, (1, 1, size, size), &Device::Cpu).unwrap();
        let diagonal = Tensor::ones((1, 1, size), candle_core::DType::F32, &Device::Cpu).unwrap();
        for x in [plain(&ones, &diagonal).unwrap(), chunk_inverse(ones, &diagonal).unwrap()] {
            for (i, value) in x.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().enumerate() {
                let (row, column) = (i / size, i % size);
                let exact = if row == column {
                    1.0
                } else if row == column + 1 {
                    -1.0
                } else {
                    0.0
                };
                assert_eq!(value, exact, "({row}, {column})");
            }
        }
    }
}
