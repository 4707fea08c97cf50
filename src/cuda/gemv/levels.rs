//! Rows rounded to 8 bits by groups of 32, as products with blocks read them.

use candle_core::{DType, Result, Tensor};

use crate::cuda::address::{address, output};
use crate::cuda::launch::{Launch, suffix};

const THREADS: u32 = 128;

/// Rows in 8 bits, on the device. In memory: levels, i8 (rows, columns); then for each group its scale and
/// scale · sum of its levels, f32 (rows, columns / 32, 2).
#[derive(Clone, Debug)]
pub struct Levels {
    data: Tensor,
    rows: usize,
    columns: usize,
}

/// `x` (rows, columns) of f32, f16 or bf16, rounded.
///
/// Errors if columns are no multiple of 32.
pub fn levels(x: &Tensor) -> Result<Levels> {
    let levels = Levels::empty(x)?;
    let threads = x.elem_count() / 4;
    Launch::new(format!("round_levels_{}", suffix(x.dtype())?), threads.div_ceil(THREADS as usize), THREADS)?
        .overlapping()
        .address(address(x)?)
        .address(levels.address()?)
        .long(x.elem_count())
        .run(x.device())?;
    Ok(levels)
}

impl Levels {
    /// Room for those of `x` (rows, columns), for a kernel that rounds what it makes.
    ///
    /// Errors if columns are no multiple of 32.
    pub fn empty(x: &Tensor) -> Result<Self> {
        let (rows, columns) = x.dims2()?;
        if !columns.is_multiple_of(32) {
            candle_core::bail!("rows of {columns} numbers are no whole groups of 32");
        }
        // A byte for each number, and 8 for each group.
        let data = output(&[rows * (columns / 4 + columns / 16)], x, DType::F32)?;
        Ok(Self { data, rows, columns })
    }

    /// Of the first level.
    pub fn address(&self) -> Result<u64> {
        address(&self.data)
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The device's memory behind them.
    pub fn data(&self) -> &Tensor {
        &self.data
    }
}
