//! The experts of one token, for decoding: two launches, and one more where x is to be rounded first.

use candle_core::{DType, Result, Tensor};

use super::route::Routes;
use super::table::{Form, Table};
use crate::cuda::address::{address, output};
use crate::cuda::gemv::{Levels, levels};
use crate::cuda::launch::{Launch, suffix};

/// Rows of the middle that a block makes, and of the hidden; as in experts_one.cuh.
const GATE_ROWS: usize = 32;
const DOWN_ROWS: usize = 4;
const GATE_THREADS: u32 = 512;
const DOWN_THREADS: u32 = 256;
/// Picks that a block of the second launch has room for.
const MOST_USED: usize = 64;

/// What the experts of `routes` make of `x` (1, hidden), weighted and summed: (1, hidden), of the type of x.
///
/// Weights are rounded to the type of x; sums run in f32 over ascending experts. With blocks, x and what gate and up
/// make of it are rounded to 8 bits by groups of 32. Nothing goes to the host or comes from it.
/// Errors for more than one token or more than 64 picks, or if shapes or types do not fit.
pub fn mix_one(x: &Tensor, table: &Table, routes: &Routes) -> Result<Tensor> {
    check(x, table, routes)?;
    match table.form() {
        Form::Dense(_) => mix(x, address(x)?, table, routes),
        Form::Blocks { .. } => mix(x, levels(x)?.address()?, table, routes),
    }
}

/// As [`mix_one`], for experts in blocks, with x rounded before: for the router's or a shared expert's product.
///
/// Errors if the experts are dense, too.
pub fn mix_one_rounded(x: &Tensor, rounded: &Levels, table: &Table, routes: &Routes) -> Result<Tensor> {
    check(x, table, routes)?;
    if (rounded.rows(), rounded.columns()) != (1, table.hidden()) || matches!(table.form(), Form::Dense(_)) {
        candle_core::bail!(
            "levels of {} rows of {} for experts of {:?}",
            rounded.rows(),
            rounded.columns(),
            table.form()
        );
    }
    mix(x, rounded.address()?, table, routes)
}

fn check(x: &Tensor, table: &Table, routes: &Routes) -> Result<()> {
    let (tokens, used) = (table.tokens_of(x, routes)?, routes.experts.dim(1)?);
    if tokens != 1 || used > MOST_USED {
        candle_core::bail!(
            "one token and {MOST_USED} picks at most, not {tokens} tokens of {used}: use mix_many"
        );
    }
    Ok(())
}

/// `numbers`: where x is, as numbers or as levels.
fn mix(x: &Tensor, numbers: u64, table: &Table, routes: &Routes) -> Result<Tensor> {
    let (hidden, width, used) = (table.hidden(), table.middle(), routes.experts.dim(1)?);
    let out = output(&[1, hidden], x, x.dtype())?;
    let (experts, matrices) = (address(&routes.experts)?, table.address()?);
    let (rising, down) = match table.form() {
        Form::Dense(dtype) => (suffix(dtype)?, suffix(dtype)?),
        Form::Blocks { rising, down } => (rising.name(), down.name()),
    };
    // In blocks' place, levels as [`Levels`] has them: a byte for each number, and 8 for each group of 32.
    let middle = match table.form() {
        Form::Dense(dtype) => output(&[used, width], x, dtype)?,
        Form::Blocks { .. } => output(&[used * (width / 4 + width / 16)], x, DType::F32)?,
    };
    Launch::grid(
        format!("experts_one_gate_up_{rising}"),
        [width.div_ceil(GATE_ROWS), used, 1],
        GATE_THREADS,
    )?
    .overlapping()
    .address(numbers)
    .address(matrices)
    .address(experts)
    .address(address(&middle)?)
    .int(hidden)?
    .int(width)?
    .run(x.device())?;
    Launch::new(format!("experts_one_down_{down}"), hidden.div_ceil(DOWN_ROWS), DOWN_THREADS)?
        .overlapping()
        .address(address(&middle)?)
        .address(matrices)
        .address(experts)
        .address(address(&routes.weights)?)
        .address(address(&out)?)
        .int(hidden)?
        .int(width)?
        .int(used)?
        .int(type_number(x.dtype())?)?
        .run(x.device())?;
    Ok(out)
}

/// `TYPE_...` of gemv_dense.cuh.
fn type_number(dtype: DType) -> Result<usize> {
    Ok(match suffix(dtype)? {
        "f32" => 0,
        "f16" => 1,
        _ => 2,
    })
}
