//! Seeded random weights of an exact shape: speed does not depend on the values, so a model can
//! be timed without its file. Deterministic by seed, tensor name and row, on any number of threads.

use candle_core::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use sha2::{Digest, Sha256};

use super::TensorSource;
use super::error::WeightsError;
use super::precision::Precision;
use super::rows::{Rows, build};
use crate::model::linear::Matrix;

/// Random tensors of whatever shape is asked for.
#[derive(Clone, Copy, Debug)]
pub struct RandomSource {
    seed: u64,
}

impl RandomSource {
    /// All weights follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }
}

impl TensorSource for RandomSource {
    fn matrix(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
        precision: Precision,
        device: &Device,
    ) -> Result<Matrix, WeightsError> {
        let source = RandomRows { seed: tensor_seed(self.seed, name), columns };
        build(&source, rows, columns, precision, device).map_err(WeightsError::candle(name))
    }

    /// Norms lie near 1, biases near 0.
    fn vector(&mut self, name: &str, length: usize) -> Result<Tensor, WeightsError> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(tensor_seed(self.seed, name));
        let centre = if name.ends_with("norm.weight") { 1.0 } else { 0.0 };
        let values: Vec<f32> = (0..length).map(|_| centre + 0.1 * (rng.random::<f32>() - 0.5)).collect();
        Tensor::from_vec(values, length, &Device::Cpu).map_err(WeightsError::candle(name))
    }

    fn has(&self, _name: &str) -> bool {
        true
    }
}

/// Uniform numbers with variance 1/columns, so that the residual stream neither dies nor explodes.
struct RandomRows {
    seed: u64,
    columns: usize,
}

impl Rows for RandomRows {
    fn read(&self, first: usize, out: &mut [f32]) {
        let half_width = (3.0 / self.columns as f32).sqrt();
        for (index, row) in out.chunks_mut(self.columns).enumerate() {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed.wrapping_add((first + index) as u64));
            for pair in row.chunks_mut(2) {
                let bits = rng.random::<u64>();
                for (x, half) in pair.iter_mut().zip([bits as u32, (bits >> 32) as u32]) {
                    *x = half_width * (half as i32 as f32 * (1.0 / 2_147_483_648.0));
                }
            }
        }
    }
}

fn tensor_seed(seed: u64, name: &str) -> u64 {
    let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name.as_bytes()).finalize();
    let mut first = [0u8; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Quantization;
    use candle_core::DType;

    fn matrix(seed: u64, name: &str) -> Vec<f32> {
        let precision = Precision { quantization: Quantization::Native, dtype: DType::F32 };
        match RandomSource::new(seed).matrix(name, 300, 1024, precision, &Device::Cpu).unwrap() {
            Matrix::Dense(t) => t.flatten_all().unwrap().to_vec1().unwrap(),
            Matrix::Quantized(_) => panic!("native stays dense"),
        }
    }

    #[test]
    fn the_same_seed_and_name_give_the_same_numbers_and_others_do_not() {
        assert_eq!(matrix(1, "a"), matrix(1, "a"));
        assert_ne!(matrix(1, "a"), matrix(2, "a"));
        assert_ne!(matrix(1, "a"), matrix(1, "b"));
    }

    #[test]
    fn variance_is_one_over_the_row_length() {
        let values = matrix(3, "w");
        let n = values.len() as f64;
        let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
        let variance = values.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 1e-3, "{mean}");
        assert!((variance * 1024.0 - 1.0).abs() < 0.02, "{variance}");
    }
}
