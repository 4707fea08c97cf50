//! Solves the small triangular systems of a chunk: how much each token's correction undoes of the
//! corrections before it.
//!
//! Inversion by halves, as batches of matrix products: it stays accurate where the power series
//! `I − A + A² − …` cancels numbers of any size. For devices that the CPU's kernel does not serve.

use candle_core::{Result, Tensor};

/// `X` with `(I + A) X = diag(d)`, for every chunk.
///
/// `a` is (heads, chunks, size, size), strictly lower: what stands on and above the diagonal must be 0.
/// `diagonal` is (heads, chunks, size).
pub fn chunk_inverse(a: &Tensor, diagonal: &Tensor) -> Result<Tensor> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Strictly lower parts, (heads, 2, size, size).
    fn strictly_lower(heads: usize, size: usize, spread: f32) -> Tensor {
        let full = Tensor::randn(0f32, spread, (heads, 2, size, size), &Device::Cpu).unwrap();
        let mask: Vec<f32> = (0..size * size).map(|i| f32::from(u8::from(i % size < i / size))).collect();
        full.broadcast_mul(&Tensor::from_vec(mask, (size, size), &Device::Cpu).unwrap()).unwrap()
    }

    fn largest(x: &Tensor) -> f32 {
        x.abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn the_solution_solves_whatever_the_size() {
        for size in [1, 2, 3, 40, 63, 64, 65] {
            let a = strictly_lower(2, size, 0.1);
            let diagonal = Tensor::rand(0.5f32, 1.0, (2, 2, size), &Device::Cpu).unwrap();
            let x = chunk_inverse(&a, &diagonal).unwrap();
            let product = (a.matmul(&x).unwrap() + x).unwrap();
            let expected = Tensor::eye(size, candle_core::DType::F32, &Device::Cpu).unwrap();
            let expected = expected.broadcast_mul(&diagonal.unsqueeze(2).unwrap()).unwrap();
            assert!(largest(&(product - expected).unwrap()) < 1e-4, "{size}");
        }
    }

    #[test]
    fn equal_keys_corrected_in_full_leave_a_difference_of_neighbours() {
        // A = 1 everywhere below the diagonal: the inverse has 1 on it, −1 under it, 0 elsewhere. The
        // terms of the power series would reach 62 choose 31, about 5 · 10¹⁷, on the way there.
        let size = 64;
        let ones: Vec<f32> = (0..size * size).map(|i| f32::from(u8::from(i % size < i / size))).collect();
        let ones = Tensor::from_vec(ones, (1, 1, size, size), &Device::Cpu).unwrap();
        let diagonal = Tensor::ones((1, 1, size), candle_core::DType::F32, &Device::Cpu).unwrap();
        let x = chunk_inverse(&ones, &diagonal).unwrap();
        for (i, value) in x.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().enumerate() {
            let (row, column) = (i / size, i % size);
            let exact = match row.checked_sub(column) {
                Some(0) => 1.0,
                Some(1) => -1.0,
                _ => 0.0,
            };
            assert_eq!(value, exact, "({row}, {column})");
        }
    }
}
