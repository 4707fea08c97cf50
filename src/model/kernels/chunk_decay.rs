//! Puts the decay between tokens into the scores of a chunk.
//!
//! Between tokens j ≤ i the memory decays by the product of the gates after j up to i. The fused loop
//! multiplies gates row by row: nothing is divided, nothing overflows, and a gate near 0 costs its
//! neighbours no digits. The plain form takes differences of summed logarithms, masked before the exponential.

use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Result, Shape, Tensor};

use super::exp::exp;

/// A product of gates below this is taken for 0: less than any f32 sum can notice, and far from the
/// denormal numbers that slow a processor down.
const NOTHING: f32 = 1e-30;

/// What one chunk does to itself and to the memory.
pub struct ChunkDecay {
    /// (heads, chunks, size, size): query·key with the decay between them, lower with the diagonal.
    pub within: Tensor,
    /// (heads, chunks, size, size): key·key with the decay between them and the row's beta, strictly lower.
    pub between_keys: Tensor,
    /// (heads, chunks, size): decay from the chunk's start through each token.
    pub from_start: Tensor,
    /// (heads, chunks, size): decay after each token to the chunk's end.
    pub to_end: Tensor,
}

/// `scores` (heads, chunks, 2 · size, size) are the products of queries, then keys, with the keys of
/// their chunk; `log_decay` (≤ 0) and `beta` are (heads, chunks, size). The fused loop runs on one
/// thread: its callers share out the heads.
pub fn chunk_decay(scores: &Tensor, log_decay: &Tensor, beta: &Tensor) -> Result<ChunkDecay> {
    if ![scores, log_decay, beta].into_iter().all(super::is_plain_f32) {
        return plain(scores, log_decay, beta);
    }
    let (heads, chunks, _, size) = scores.dims4()?;
    let flat = scores.apply_op3_no_bwd(log_decay, beta, &Decay { size })?;
    let (matrix, row) = (heads * chunks * size * size, heads * chunks * size);
    let matrices = |at: usize| flat.narrow(0, at, matrix)?.reshape((heads, chunks, size, size));
    let rows = |at: usize| flat.narrow(0, at, row)?.reshape((heads, chunks, size));
    Ok(ChunkDecay {
        within: matrices(0)?,
        between_keys: matrices(matrix)?,
        from_start: rows(2 * matrix)?,
        to_end: rows(2 * matrix + row)?,
    })
}

/// The same in candle's operations, for every device.
fn plain(scores: &Tensor, log_decay: &Tensor, beta: &Tensor) -> Result<ChunkDecay> {
    let size = scores.dim(2)? / 2;
    let device = scores.device();
    let summed = log_decay.contiguous()?.cumsum(D::Minus1)?;
    let difference = summed.unsqueeze(3)?.broadcast_sub(&summed.unsqueeze(2)?)?;
    let lower = Tensor::tril2(size, DType::F32, device)?;
    let decay = difference.broadcast_mul(&lower)?.exp()?.broadcast_mul(&lower)?;
    let strictly = (lower - Tensor::eye(size, DType::F32, device)?)?;
    let of_keys = (scores.narrow(2, size, size)? * &decay)?;
    let last = summed.narrow(2, size - 1, 1)?;
    Ok(ChunkDecay {
        within: (scores.narrow(2, 0, size)? * &decay)?,
        between_keys: of_keys.broadcast_mul(&strictly)?.broadcast_mul(&beta.unsqueeze(3)?)?,
        from_start: summed.exp()?,
        to_end: last.broadcast_sub(&summed)?.exp()?,
    })
}

struct Decay {
    size: usize,
}

