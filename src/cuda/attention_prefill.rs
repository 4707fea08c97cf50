//! Causal attention of many tokens over all before them and themselves: prefill, in one piece or in chunks.
//!
//! Comes in: rotated queries, and caches that already hold the tokens' own keys and values. Goes out: the
//! mixed values. Scores are never in memory, so no length makes them too many. Not here: one token at a time
//! ([`super::attention_decode`]), rotation and the writing of caches ([`super::prepare`]).

use candle_core::{Result, Tensor};

use super::address::{address, output};
use super::attention_decode::Unit;
use super::attention_decode::shape::Shape;
use super::launch::{Launch, suffix};

#[cfg(test)]
mod edge;
#[cfg(test)]
mod tests;

/// Threads of a block.
const THREADS: u32 = 128;

/// `q` (tokens, heads · dim), rotated, over `keys` and `values` (kv_heads, capacity, dim), to (tokens, heads
/// · dim): all of one type, f32, bf16 or f16. Token i sees keys 0 to `position` + i; `position` (1,), u32,
/// counts the tokens before the first. A position that leaves no room for the tokens counts as the last that
/// does.
///
/// Softmax in f32, scores scaled by 1/√dim. What lies in the caches beyond is not read.
/// Errors if shapes or types do not fit, for heads of other than 64, 128 or 256 dimensions, and as launches
/// do.
pub fn attend_many(
    q: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    position: &Tensor,
    heads: usize,
) -> Result<Tensor> {
    attend_many_on(Unit::of(q.device(), q.dtype())?, q, [keys, values], position, heads)
}

/// As [`attend_many`], on units of the caller's choice.
pub fn attend_many_on(
    unit: Unit,
    q: &Tensor,
    [keys, values]: [&Tensor; 2],
    position: &Tensor,
    heads: usize,
) -> Result<Tensor> {
    let shape = Shape::of(q, [keys, values], position, heads)?;
    let out = output(q.dims(), q, q.dtype())?;
    if shape.tokens == 0 {
        return Ok(out);
    }
    let name = format!("attention_many_{}{}_{}", unit.infix(), shape.dim, suffix(q.dtype())?);
    let rows = Tile::of(shape.dim, unit);
    Launch::grid(name, [heads, shape.tokens.div_ceil(rows.queries), 1], THREADS)?
        .shared(rows.shared_bytes(shape.dim))
        .address(address(q)?)
        .address(address(keys)?)
        .address(address(values)?)
        .address(address(position)?)
        .address(address(&out)?)
        .int(shape.tokens)?
        .int(heads)?
        .int(shape.kv_heads)?
        .int(shape.capacity)?
        .float(shape.scale())
        .run(q.device())?;
    Ok(out)
}

/// What a block takes at a time, as the kernels have it.
struct Tile {
    /// Query rows.
    queries: usize,
    /// Rows of keys and values together that lie in dynamic shared memory: two stages of each.
    shared_rows: usize,
}

impl Tile {
    fn of(dim: usize, unit: Unit) -> Self {
        match (unit, dim) {
            (Unit::TensorCores, 256) => Self { queries: 64, shared_rows: 4 * 32 },
            (Unit::TensorCores, _) => Self { queries: 128, shared_rows: 4 * 64 },
            (Unit::Plain, 256) => Self { queries: 8, shared_rows: 0 },
            (Unit::Plain, _) => Self { queries: 16, shared_rows: 0 },
        }
    }

    fn shared_bytes(&self, dim: usize) -> usize {
        match self.shared_rows {
            0 => 0,
            rows => (self.queries + rows + 1) * dim * 2, // one to begin on a whole row
        }
    }
}
