//! Both ends of a step, on the device: rows of the embedding table, the greatest logit's token, the count of
//! tokens.
//!
//! Comes in: tokens and logits where they lie. Goes out: activations, and the next token in device memory, so
//! that a step that is replayed needs nothing from the host. Not here: sampling with a temperature; who reads
//! the token.

use candle_core::{DType, Result, Tensor};

use super::address::{address, output};
use super::launch::{Launch, THREADS, suffix};

#[cfg(test)]
mod edge;
#[cfg(test)]
mod tests;

/// Blocks that search the logits at most; their winners are then one block's to compare.
const SEARCHING: usize = 256;
/// Logits at most: what a thread counts on to stays an `int`.
const MOST_VOCAB: usize = 1 << 30;
/// Threads of a block that copies a part of a row.
const COPYING: u32 = 128;

/// Writes to `token` (1,) u32 the index of the first greatest of `logits`, (1, vocab) or (vocab,).
///
/// What is no number is never chosen; if nothing is one, the token is 0. Errors if a shape or type does not
/// fit, or beyond 2³⁰ logits.
pub fn greedy(logits: &Tensor, token: &Tensor) -> Result<()> {
    let (dtype, vocab) = (logits.dtype(), logits.elem_count());
    if vocab == 0 || logits.dims().last() != Some(&vocab) {
        candle_core::bail!("the next token is chosen from one row of logits, not from {logits:?}");
    }
    if vocab > MOST_VOCAB {
        candle_core::bail!("the next token is chosen from {MOST_VOCAB} logits at most, not from {vocab}");
    }
    one_count(token)?;
    let packs = vocab.div_ceil(16 / dtype.size_in_bytes());
    let blocks = packs.div_ceil(THREADS as usize).min(SEARCHING);
    let winners = output(&[blocks, 2], logits, DType::U32)?;
    Launch::new(format!("greedy_{}", suffix(dtype)?), blocks, THREADS)?
        .overlapping()
        .address(address(logits)?)
        .address(address(&winners)?)
        .int(vocab)?
        .run(logits.device())?;
    Launch::new("greedy_winner", 1, THREADS)?
        .overlapping()
        .address(address(&winners)?)
        .address(address(token)?)
        .int(blocks)?
        .run(logits.device())
}

/// Adds 1 to `position` (1,) u32.
pub fn advance(position: &Tensor) -> Result<()> {
    one_count(position)?;
    Launch::new("advance_position", 1, 32)?.overlapping().address(address(position)?).run(position.device())
}

/// Rows `ids` (n,) u32 of `table` (vocab, hidden), as (n, hidden). An id beyond the table gives zeros.
///
/// Errors if shapes or types do not fit, or from 2³¹ numbers on.
pub fn embedding(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let (vocab, hidden) = table.dims2()?;
    let tokens = ids.dims1()?;
    if ids.dtype() != DType::U32 || !ids.device().same_device(table.device()) {
        candle_core::bail!("tokens are u32 beside the table {table:?}, not {ids:?}");
    }
    if tokens.checked_mul(hidden).is_none_or(|numbers| numbers > i32::MAX as usize) {
        candle_core::bail!("{tokens} rows of {hidden} are too many at once: take fewer tokens at a time");
    }
    let dtype = table.dtype();
    let kernel = format!("embedding_{}", suffix(dtype)?);
    let out = output(&[tokens, hidden], table, dtype)?;
    let parts = hidden.div_ceil(16 / dtype.size_in_bytes()).div_ceil(COPYING as usize);
    Launch::grid(kernel, [tokens, parts.min(1024), 1], COPYING)?
        .overlapping()
        .address(address(table)?)
        .address(address(ids)?)
        .address(address(&out)?)
        .long(vocab)
        .int(hidden)?
        .run(table.device())?;
    Ok(out)
}

fn one_count(x: &Tensor) -> Result<()> {
    if x.dtype() != DType::U32 || x.elem_count() != 1 {
        candle_core::bail!("a token or a position is one u32, not {x:?}");
    }
    Ok(())
}
