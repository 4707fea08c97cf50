//! Matrices for the CPU: stored rows straight into their one packed copy, some at a time.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Result};
use half::{bf16, f16};

use super::rows::Rows;
use crate::cpu::block::BlockType;
use crate::cpu::packed::Packed;
use crate::cuda;
use crate::model::linear::Matrix;

/// The kernels' name for one of GGUF's types; `None` for those that only candle knows.
pub fn kernel_type(kind: GgmlDType) -> Option<BlockType> {
    Some(match kind {
        GgmlDType::Q4_0 => BlockType::Q4_0,
        GgmlDType::Q4_1 => BlockType::Q4_1,
        GgmlDType::Q5_0 => BlockType::Q5_0,
        GgmlDType::Q5_1 => BlockType::Q5_1,
        GgmlDType::Q8_0 => BlockType::Q8_0,
        GgmlDType::Q4K => BlockType::Q4K,
        GgmlDType::Q5K => BlockType::Q5K,
        GgmlDType::Q6K => BlockType::Q6K,
        GgmlDType::F16 => BlockType::F16,
        GgmlDType::BF16 => BlockType::BF16,
        GgmlDType::F32 => BlockType::F32,
        _ => return None,
    })
}

/// Whether matrices on `device` are packed, for the CPU's kernels.
pub fn packs(device: &Device) -> bool {
    device.is_cpu() && !cuda::is_card(device)
}

/// The kernels' type for weights that stay floats.
pub fn float_type(dtype: DType) -> BlockType {
    match dtype {
        DType::BF16 => BlockType::BF16,
        DType::F16 => BlockType::F16,
        _ => BlockType::F32,
    }
}

/// Rounds or quantizes the rows of `source` into a packed matrix of `kind`.
pub fn packed(source: &dyn Rows, rows: usize, columns: usize, kind: BlockType) -> Result<Matrix> {
    let packed = Packed::pack(kind, rows, columns, |first, out| {
        let mut values = vec![0f32; out.len() / kind.row_bytes(columns).max(1) * columns];
        source.read(first, &mut values);
        store(kind, &values, out)
    })?;
    Ok(Matrix::Packed(Arc::new(packed)))
}

/// Rows of f32 as a file would store them.
fn store(kind: BlockType, values: &[f32], out: &mut [u8]) -> Result<()> {
    match kind {
        BlockType::F32 => out.copy_from_slice(bytemuck::cast_slice(values)),
        BlockType::F16 => floats(values, out, |x| f16::from_f32(x).to_le_bytes()),
        BlockType::BF16 => floats(values, out, |x| bf16::from_f32(x).to_le_bytes()),
        quantized => {
            let mut blocks = candle_type(quantized).cpu_zeros(values.len());
            blocks.from_float(values);
            out.copy_from_slice(&QTensor::new(QStorage::Cpu(blocks), values.len())?.data()?);
        }
    }
    Ok(())
}

fn floats(values: &[f32], out: &mut [u8], round: impl Fn(f32) -> [u8; 2]) {
    out.chunks_exact_mut(2).zip(values).for_each(|(out, x)| out.copy_from_slice(&round(*x)));
}

fn candle_type(kind: BlockType) -> GgmlDType {
    match kind {
        BlockType::Q4_0 => GgmlDType::Q4_0,
        BlockType::Q4_1 => GgmlDType::Q4_1,
        BlockType::Q5_0 => GgmlDType::Q5_0,
        BlockType::Q5_1 => GgmlDType::Q5_1,
        BlockType::Q8_0 => GgmlDType::Q8_0,
        BlockType::Q4K => GgmlDType::Q4K,
        BlockType::Q5K => GgmlDType::Q5K,
        BlockType::Q6K => GgmlDType::Q6K,
        BlockType::F16 => GgmlDType::F16,
        BlockType::BF16 => GgmlDType::BF16,
        BlockType::F32 => GgmlDType::F32,
    }
}

