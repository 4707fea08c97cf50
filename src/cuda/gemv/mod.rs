//! Products of one row with matrices, what a decode step spends its time on: `y = x · Wᵀ + b`.
//!
//! Comes in: one row x, and matrices that read it, dense or in GGUF's blocks as a file has them. Goes out: a row
//! for each. x is rounded to 8 bits once for all blocks ([`levels()`]). Not here: products of many rows, which
//! are cuBLAS's after [`super::dequantize`], and those of experts ([`super::experts`]).

#[cfg(test)]
mod edge;
mod kind;
mod launches;
mod levels;
#[cfg(test)]
mod tests;

use candle_core::{DType, Result, Tensor};

use super::address::{address, output};
pub use kind::BlockKind;
use launches::Part;
pub use levels::{Levels, levels};

/// One matrix of a product.
#[derive(Clone, Copy, Debug)]
pub struct Factor<'a> {
    /// W, (rows, in).
    pub weights: Weights<'a>,
    /// Rows of W: numbers that come out.
    pub rows: usize,
    /// b, (rows,), of the type of x or f32.
    pub bias: Option<&'a Tensor>,
}

/// Where a matrix's numbers are, row after row.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// (rows, in) of f32, f16 or bf16, whatever the type of x.
    Dense(&'a Tensor),
    /// The bytes of a GGUF file, on the device of x, for as long as the product runs.
    Blocks {
        /// Of the first byte: a multiple of 16.
        address: u64,
        /// What the blocks are.
        kind: BlockKind,
    },
}

/// `x` (1, in) of f32, f16 or bf16 times each of the matrices: (1, rows) of the type of x for each.
///
/// Up to four dense matrices of a type are one launch, and up to four of blocks; sums are in f32. With blocks, x is
/// rounded to 8 bits by groups of 32, and what is no number there comes out as none.
///
/// Errors if shapes or types do not fit, or if rows are no whole blocks.
pub fn multiply(x: &Tensor, factors: &[Factor<'_>]) -> Result<Vec<Tensor>> {
    let rounded = factors.iter().any(Factor::is_blocks).then(|| levels(x)).transpose()?;
    multiply_either(x, rounded.as_ref(), factors)
}

/// As [`multiply`], with x rounded before: by another product, or by the kernel that made x.
pub fn multiply_rounded(x: &Tensor, rounded: &Levels, factors: &[Factor<'_>]) -> Result<Vec<Tensor>> {
    if (rounded.rows(), rounded.columns()) != x.dims2()? {
        candle_core::bail!("x {:?} and levels of {} rows of {}", x.dims(), rounded.rows(), rounded.columns());
    }
    multiply_either(x, Some(rounded), factors)
}

fn multiply_either(x: &Tensor, rounded: Option<&Levels>, factors: &[Factor<'_>]) -> Result<Vec<Tensor>> {
    let columns = columns_of(x)?;
    let outputs: Vec<Tensor> =
        factors.iter().map(|factor| output(&[1, factor.rows], x, x.dtype())).collect::<Result<_>>()?;
    let parts = factors.iter().zip(&outputs).map(|(factor, out)| factor.part(x, columns, out));
    let parts: Vec<Part> = parts.collect::<Result<_>>()?;
    for dtype in [DType::BF16, DType::F16, DType::F32] {
        let dense: Vec<&Part> = parts.iter().filter(|part| part.dense == Some(dtype)).collect();
        for some in dense.chunks(launches::TOGETHER) {
            launches::dense(some, dtype, x, columns)?.run(x.device())?;
        }
    }
    let blocks: Vec<&Part> = parts.iter().filter(|part| part.dense.is_none()).collect();
    if let Some(rounded) = rounded {
        for some in blocks.chunks(launches::TOGETHER) {
            launches::blocks(some, rounded, columns)?.run(x.device())?;
        }
    }
    Ok(outputs)
}

/// The length of the one row.
fn columns_of(x: &Tensor) -> Result<usize> {
    match x.dims2()? {
        (1, columns) if columns <= 1 << 30 => Ok(columns),
        (rows, columns) => {
            candle_core::bail!("a row at a time, of 2^30 numbers at most, not {rows} of {columns}")
        }
    }
}

impl Factor<'_> {
    fn is_blocks(&self) -> bool {
        matches!(self.weights, Weights::Blocks { .. })
    }

    /// What a launch needs to know, once all of it is checked.
    fn part(&self, x: &Tensor, columns: usize, out: &Tensor) -> Result<Part> {
        let rows = self.rows;
        let (weights, dense, kind) = match self.weights {
            Weights::Dense(weight) if weight.dims() == [rows, columns] => {
                (address(weight)?, Some(weight.dtype()), None)
            }
            Weights::Dense(weight) => {
                candle_core::bail!("a matrix {:?} where {rows} rows of {columns} are to be", weight.dims())
            }
            Weights::Blocks { address, kind } => (kind.checked(address, columns)?, None, Some(kind)),
        };
        if let Some(bias) = self.bias
            && (bias.dims() != [rows] || ![x.dtype(), DType::F32].contains(&bias.dtype()))
        {
            candle_core::bail!(
                "a bias of {rows} numbers as x or in f32, not {:?} of {:?}",
                bias.dims(),
                bias.dtype()
            );
        }
        let types = [out.dtype(), self.bias.map_or(DType::F32, Tensor::dtype)];
        let bias = self.bias.map(address).transpose()?;
        Ok(Part { weights, bias, out: address(out)?, rows, dense, kind, types })
    }
}
