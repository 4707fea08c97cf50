//! Products on a card: one token by kernels that read each weight once where it lies, many tokens by cuBLAS, with
//! quantized matrices widened a tile at a time.

use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{Result, Tensor};

use super::{Linear, Product};
use crate::cuda::dequantize::dequantize;
use crate::cuda::gemv::{self, BlockKind, Factor, Weights};

/// Most numbers of a widened tile: 128 MiB in 16 bits.
pub const TILE: usize = 64 << 20;

const PACKED: &str = "the CPU's own order";

/// So many rows of any blocks are whole vectors of 16 bytes.
const ALIGNED_ROWS: usize = 16;

/// `x` (tokens, in) times each of the matrices, in the type of `x`.
pub(super) fn products<const N: usize>(linears: [&Linear; N], x: &Tensor) -> Result<[Tensor; N]> {
    let x = x.contiguous()?;
    let made = match x.dim(0)? {
        1 => gemv::multiply(&x, &linears.iter().map(|linear| factor(linear)).collect::<Result<Vec<_>>>()?)?,
        _ => linears.iter().map(|linear| many(linear, &x)).collect::<Result<_>>()?,
    };
    made.try_into().map_err(|_| candle_core::Error::Msg("as many products as matrices".into()))
}

/// Whether there are kernels for these blocks.
pub(super) fn knows(weight: &QMatMul) -> bool {
    matches!(weight, QMatMul::QTensor(blocks) if BlockKind::of(blocks.dtype()).is_ok())
}

/// What the kernels for one token read of `linear`.
pub(super) fn factor(linear: &Linear) -> Result<Factor<'_>> {
    let (weights, rows) = match &linear.product {
        Product::Dense { stored, .. } => (Weights::Dense(stored), stored.dim(0)?),
        Product::Quantized(QMatMul::QTensor(blocks)) => (weights_of(blocks)?, blocks.shape().dims2()?.0),
        _ => {
            candle_core::bail!("a matrix in {PACKED} cannot be multiplied on a card: load it for that device")
        }
    };
    Ok(Factor { weights, rows, bias: linear.bias.as_ref() })
}

fn many(linear: &Linear, x: &Tensor) -> Result<Tensor> {
    let y = match &linear.product {
        Product::Dense { turned, .. } => x.matmul(turned)?,
        Product::Quantized(QMatMul::QTensor(blocks)) => by_tiles(blocks, x)?,
        _ => {
            candle_core::bail!("a matrix in {PACKED} cannot be multiplied on a card: load it for that device")
        }
    };
    match &linear.bias {
        Some(bias) => y.broadcast_add(&bias.to_dtype(y.dtype())?),
        None => Ok(y),
    }
}

/// Some rows of the matrix at a time, in the type of `x`.
fn by_tiles(blocks: &QTensor, x: &Tensor) -> Result<Tensor> {
    let (rows, columns) = blocks.shape().dims2()?;
    let (kind, first) = (BlockKind::of(blocks.dtype())?, address(blocks)?);
    let step = (TILE / columns.max(1)).next_multiple_of(ALIGNED_ROWS);
    let tile = |row: usize| {
        let at = first + (row * kind.row_bytes(columns)) as u64;
        let weights = dequantize(at, kind, step.min(rows - row), columns, x, x.dtype())?;
        x.matmul(&weights.t()?)
    };
    let tiles = (0..rows).step_by(step).map(tile).collect::<Result<Vec<_>>>()?;
    match tiles.as_slice() {
        [one] => Ok(one.clone()),
        many => Tensor::cat(many, 1),
    }
}

fn weights_of(blocks: &QTensor) -> Result<Weights<'_>> {
    Ok(Weights::Blocks { address: address(blocks)?, kind: BlockKind::of(blocks.dtype())? })
}

/// Where the blocks of a matrix lie, on its device.
fn address(blocks: &QTensor) -> Result<u64> {
    match blocks.device().is_cpu() {
        true => Ok(blocks.data()?.as_ptr() as u64),
        false => Ok(blocks.device_ptr()? as u64),
    }
}