impl CustomOp3 for Decay {
    fn name(&self) -> &'static str {
        "chunk-decay"
    }

    fn cpu_fwd(
        &self,
        scores: &CpuStorage,
        scores_at: &Layout,
        log_decay: &CpuStorage,
        log_decay_at: &Layout,
        beta: &CpuStorage,
        beta_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let size = self.size;
        let scores = &scores.as_slice::<f32>()?[super::contiguous_range(scores_at)?];
        let log_decay = &log_decay.as_slice::<f32>()?[super::contiguous_range(log_decay_at)?];
        let beta = &beta.as_slice::<f32>()?[super::contiguous_range(beta_at)?];
        let rows = log_decay.len();
        let mut out = vec![0f32; 2 * rows * (size + 1)];
        let (within, rest) = out.split_at_mut(rows * size);
        let (between_keys, rest) = rest.split_at_mut(rows * size);
        let (from_start, to_end) = rest.split_at_mut(rows);
        for chunk in 0..rows / size {
            let (matrix, row) = (chunk * size * size, chunk * size);
            let gates: Vec<f32> = log_decay[row..row + size].iter().map(|g| exp(*g)).collect();
            along(&gates, &mut from_start[row..row + size], &mut to_end[row..row + size]);
            let (of_queries, of_keys) = scores[2 * matrix..][..2 * size * size].split_at(size * size);
            let within = within[matrix..matrix + size * size].chunks_exact_mut(size);
            let between = between_keys[matrix..matrix + size * size].chunks_exact_mut(size);
            let mut decay = vec![0f32; size];
            for (i, (within, between)) in within.zip(between).enumerate() {
                later(&mut decay[..i], gates[i]);
                decay[i] = 1.0;
                multiply(&mut within[..=i], &of_queries[i * size..][..=i], &decay, 1.0);
                multiply(&mut between[..i], &of_keys[i * size..][..i], &decay, beta[row + i]);
            }
        }
        let shape = Shape::from(out.len());
        Ok((CpuStorage::F32(out), shape))
    }
}

/// Products of the gates from the start through each token, and after each to the end.
fn along(gates: &[f32], from_start: &mut [f32], to_end: &mut [f32]) {
    let (mut before, mut after) = (1.0, 1.0);
    for (gate, out) in gates.iter().zip(from_start) {
        before *= gate;
        *out = before;
    }
    for (gate, out) in gates.iter().zip(to_end).rev() {
        *out = after;
        after *= gate;
    }
}

/// The decay from each token seen to the next one, whose gate is `gate`.
fn later(decay: &mut [f32], gate: f32) {
    for d in decay {
        let product = *d * gate;
        *d = if product < NOTHING { 0.0 } else { product };
    }
}

fn multiply(out: &mut [f32], scores: &[f32], decay: &[f32], factor: f32) {
    for ((o, s), d) in out.iter_mut().zip(scores).zip(decay) {
        *o = factor * s * d;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    fn worst(got: &Tensor, expected: &Tensor) -> f32 {
        (got - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn agrees_with_the_plain_form(
            heads in 1usize..4, chunks in 1usize..4, size in 1usize..70, steepness in 1e-4f32..3.0,
        ) {
            let device = Device::Cpu;
            let scores = Tensor::randn(0f32, 1.0, (heads, chunks, 2 * size, size), &device).unwrap();
            let log_decay = (Tensor::rand(0f32, 1.0, (heads, chunks, size), &device).unwrap() * -f64::from(steepness)).unwrap();
            let beta = Tensor::rand(0f32, 1.0, (heads, chunks, size), &device).unwrap();
            let got = chunk_decay(&scores, &log_decay, &beta).unwrap();
            let expected = plain(&scores, &log_decay, &beta).unwrap();
            // The plain form's differences of sums lose what the sums are large.
            let tolerance = 2e-6 * (1.0 + steepness) * (1.0 + size as f32);
            prop_assert!(worst(&got.within, &expected.within) < tolerance);
            prop_assert!(worst(&got.between_keys, &expected.between_keys) < tolerance);
            prop_assert!(worst(&got.from_start, &expected.from_start) < tolerance);
            prop_assert!(worst(&got.to_end, &expected.to_end) < tolerance);
        }
    }

    #[test]
    fn gates_that_forget_everything_neither_overflow_nor_blur_the_others() {
        let device = Device::Cpu;
        let scores = Tensor::ones((1, 1, 6, 3), DType::F32, &device).unwrap();
        let log_decay = Tensor::new(&[[[-1e30f32, -1e30, -0.5]]], &device).unwrap();
        let beta = Tensor::ones((1, 1, 3), DType::F32, &device).unwrap();
        let got = chunk_decay(&scores, &log_decay, &beta).unwrap();
        let within = got.within.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(within[..6], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        assert!(within[6] == 0.0 && (within[7] - (-0.5f32).exp()).abs() < 1e-7 && within[8] == 1.0);
        // The plain form stays finite too.
        let plain = plain(&scores, &log_decay, &beta).unwrap();
        for tensor in [plain.within, plain.between_keys, plain.from_start, plain.to_end] {
            assert!(tensor.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() <= 1.0);
        }
    }
}