/// All weights of a packed matrix in f32, row after row.
pub fn unpacked(packed: &Packed) -> Vec<f32> {
    let columns = packed.columns();
    let mut values = vec![0f32; packed.rows() * columns];
    values.chunks_exact_mut(columns.max(1)).enumerate().for_each(|(row, out)| packed.row(row, out));
    values
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::cpu::isa::Isa;
    use crate::cpu::product::{Factor, multiply};
    use candle_core::{Device, Tensor};
    use proptest::prelude::*;

    /// Packs stored bytes that lie in memory.
    fn packed_bytes(kind: BlockType, rows: usize, columns: usize, stored: &[u8]) -> Packed {
        let row_bytes = kind.row_bytes(columns);
        let pack = Packed::pack(kind, rows, columns, |first, out| {
            out.copy_from_slice(&stored[first * row_bytes..][..out.len()]);
            Ok::<(), Infallible>(())
        });
        match pack {
            Ok(packed) => packed,
            Err(never) => match never {},
        }
    }

    /// A random matrix in the blocks that candle makes of it, packed, and what candle reads back from them.
    fn matrix(kind: BlockType, rows: usize, columns: usize, spread: f32) -> (Packed, Vec<f32>) {
        let weight = Tensor::randn(0f32, spread, (rows, columns), &Device::Cpu).unwrap();
        let blocks = QTensor::quantize(&weight, candle_type(kind)).unwrap();
        let plain = blocks.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        (packed_bytes(kind, rows, columns, &blocks.data().unwrap()), plain)
    }

    /// ‖a − b‖ / ‖b‖.
    fn distance(a: &[f32], b: &[f64]) -> f64 {
        let square = |x: f64| x * x;
        let apart: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(*a) - b)).sum();
        (apart / b.iter().map(|b| square(*b)).sum::<f64>().max(1e-30)).sqrt()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn every_type_unpacks_to_what_candle_reads_and_multiplies_so_on_every_instruction_set(
            kind in 0..BlockType::ALL.len(), rows in 1usize..70, blocks in 1usize..4, odd in 0usize..3,
            tokens in 1usize..20, spread in -3i32..3,
        ) {
            let kind = BlockType::ALL[kind];
            // Types of 32 take columns that are no multiple of 256; dense ones any number.
            let columns = blocks * kind.block_len() * if kind.is_quantized() { 1 } else { 11 + odd };
            let (packed, plain) = matrix(kind, rows, columns, 10f32.powi(spread));
            prop_assert_eq!(unpacked(&packed), plain.clone());
            let x = Tensor::randn(0f32, 1.0, (tokens, columns), &Device::Cpu).unwrap();
            let x: Vec<f32> = x.flatten_all().unwrap().to_vec1().unwrap();
            let exact: Vec<f64> = x.chunks(columns).flat_map(|x| plain.chunks(columns).map(move |w| {
                x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum()
            })).collect();
            let portable = multiply(&x, columns, &[Factor { matrix: &packed, bias: None }], Isa::Portable);
            let wide: Vec<f64> = portable[0].iter().map(|y| f64::from(*y)).collect();
            for isa in Isa::available() {
                let got = multiply(&x, columns, &[Factor { matrix: &packed, bias: None }], isa);
                // Rounding of rows to 8 bits, or to bf16.
                let bar = if kind.is_quantized() || kind == BlockType::BF16 { 0.02 } else { 1e-5 };
                prop_assert!(distance(&got[0], &exact) < bar, "{isa:?}: {}", distance(&got[0], &exact));
                if kind != BlockType::BF16 {
                    prop_assert!(distance(&got[0], &wide) < 1e-5, "{isa:?}: {}", distance(&got[0], &wide));
                }
            }
        }
    }

    #[test]
    fn rows_of_zeros_and_of_extreme_values_stay_finite() {
        for kind in BlockType::ALL.into_iter().filter(|kind| kind.is_quantized()) {
            let columns = 256;
            let (packed, _) = matrix(kind, 17, columns, 1.0);
            for value in [0.0, 1e-38, 1e-30, 1e30, -1e30] {
                for isa in Isa::available() {
                    let factor = Factor { matrix: &packed, bias: None };
                    let y = multiply(&vec![value; 2 * columns], columns, &[factor], isa);
                    assert!(y[0].iter().all(|y| y.is_finite()), "{kind:?} {isa:?} {value}");
                    assert!(value != 0.0 || y[0].iter().all(|y| *y == 0.0), "{kind:?} {isa:?}");
                }
            }
        }
    }

    #[test]
    fn no_rows_give_no_numbers() {
        let (packed, _) = matrix(BlockType::Q8_0, 3, 32, 1.0);
        for isa in Isa::available() {
            assert!(multiply(&[], 32, &[Factor { matrix: &packed, bias: None }], isa)[0].is_empty());
        }
    }
}
