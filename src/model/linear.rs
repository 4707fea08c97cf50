//! A matrix that tokens are multiplied with, packed, dense or quantized: the layers above do not know which.
//!
//! On the CPU matrices are packed for the kernels of [`crate::cpu`]; elsewhere they are candle's, and on a card read by
//! kernels of [`crate::cuda`] where candle's own would cost a token its speed.

use std::sync::Arc;

use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{DType, Module, Result, Tensor};

use super::kernels;
use crate::cpu::isa::isa;
use crate::cpu::packed::Packed;
use crate::cpu::product::{Factor, multiply};
use crate::cuda;

mod on_cuda;

pub use on_cuda::TILE as CARD_TILE;

/// Weights of a matrix, (out, in).
#[derive(Clone, Debug)]
pub enum Matrix {
    /// On the CPU, any type that its kernels know.
    Packed(Arc<Packed>),
    /// f32, bf16 or f16.
    Dense(Tensor),
    /// One of GGUF's block types.
    Quantized(Arc<QTensor>),
}

impl Matrix {
    /// Bytes that a product of one row reads.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Packed(packed) => packed.read_bytes() as u64,
            Self::Dense(t) => (t.elem_count() * t.dtype().size_in_bytes()) as u64,
            Self::Quantized(q) => q.storage_size_in_bytes() as u64,
        }
    }

    /// Rows `ids` (n,) of the table, as (n, in) in `dtype`.
    pub fn rows(&self, ids: &Tensor, dtype: DType) -> Result<Tensor> {
        match self {
            Self::Packed(table) => looked_up(table, &ids.to_vec1::<u32>()?)?.to_dtype(dtype),
            Self::Dense(table) if cuda::serves(ids) => cuda::sample::embedding(table, ids)?.to_dtype(dtype),
            Self::Dense(table) => table.index_select(ids, 0)?.to_dtype(dtype),
            Self::Quantized(table) => table.embedding(ids)?.to_dtype(dtype),
        }
    }
}

fn looked_up(table: &Packed, ids: &[u32]) -> Result<Tensor> {
    let columns = table.columns();
    let mut rows = vec![0f32; ids.len() * columns];
    for (id, row) in ids.iter().zip(rows.chunks_exact_mut(columns)) {
        match (*id as usize) < table.rows() {
            true => table.row(*id as usize, row),
            false => candle_core::bail!("row {id} of a table of {} rows", table.rows()),
        }
    }
    Tensor::from_vec(rows, (ids.len(), columns), &candle_core::Device::Cpu)
}

/// `x · Wᵀ + b`.
#[derive(Clone, Debug)]
pub struct Linear {
    product: Product,
    bias: Option<Tensor>,
    bytes: u64,
}

#[derive(Clone, Debug)]
enum Product {
    /// With the bias, in f32.
    Packed(Arc<Packed>, Option<Vec<f32>>),
    /// As stored, (out, in), and the same turned round, (in, out), which the matrix product reads as it lies.
    Dense {
        stored: Tensor,
        turned: Tensor,
    },
    Quantized(QMatMul),
}

impl Linear {
    /// From weights (out, in) and an optional bias (out,).
    pub fn new(matrix: Matrix, bias: Option<Tensor>) -> Result<Self> {
        let bytes = matrix.bytes();
        let product = match matrix {
            Matrix::Packed(packed) => {
                let numbers = |bias: &Tensor| bias.to_dtype(DType::F32)?.to_vec1();
                Product::Packed(packed, bias.as_ref().map(numbers).transpose()?)
            }
            Matrix::Dense(stored) => Product::Dense { turned: stored.t()?, stored },
            Matrix::Quantized(weight) => Product::Quantized(QMatMul::from_arc(weight)?),
        };
        Ok(Self { product, bias, bytes })
    }

    /// `x` (tokens, in) to (tokens, out), in the type of `x`.
    ///
    /// Quantized products run in f32 whatever the type of `x`, as candle has them.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if cuda::serves(x) && self.has_cuda_kernels() {
            let [y] = on_cuda::products([self], x)?;
            return Ok(y);
        }
        let y = match &self.product {
            Product::Packed(packed, bias) => {
                let factor = Factor { matrix: packed, bias: bias.as_deref() };
                return Ok(products(&[factor], x)?.remove(0));
            }
            Product::Dense { turned, .. } => x.matmul(turned)?,
            Product::Quantized(weight) => weight.forward(&x.to_dtype(DType::F32)?)?.to_dtype(x.dtype())?,
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }

    /// The products of `x` (tokens, in) with several matrices, each (tokens, out): on the CPU `x` is made ready
    /// once for all of them, and the threads meet once.
    pub fn forward_all<const N: usize>(linears: [&Self; N], x: &Tensor) -> Result<[Tensor; N]> {
        if cuda::serves(x) && linears.iter().all(|linear| linear.has_cuda_kernels()) {
            return on_cuda::products(linears, x);
        }
        let factors: Vec<Factor<'_>> = linears.iter().filter_map(|linear| linear.factor()).collect();
        let outputs = match factors.len() == N {
            true => products(&factors, x)?,
            false => linears.iter().map(|linear| linear.forward(x)).collect::<Result<_>>()?,
        };
        outputs.try_into().map_err(|_| candle_core::Error::Msg("as many products as matrices".into()))
    }

    /// What kernels for cards read of it. Errors for types that they do not know.
    pub(super) fn card_factor(&self) -> Result<cuda::gemv::Factor<'_>> {
        on_cuda::factor(self)
    }

    /// Whether kernels for cards read its weights.
    pub(super) fn has_cuda_kernels(&self) -> bool {
        match &self.product {
            Product::Dense { .. } => true,
            Product::Quantized(weight) => on_cuda::knows(weight),
            Product::Packed(..) => false,
        }
    }

    fn factor(&self) -> Option<Factor<'_>> {
        match &self.product {
            Product::Packed(packed, bias) => Some(Factor { matrix: packed, bias: bias.as_deref() }),
            Product::Dense { .. } | Product::Quantized(_) => None,
        }
    }

    /// Bytes of the weights as stored: what a decode step must read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// `x` (tokens, in) times each of the matrices, in the type of `x`.
