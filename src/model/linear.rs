//! A matrix that tokens are multiplied with, dense or quantized: the layers above do not know which.

use std::sync::Arc;

use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{DType, Module, Result, Tensor};

/// Weights of a matrix, (out, in).
#[derive(Clone, Debug)]
pub enum Matrix {
    /// f32, bf16 or f16.
    Dense(Tensor),
    /// One of GGUF's block types.
    Quantized(Arc<QTensor>),
}

impl Matrix {
    /// Bytes as stored.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Dense(t) => (t.elem_count() * t.dtype().size_in_bytes()) as u64,
            Self::Quantized(q) => q.storage_size_in_bytes() as u64,
        }
    }

    /// Rows `ids` (n,) of the table, as (n, in) in `dtype`.
    pub fn rows(&self, ids: &Tensor, dtype: DType) -> Result<Tensor> {
        match self {
            Self::Dense(table) => table.index_select(ids, 0)?.to_dtype(dtype),
            Self::Quantized(table) => table.embedding(ids)?.to_dtype(dtype),
        }
    }
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
    /// (in, out): a transposed view, which the matrix product reads as it lies.
    Dense(Tensor),
    Quantized(QMatMul),
}

impl Linear {
    /// From weights (out, in) and an optional bias (out,).
    pub fn new(matrix: Matrix, bias: Option<Tensor>) -> Result<Self> {
        let bytes = matrix.bytes();
        let product = match matrix {
            Matrix::Dense(weight) => Product::Dense(weight.t()?),
            Matrix::Quantized(weight) => Product::Quantized(QMatMul::from_arc(weight)?),
        };
        Ok(Self { product, bias, bytes })
    }

    /// `x` (tokens, in) to (tokens, out), in the type of `x`.
    ///
    /// Quantized products run in f32 whatever the type of `x`, as candle has them.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = match &self.product {
            Product::Dense(weight) => x.matmul(weight)?,
            Product::Quantized(weight) => weight.forward(&x.to_dtype(DType::F32)?)?.to_dtype(x.dtype())?,
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }

    /// Bytes of the weights as stored: what a decode step must read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn the_bias_is_added_to_every_row() {
        let weight = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        let bias = Tensor::new(&[1f32, -2.0], &Device::Cpu).unwrap();
        let linear = Linear::new(Matrix::Dense(weight), Some(bias)).unwrap();
        let y = linear.forward(&Tensor::ones((2, 3), DType::F32, &Device::Cpu).unwrap()).unwrap();
        assert_eq!(y.to_vec2::<f32>().unwrap(), vec![vec![1.0, -2.0]; 2]);
    }
}
