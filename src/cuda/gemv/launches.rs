//! Up to four matrices as one launch: which kernel, how many warps for a row, how many blocks.

use candle_core::{DType, Result, Tensor};

use super::kind::BlockKind;
use super::levels::Levels;
use crate::cuda::address::address;
use crate::cuda::launch::{Argument, Launch, suffix};

/// Matrices of one launch at most, as `Products` of `gemv_dense.cuh` has them.
pub(super) const TOGETHER: usize = 4;

/// Warps of a block.
const WARPS: usize = 4;

/// Rows of a launch: tiles and rows beyond the last are still counted in 32 bits.
const MOST_ROWS: usize = (1 << 31) - 1024;

/// Warps of a launch that fill a card twice over: 132 multiprocessors of an H100 hold about 4,200 of these.
const WARPS_WANTED: usize = 8192;

/// One matrix, checked.
pub(super) struct Part {
    pub(super) weights: u64,
    pub(super) bias: Option<u64>,
    pub(super) out: u64,
    pub(super) rows: usize,
    /// The type of dense weights.
    pub(super) dense: Option<DType>,
    /// The kind of blocks.
    pub(super) kind: Option<BlockKind>,
    /// Of the output, and of the bias.
    pub(super) types: [DType; 2],
}

impl Part {
    /// As `Product` lies in memory.
    fn words(&self) -> Result<[u64; 4]> {
        let [out, bias] = self.types.map(type_number);
        let kind = self.kind.map_or(0, |kind| kind.number() as u64);
        let last = self.rows as u64 | kind << 32 | out? << 40 | bias? << 48;
        Ok([self.weights, self.bias.unwrap_or(0), self.out, last])
    }
}

fn type_number(dtype: DType) -> Result<u64> {
    match dtype {
        DType::F32 => Ok(0),
        DType::F16 => Ok(1),
        DType::BF16 => Ok(2),
        other => candle_core::bail!("products are in f32, f16 or bf16, not in {other:?}"),
    }
}

/// Dense matrices of `weights`.
pub(super) fn dense(parts: &[&Part], weights: DType, x: &Tensor, columns: usize) -> Result<Launch> {
    let kernel = format!("gemv_dense_{}_by_{}", suffix(weights)?, suffix(x.dtype())?);
    let steps = (columns * weights.size_in_bytes()).div_ceil(16 * 32);
    let rows = parts.iter().map(|part| part.rows).sum();
    launch(kernel, parts, rows, steps, address(x)?, columns)
}

/// Matrices of blocks, of one kind or of several.
pub(super) fn blocks(parts: &[&Part], x: &Levels, columns: usize) -> Result<Launch> {
    let kinds: Vec<BlockKind> = parts.iter().filter_map(|part| part.kind).collect();
    let one = kinds.first().filter(|first| kinds.iter().all(|kind| kind == *first));
    let kernel = format!("gemv_blocks_{}", one.map_or("mixed", |kind| kind.name()));
    let steps = |kind: &BlockKind| (columns / kind.block_len() * kind.lanes()).div_ceil(32);
    let tiles = parts.iter().zip(&kinds).map(|(part, kind)| part.rows.div_ceil(kind.rows_together())).sum();
    launch(kernel, parts, tiles, kinds.iter().map(steps).max().unwrap_or(1), x.address()?, columns)
}

/// `tiles` of one or more rows, each of `steps` for a warp.
fn launch(
    kernel: String,
    parts: &[&Part],
    tiles: usize,
    steps: usize,
    x: u64,
    columns: usize,
) -> Result<Launch> {
    if parts.iter().map(|part| part.rows).sum::<usize>() > MOST_ROWS {
        candle_core::bail!("{kernel}: more than 2^31 rows at once; multiply with fewer matrices at a time");
    }
    let split = split(tiles, steps);
    let mut words = Vec::with_capacity(4 * TOGETHER);
    for part in parts {
        words.extend(part.words()?);
    }
    words.resize(4 * TOGETHER, 0);
    Launch::new(kernel, tiles.div_ceil(WARPS / split), 32 * WARPS as u32)?
        .overlapping()
        .argument(Argument::Struct(words))
        .address(x)
        .int(columns)?
        .int(split.ilog2() as usize)
}

/// Warps that share a tile: more where there are few tiles, none without a step of its own.
fn split(tiles: usize, steps: usize) -> usize {
    [1, 2].into_iter().find(|split| tiles * split >= WARPS_WANTED || 2 * split > steps).unwrap_or(WARPS)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn few_rows_are_shared_by_more_warps_as_long_as_each_has_work() {
        assert_eq!([split(24_576, 16), split(6144, 16), split(1024, 16)], [1, 2, 4]);
        assert_eq!([split(5, 1), split(5, 2), split(5, 3), split(5, 4)], [1, 2, 2, 4]);
    }
}
