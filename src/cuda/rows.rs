//! What stands between the products, row by row: RMS norms, gates, sums.
//!
//! Comes in: contiguous tensors of one type, f32, bf16 or f16, of one device. Goes out: a tensor, or the
//! first argument changed in place. Counts beyond 2³⁰ are split over several launches, so no kernel counts
//! further than an `int`. Not here: norms of heads ([`super::prepare`]).

use std::ops::Range;

use candle_core::{DType, Result, Tensor};

use super::address::{address, output};
use super::launch::{Launch, suffix};

#[cfg(test)]
mod edge;
#[cfg(test)]
pub(super) mod tests;

/// Numbers that one launch takes at most.
const AT_ONCE: usize = 1 << 30;
/// Rows of up to so many numbers take a warp each, longer ones a block.
const SHORT: usize = 256;
/// Warps of a block that takes short rows.
const SHORT_ROWS: usize = 8;
/// Threads of a block in operations on pairs of numbers.
const PAIRWISE_THREADS: usize = 128;
/// Blocks of such an operation at most; beyond them threads go round again.
const PAIRWISE_BLOCKS: usize = 16_384;

/// RMSNorm of the last dimension of `x` (…, dim), by `weight` (dim,) of the same type or f32, to the same
/// shape.
///
/// Accumulated in f32 and rounded once. Errors if shapes, types or devices do not fit.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
    let norm = Norm::new("rms_norm", x, weight, eps)?;
    let out = output(x.dims(), x, x.dtype())?;
    let places = [address(x)?, address(weight)?, address(&out)?];
    for launch in norm.launches(places)? {
        launch.run(x.device())?;
    }
    Ok(out)
}

/// Adds `y` to `stream`, in place, and makes `y` the RMSNorm of the sum, both (…, dim), each in memory of its
/// own; `weight` as in [`rms_norm`]. The sum is rounded to the tensors' type before it is normalised.
pub fn add_rms_norm(stream: &Tensor, y: &Tensor, weight: &Tensor, eps: f32) -> Result<()> {
    alike("add_rms_norm", stream, y)?;
    let norm = Norm::new("add_rms_norm", y, weight, eps)?;
    let places = [address(stream)?, address(y)?, address(weight)?];
    norm.added(places)?.iter().try_for_each(|launch| launch.run(y.device()))
}

/// `gate` becomes `silu(gate) ∘ up`: two tensors of one shape. In f32, rounded once.
pub fn silu_mul(gate: &Tensor, up: &Tensor) -> Result<()> {
    pairwise("silu_mul", gate, up)
}

/// `x` becomes `x ∘ sigmoid(gate)`: two tensors of one shape. In f32, rounded once.
pub fn sigmoid_mul(x: &Tensor, gate: &Tensor) -> Result<()> {
    pairwise("sigmoid_mul", x, gate)
}

/// `x` becomes `x + y`: two tensors of one shape.
pub fn add(x: &Tensor, y: &Tensor) -> Result<()> {
    pairwise("add", x, y)
}

/// Errors unless `x` and `y` are of one shape, type and device.
fn alike(operation: &str, x: &Tensor, y: &Tensor) -> Result<()> {
    if x.dims() != y.dims() || x.dtype() != y.dtype() || !x.device().same_device(y.device()) {
        candle_core::bail!("{operation} of unlike tensors: {x:?} and {y:?}");
    }
    Ok(())
}

fn pairwise(operation: &str, x: &Tensor, y: &Tensor) -> Result<()> {
    alike(operation, x, y)?;
    let launches = pairwise_launches(operation, [address(x)?, address(y)?], x.elem_count(), x.dtype())?;
    launches.iter().try_for_each(|launch| launch.run(x.device()))
}

