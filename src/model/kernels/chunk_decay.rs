//! Puts the decay between tokens into the scores of a chunk.
//!
//! Between tokens j ≤ i the memory decays by the product of the gates after j up to i: the exponential of a
//! difference of summed logarithms, masked before it is taken. For devices that the CPU's kernel does not serve.

use candle_core::{D, DType, Result, Tensor};

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
/// their chunk; `log_decay` (≤ 0) and `beta` are (heads, chunks, size).
pub fn chunk_decay(scores: &Tensor, log_decay: &Tensor, beta: &Tensor) -> Result<ChunkDecay> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn every_pair_of_tokens_gets_the_gates_between_them(size in 1usize..70, steepness in 1e-4f32..3.0) {
            let device = Device::Cpu;
            let scores = Tensor::randn(0f32, 1.0, (1, 1, 2 * size, size), &device).unwrap();
            let log_decay = (Tensor::rand(0f32, 1.0, (1, 1, size), &device).unwrap() * -f64::from(steepness)).unwrap();
            let beta = Tensor::rand(0f32, 1.0, (1, 1, size), &device).unwrap();
            let got = chunk_decay(&scores, &log_decay, &beta).unwrap();
            let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let (scores, gates, beta) = (flat(&scores), flat(&log_decay), flat(&beta));
            let decay = |range: std::ops::Range<usize>| gates[range].iter().sum::<f32>().exp();
            // Differences of sums lose what the sums are large.
            let tolerance = 2e-6 * (1.0 + steepness) * (1.0 + size as f32);
            let near = |got: f32, expected: f32| (got - expected).abs() < tolerance;
            for i in 0..size {
                prop_assert!(near(flat(&got.from_start)[i], decay(0..i + 1)));
                prop_assert!(near(flat(&got.to_end)[i], decay(i + 1..size)));
            }
            for (at, (within, between)) in flat(&got.within).into_iter().zip(flat(&got.between_keys)).enumerate() {
                let (i, j) = (at / size, at % size);
                let expected = if j <= i { decay(j + 1..i + 1) } else { 0.0 };
                prop_assert!(near(within, expected * scores[at]));
                let expected = if j < i { expected * beta[i] * scores[size * size + at] } else { 0.0 };
                prop_assert!(near(between, expected));
            }
        }
    }

    #[test]
    fn gates_that_forget_everything_do_not_overflow() {
        let device = Device::Cpu;
        let scores = Tensor::ones((1, 1, 6, 3), DType::F32, &device).unwrap();
        let log_decay = Tensor::new(&[[[-1e30f32, -1e30, -0.5]]], &device).unwrap();
        let beta = Tensor::ones((1, 1, 3), DType::F32, &device).unwrap();
        let got = chunk_decay(&scores, &log_decay, &beta).unwrap();
        for tensor in [got.within, got.between_keys, got.from_start, got.to_end] {
            assert!(tensor.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() <= 1.0);
        }
    }
}
