//! A matrix as rows of f32 that can be read anywhere, and what is made of it: dense or blocks.
//!
//! Rows are read, and quantized, a piece at a time on all cores; no f32 copy of a whole matrix
//! is ever made on the way to blocks.

use std::borrow::Cow;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use super::packing::{float_type, kernel_type, packed, packs};
use super::precision::Precision;
use crate::model::linear::Matrix;

/// A matrix that can be read row by row from any thread.
pub trait Rows: Sync {
    /// Fills `out`, whole rows, from row `first` on.
    fn read(&self, first: usize, out: &mut [f32]);
}

/// Rows that lie in memory, one after the other.
pub struct Floats {
    /// All of them.
    pub values: Vec<f32>,
    /// Weights of a row.
    pub columns: usize,
}

impl Rows for Floats {
    fn read(&self, first: usize, out: &mut [f32]) {
        let start = first * self.columns;
        out.copy_from_slice(&self.values[start..start + out.len()]);
    }
}

/// Weights per parallel piece, in whole rows.
const PIECE: usize = 1 << 18;

/// Makes the matrix in the type that `precision` asks for: packed for the CPU, candle's elsewhere.
pub fn build(
    source: &dyn Rows,
    rows: usize,
    columns: usize,
    precision: Precision,
    device: &Device,
) -> Result<Matrix> {
    let block = precision.block_type(columns);
    if packs(device) {
        let kind = block.map_or(Some(float_type(precision.dtype)), kernel_type);
        if let Some(kind) = kind {
            return packed(source, rows, columns, kind);
        }
    }
    match block {
        Some(block) => Ok(Matrix::Quantized(Arc::new(quantized(source, rows, columns, block, device)?))),
        None => {
            Ok(Matrix::Dense(dense(source, rows, columns)?.to_dtype(precision.dtype)?.to_device(device)?))
        }
    }
}

fn dense(source: &dyn Rows, rows: usize, columns: usize) -> Result<Tensor> {
    let mut values = vec![0f32; rows * columns];
    let piece = rows_per_piece(columns);
    values
        .par_chunks_mut(piece * columns)
        .enumerate()
        .for_each(|(index, out)| source.read(index * piece, out));
    Tensor::from_vec(values, (rows, columns), &Device::Cpu)
}

fn quantized(
    source: &dyn Rows,
    rows: usize,
    columns: usize,
    block: GgmlDType,
    device: &Device,
) -> Result<QTensor> {
    let row_bytes = columns / block.block_size() * block.type_size();
    let mut bytes = vec![0u8; rows * row_bytes];
    let piece = rows_per_piece(columns);
    bytes.par_chunks_mut(piece * row_bytes).enumerate().try_for_each(|(index, out)| {
        let mut values = vec![0f32; out.len() / row_bytes * columns];
        source.read(index * piece, &mut values);
        let mut blocks = block.cpu_zeros(values.len());
        blocks.from_float(&values);
        out.copy_from_slice(&QTensor::new(QStorage::Cpu(blocks), values.len())?.data()?);
        Result::Ok(())
    })?;
    QTensor::new(QStorage::from_data(Cow::Owned(bytes), device, block)?, (rows, columns))
}

fn rows_per_piece(columns: usize) -> usize {
    (PIECE / columns).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Quantization;
    use candle_core::DType;

    struct Counting {
        columns: usize,
    }

    impl Rows for Counting {
        fn read(&self, first: usize, out: &mut [f32]) {
            for (i, x) in out.iter_mut().enumerate() {
                *x = ((first * self.columns + i) as f32 * 0.37).sin();
            }
        }
    }

    #[test]
    fn pieces_join_to_what_candle_quantizes_at_once() {
        let (rows, columns) = (2500, 256); // more than two pieces
        let source = Counting { columns };
        let dense = dense(&source, rows, columns).unwrap();
        for block in [Quantization::Q8_0, Quantization::Q6K, Quantization::Q4K, Quantization::Q4_0] {
            let precision = Precision { quantization: block, dtype: DType::F32 };
            let kind = precision.block_type(columns).unwrap();
            let got = quantized(&source, rows, columns, kind, &Device::Cpu).unwrap();
            let expected = QTensor::quantize(&dense, kind).unwrap();
            assert!(got.data().unwrap() == expected.data().unwrap(), "{block:?}");
            let Matrix::Packed(got) = build(&source, rows, columns, precision, &Device::Cpu).unwrap() else {
                panic!("{block:?} is not packed");
            };
            let values = expected.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
            assert!(super::super::packing::unpacked(&got) == values.to_vec1::<f32>().unwrap(), "{block:?}");
        }
    }
}