fn products(factors: &[Factor<'_>], x: &Tensor) -> Result<Vec<Tensor>> {
    let (tokens, columns) = x.dims2()?;
    if let Some(other) = factors.iter().find(|factor| factor.matrix.columns() != columns) {
        candle_core::bail!("rows of {columns} numbers times a matrix of {} columns", other.matrix.columns());
    }
    let wide = x.to_dtype(DType::F32)?.contiguous()?;
    let outputs = multiply(kernels::read(&wide)?.slice()?, columns, factors, isa());
    let outputs = outputs.into_iter().zip(factors);
    outputs
        .map(|(out, factor)| {
            Tensor::from_vec(out, (tokens, factor.matrix.rows()), x.device())?.to_dtype(x.dtype())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::block::BlockType;
    use candle_core::Device;
    use candle_core::quantized::GgmlDType;

    #[test]
    fn dense_and_quantized_agree_within_the_rounding_of_eight_bits() {
        let device = Device::Cpu;
        let weight = Tensor::randn(0f32, 1.0, (48, 64), &device).unwrap();
        let x = Tensor::randn(0f32, 1.0, (3, 64), &device).unwrap();
        let dense = Linear::new(Matrix::Dense(weight.clone()), None).unwrap();
        let blocks = Arc::new(QTensor::quantize(&weight, GgmlDType::Q8_0).unwrap());
        let quantized = Linear::new(Matrix::Quantized(blocks), None).unwrap();
        let difference = (dense.forward(&x).unwrap() - quantized.forward(&x).unwrap()).unwrap();
        let worst = difference.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(worst > 0.0 && worst < 0.5, "{worst}");
        assert_eq!(quantized.bytes(), 48 * 64 * 34 / 32);
        assert_eq!(dense.bytes(), 48 * 64 * 4);
    }

    /// The weights in f32, packed for the CPU.
    fn packed(weight: &Tensor) -> Matrix {
        let (rows, columns) = weight.dims2().unwrap();
        let values: Vec<f32> = weight.flatten_all().unwrap().to_vec1().unwrap();
        let pack = Packed::pack(BlockType::F32, rows, columns, |first, out| {
            out.copy_from_slice(&bytemuck::cast_slice(&values[first * columns..])[..out.len()]);
            Ok::<(), std::convert::Infallible>(())
        });
        Matrix::Packed(Arc::new(pack.unwrap()))
    }

    #[test]
    fn packed_matrices_multiply_look_up_and_add_as_dense_ones_do() {
        let device = Device::Cpu;
        for (rows, columns, tokens) in [(48, 64, 1), (37, 19, 3), (5, 7, 40)] {
            let weight = Tensor::randn(0f32, 1.0, (rows, columns), &device).unwrap();
            let bias = Tensor::randn(0f32, 1.0, rows, &device).unwrap();
            let x = Tensor::randn(0f32, 1.0, (tokens, columns), &device).unwrap();
            let dense = Linear::new(Matrix::Dense(weight.clone()), Some(bias.clone())).unwrap();
            let (matrix, plain) = (packed(&weight), Linear::new(packed(&weight), None).unwrap());
            let ids = Tensor::new(&[2u32, 0, 2], &device).unwrap();
            let looked_up = matrix.rows(&ids, DType::F32).unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(looked_up, weight.index_select(&ids, 0).unwrap().to_vec2::<f32>().unwrap());
            let both = Linear::new(matrix, Some(bias.clone())).unwrap();
            let [got, without] = Linear::forward_all([&both, &plain], &x).unwrap();
            for got in [got, without.broadcast_add(&bias).unwrap()] {
                let difference = (dense.forward(&x).unwrap() - got).unwrap();
                let worst = difference.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                assert!(worst < 1e-4, "{worst}");
            }
        }
    }

    #[test]
    fn a_row_beyond_the_table_and_a_product_of_other_columns_are_errors() {
        let matrix = packed(&Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap());
        assert!(matrix.rows(&Tensor::new(&[2u32], &Device::Cpu).unwrap(), DType::F32).is_err());
        let linear = Linear::new(matrix, None).unwrap();
        assert!(linear.forward(&Tensor::zeros((1, 2), DType::F32, &Device::Cpu).unwrap()).is_err());
    }

    #[test]
    fn the_bias_is_added_to_every_row() {
        let weight = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        let bias = Tensor::new(&[1f32, -2.0], &Device::Cpu).unwrap();
        let linear = Linear::new(Matrix::Dense(weight), Some(bias)).unwrap();
        let y = linear.forward(&Tensor::ones((2, 3), DType::F32, &Device::Cpu).unwrap()).unwrap();
        assert_eq!(y.to_vec2::<f32>().unwrap(), vec![vec![1.0, -2.0]; 2]);
    }
}