/// The launches over `count` numbers from each of two places on.
fn pairwise_launches(operation: &str, [x, y]: [u64; 2], count: usize, dtype: DType) -> Result<Vec<Launch>> {
    let kernel = format!("{operation}_{}", suffix(dtype)?);
    let launch = |piece: Range<usize>| {
        let packs = piece.len().div_ceil(pack(dtype));
        let blocks = packs.div_ceil(PAIRWISE_THREADS).min(PAIRWISE_BLOCKS);
        let offset = bytes(piece.start, dtype);
        Launch::new(kernel.as_str(), blocks, PAIRWISE_THREADS as u32)?
            .overlapping()
            .address(x + offset)
            .address(y + offset)
            .int(piece.len())
    };
    pieces(count, AT_ONCE).map(launch).collect()
}

/// `0..count` in ranges of `most`, the last one shorter.
fn pieces(count: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(most).map(move |start| start..count.min(start + most))
}

/// Numbers in a load of 16 bytes.
fn pack(dtype: DType) -> usize {
    16 / dtype.size_in_bytes()
}

fn bytes(numbers: usize, dtype: DType) -> u64 {
    (numbers * dtype.size_in_bytes()) as u64
}

/// The norm of some rows, before it is known where they lie.
struct Norm {
    /// How its kernels' names begin.
    operation: &'static str,
    /// How they end.
    types: String,
    dtype: DType,
    rows: usize,
    dim: usize,
    eps: f32,
}

impl Norm {
    fn new(operation: &'static str, x: &Tensor, weight: &Tensor, eps: f32) -> Result<Self> {
        let dim = x.dims().last().copied().unwrap_or(0);
        let (dtype, kind) = (x.dtype(), weight.dtype());
        if dim == 0 || weight.dims() != [dim] || !x.device().same_device(weight.device()) {
            candle_core::bail!(
                "a norm of {x:?} needs a weight of its last dimension beside it, not {weight:?}"
            );
        }
        if dim > AT_ONCE {
            candle_core::bail!("rows of {dim} numbers are too long for a norm: {AT_ONCE} at most");
        }
        if kind != dtype && kind != DType::F32 {
            candle_core::bail!("a norm of {dtype:?} needs a weight of that type or of f32, not of {kind:?}");
        }
        let types = format!("{}_{}", suffix(dtype)?, suffix(kind)?);
        Ok(Self { operation, types, dtype, rows: x.elem_count() / dim, dim, eps })
    }

    /// Over rows of `x` to those of `out`.
    fn launches(&self, [x, weight, out]: [u64; 3]) -> Result<Vec<Launch>> {
        let launch = |rows: Range<usize>| {
            let offset = bytes(rows.start * self.dim, self.dtype);
            let (short, blocks) = match self.dim <= SHORT {
                true => ("_short", rows.len().div_ceil(SHORT_ROWS)),
                false => ("", rows.len()),
            };
            let threads = if short.is_empty() { self.threads() } else { 32 * SHORT_ROWS };
            let kernel = format!("{}{short}_{}", self.operation, self.types);
            let launch = Launch::new(kernel, blocks, threads as u32)?
                .overlapping()
                .address(x + offset)
                .address(weight)
                .address(out + offset);
            let launch = if short.is_empty() { launch } else { launch.int(rows.len())? };
            Ok(launch.int(self.dim)?.float(self.eps))
        };
        self.pieces().map(launch).collect()
    }

    /// Over rows of `y`, added to those of `stream`.
    fn added(&self, [stream, y, weight]: [u64; 3]) -> Result<Vec<Launch>> {
        let launch = |rows: Range<usize>| {
            let offset = bytes(rows.start * self.dim, self.dtype);
            let kernel = format!("{}_{}", self.operation, self.types);
            let launch = Launch::new(kernel, rows.len(), self.threads() as u32)?
                .overlapping()
                .address(stream + offset)
                .address(y + offset)
                .address(weight);
            Ok(launch.int(self.dim)?.float(self.eps))
        };
        self.pieces().map(launch).collect()
    }

    fn pieces(&self) -> impl Iterator<Item = Range<usize>> {
        pieces(self.rows, (AT_ONCE / self.dim).max(1))
    }

    /// One for every 16 bytes of a row, in whole warps.
    fn threads(&self) -> usize {
        self.dim.div_ceil(pack(self.dtype)).next_multiple_of(32).min(1024)
    }
}
