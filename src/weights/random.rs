//! Seeded random weights of an exact shape: speed does not depend on the values, so a model can
//! be timed without its file. Deterministic by seed, tensor name and row, on any number of threads; dense matrices of a
//! card are made there (`on_card`), and follow from the seed and their order.

mod on_card;

use candle_core::{DType, Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use sha2::{Digest, Sha256};

use super::cut::Cut;
use super::error::WeightsError;
use super::precision::Precision;
use super::rows::{Rows, build};
use super::{Dialect, TensorSource};
use crate::model::linear::Matrix;

/// Random tensors of whatever shape is asked for.
#[derive(Clone, Copy, Debug)]
pub struct RandomSource {
    seed: u64,
    /// Whether a card's own sequence was begun.
    has_begun: bool,
}

impl RandomSource {
    /// All weights follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed, has_begun: false }
    }

    fn on_card(&mut self, cut: &Cut, dtype: DType, device: &Device) -> candle_core::Result<Matrix> {
        if !self.has_begun {
            on_card::begin(device, self.seed)?;
            self.has_begun = true;
        }
        let size = [cut.row_count(), cut.columns()];
        Ok(Matrix::Dense(on_card::matrix(size, half_width(cut), dtype, device, on_card::PIECE)?))
    }
}

impl TensorSource for RandomSource {
    /// Rows that are cut out are made in their new order: one random row is as good as another.
    fn matrix(&mut self, cut: &Cut, precision: Precision, device: &Device) -> Result<Matrix, WeightsError> {
        if device.is_cuda() && precision.block_type(cut.columns()).is_none() {
            return self.on_card(cut, precision.dtype, device).map_err(WeightsError::candle(&cut.name));
        }
        let first = cut.rows.as_ref().and_then(|rows| rows.first().copied()).unwrap_or(0) as u64;
        let seed = tensor_seed(self.seed, &cut.name).wrapping_add(first);
        let columns = cut.columns();
        let source = RandomRows { seed, columns, half_width: half_width(cut) };
        build(&source, cut.row_count(), columns, precision, device).map_err(WeightsError::candle(&cut.name))
    }

    /// Norms lie near 1, biases and decays near 0; of more than one dimension, as matrices do.
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, WeightsError> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(tensor_seed(self.seed, name));
        let centre = if name.ends_with("norm.weight") { 1.0 } else { 0.0 };
        let width = match shape {
            [.., columns] if shape.len() > 1 => 2.0 * (3.0 / *columns as f32).sqrt(),
            _ => 0.1,
        };
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|_| centre + width * (rng.random::<f32>() - 0.5)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).map_err(WeightsError::candle(name))
    }

    fn dialect(&self) -> Dialect {
        Dialect::Seed
    }

    fn check(&self, _name: &str, _shape: &[usize]) -> Result<(), WeightsError> {
        Ok(())
    }

    /// Every tensor in its plainest form: one for each matrix, nothing fused.
    fn has(&self, name: &str) -> bool {
        !["in_proj_qkvz", "in_proj_ba", "experts.gate_up_proj"].iter().any(|fused| name.contains(fused))
    }
}

/// The table of which a token's first numbers are a row.
const EMBEDDING: &str = "embed_tokens.weight";

/// Size of a number of the embedding. What layers add is smaller, and what attention adds is nearly the
/// same for all tokens: beside a small embedding it would send all of them to the same experts.
const EMBEDDING_RMS: f32 = 8.0;

/// How far the numbers of a matrix lie from 0: their variance is 1/columns but for the embedding, so that the residual
/// stream neither dies nor explodes.
fn half_width(cut: &Cut) -> f32 {
    let rms = if cut.name == EMBEDDING { EMBEDDING_RMS } else { (cut.columns() as f32).powf(-0.5) };
    3f32.sqrt() * rms
}

/// Uniform numbers.
struct RandomRows {
    seed: u64,
    columns: usize,
    half_width: f32,
}

impl Rows for RandomRows {
    fn read(&self, first: usize, out: &mut [f32]) {
        for (index, row) in out.chunks_mut(self.columns).enumerate() {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed.wrapping_add((first + index) as u64));
            for pair in row.chunks_mut(2) {
                let bits = rng.random::<u64>();
                for (x, half) in pair.iter_mut().zip([bits as u32, (bits >> 32) as u32]) {
                    *x = self.half_width * (half as i32 as f32 * (1.0 / 2_147_483_648.0));
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

    fn matrix(seed: u64, name: &str) -> Vec<f32> {
        let precision = Precision { quantization: Quantization::Native, dtype: DType::F32 };
        match RandomSource::new(seed).matrix(&Cut::whole(name, 300, 1024), precision, &Device::Cpu).unwrap() {
            Matrix::Packed(packed) => crate::weights::packing::unpacked(&packed),
            other => panic!("the CPU's matrices are packed, not {other:?}"),
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
