//! GGUF's blocks to numbers, for products of many rows, a tile of a matrix at a time.
//!
//! Comes in: bytes as a file has them. Goes out: a dense matrix. Not here: products, which read blocks
//! themselves where there is one row ([`super::gemv`]).

use candle_core::{DType, Result, Tensor};

use super::address::{address, output};
use super::gemv::BlockKind;
use super::launch::{Launch, THREADS, suffix};

/// Weights of a thread.
const TOGETHER: usize = 8;

/// `rows` rows of `columns` weights at `address`, on the device of `like`, as (rows, columns) of f32, f16 or bf16: each
/// weight's f32 value as candle has it, rounded once.
///
/// Errors if rows are no whole blocks, or if `address` is no multiple of 16.
pub fn dequantize(
    address: u64,
    kind: BlockKind,
    rows: usize,
    columns: usize,
    like: &Tensor,
    dtype: DType,
) -> Result<Tensor> {
    let out = output(&[rows, columns], like, dtype)?;
    dequantize_into(address, kind, &out)?;
    Ok(out)
}

/// As [`dequantize`], into `out` (rows, columns), which the caller has for one tile after the other.
pub fn dequantize_into(from: u64, kind: BlockKind, out: &Tensor) -> Result<()> {
    let (rows, columns) = out.dims2()?;
    let from = kind.checked(from, columns)?;
    let (weights, to) = (rows * columns, address(out)?);
    if !to.is_multiple_of(16) {
        candle_core::bail!("weights go out 16 bytes at a time: not to a view that begins at {to:#x}");
    }
    let kernel = format!("dequantize_{}_{}", kind.name(), suffix(out.dtype())?);
    let blocks = (weights / TOGETHER).div_ceil(THREADS as usize);
    Launch::new(kernel, blocks, THREADS)?.address(from).address(to).long(weights).run(out.device())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use candle_core::quantized::{GgmlDType, QTensor};
    use half::{bf16, f16};

    use super::*;
    use crate::cuda::edge::{UNSIGNED, last, put, taken, zeros};
    use crate::cuda::on_host;

    fn bits(x: &Tensor) -> Vec<u32> {
        let wide = x.to_dtype(DType::F32).unwrap().flatten_all().unwrap();
        wide.to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn every_weight_is_the_one_that_candle_reads_bit_for_bit() {
        let device = Device::Cpu;
        let kinds = [GgmlDType::Q4_0, GgmlDType::Q4_1, GgmlDType::Q5_0, GgmlDType::Q5_1, GgmlDType::Q8_0];
        let of_256 = [GgmlDType::Q4K, GgmlDType::Q5K, GgmlDType::Q6K];
        let narrow = kinds.into_iter().map(|kind| (kind, 96)).chain(of_256.map(|kind| (kind, 768)));
        for (dtype, columns) in narrow {
            let rows = 37;
            let weights = Tensor::randn(0.1f32, 1.0, (rows, columns), &device).unwrap();
            let matrix = QTensor::quantize(&weights, dtype).unwrap();
            let stored = matrix.data().unwrap().into_owned();
            let bytes = Tensor::from_vec(stored.clone(), stored.len(), &device).unwrap();
            let (from, kind) = (address(&bytes).unwrap(), BlockKind::of(dtype).unwrap());
            let want = matrix.dequantize(&device).unwrap();
            for to in [DType::F32, DType::F16, DType::BF16] {
                let got = on_host::with(|| dequantize(from, kind, rows, columns, &weights, to)).unwrap();
                assert_eq!((got.dims(), got.dtype()), (&[rows, columns][..], to));
                let rounded = |bits: u32| match to {
                    DType::F16 => f16::from_f32(f32::from_bits(bits)).to_f32().to_bits(),
                    DType::BF16 => bf16::from_f32(f32::from_bits(bits)).to_f32().to_bits(),
                    _ => bits,
                };
                let want: Vec<u32> = bits(&want).into_iter().map(rounded).collect();
                assert!(bits(&got) == want, "{kind:?} to {to:?}");
            }
        }
    }

    #[test]
    fn tiles_go_where_they_are_told_and_nowhere_else() {
        let device = Device::Cpu;
        let weights = Tensor::randn(0f32, 1.0, (6, 64), &device).unwrap();
        let matrix = QTensor::quantize(&weights, GgmlDType::Q8_0).unwrap();
        let bytes = Tensor::from_vec(matrix.data().unwrap().into_owned(), 6 * 68, &device).unwrap();
        let (all, from) = (Tensor::zeros((6, 64), DType::F32, &device).unwrap(), address(&bytes).unwrap());
        let tile = all.narrow(0, 2, 3).unwrap();
        on_host::with(|| dequantize_into(from, BlockKind::Q8_0, &tile)).unwrap();
        let want = matrix.dequantize(&device).unwrap().narrow(0, 0, 3).unwrap();
        let want = Tensor::cat(&[&weights.narrow(0, 0, 2).unwrap().zeros_like().unwrap(), &want], 0).unwrap();
        let want = Tensor::cat(&[&want, &weights.narrow(0, 5, 1).unwrap().zeros_like().unwrap()], 0).unwrap();
        assert_eq!(bits(&all), bits(&want));
        assert!(dequantize_into(from, BlockKind::Q4K, &tile).is_err());
        assert!(dequantize_into(from + 2, BlockKind::Q8_0, &tile).is_err());
    }

    #[test]
    fn weights_beyond_two_to_the_thirty_second_are_widened() {
        let (rows, columns) = (UNSIGNED / 4096 + 1, 4096);
        for dtype in [GgmlDType::Q8_0, GgmlDType::Q4K] {
            let kind = BlockKind::of(dtype).unwrap();
            let values = Tensor::randn(0f32, 1.0, (1, columns), &Device::Cpu).unwrap();
            let row = QTensor::quantize(&values, dtype).unwrap();
            let stored = Tensor::new(&*row.data().unwrap(), &Device::Cpu).unwrap();
            let blocks = zeros(&[rows * kind.row_bytes(columns)], DType::U8).unwrap();
            put(&blocks, (rows - 1) * kind.row_bytes(columns), &stored);
            let widen = |from: &Tensor, rows: usize| {
                dequantize(address(from).unwrap(), kind, rows, columns, &values, DType::BF16).unwrap()
            };
            let far = on_host::only_blocks(last, || widen(&blocks, rows));
            let near = on_host::with(|| widen(&stored, 1));
            // A block of threads takes 2,048 weights.
            assert_eq!(
                taken(&far, rows * columns - 2048, 2048),
                taken(&near, columns - 2048, 2048),
                "{kind:?}"
            );
        }
    }
}
