//! The experts of many tokens, for prefill: rows sorted by expert, two grouped products, a weighted sum.

use candle_core::{DType, Device, Result, Tensor};

use super::group::{Groups, group};
use super::route::Routes;
use super::table::{Form, Table};
use crate::cuda::address::{address, output};
use crate::cuda::launch::{Launch, THREADS, suffix};

/// What multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Units {
    /// Any card, any type.
    Plain,
    /// Tiles of 32, 64 or 128 rows, in 16 bits.
    Tensor(usize),
}

/// Rows of a tile of [`Units::Plain`], and weights of a tile of either.
const PLAIN_ROWS: usize = 64;
const STRIP: usize = 64;

/// What the experts of `routes` make of each row of `x` (tokens, hidden), weighted and summed: of the shape and type of x.
///
/// Weights, and what each expert makes, are rounded to the type of x; sums run in f32 over ascending experts, in the same
/// order every time. Blocks are widened to the type of x. Takes room for tokens · used rows of the middle and of
/// the hidden. Nothing goes to the host or comes from it. Errors if shapes or types do not fit.
pub fn mix_many(x: &Tensor, table: &Table, routes: &Routes) -> Result<Tensor> {
    let pairs = routes.experts.elem_count();
    mix(x, table, routes, units(x, table, pairs)?)
}

/// Tiles no larger than what an expert gets of the rows, for what has tensor cores.
fn units(x: &Tensor, table: &Table, pairs: usize) -> Result<Units> {
    let fits = x.dtype() != DType::F32 && table.in_pieces() && address(x)?.is_multiple_of(16);
    if !fits || !has_tensor_cores(x.device())? {
        return Ok(Units::Plain);
    }
    Ok(Units::Tensor(match pairs / table.experts() {
        0..=24 => 32,
        25..=96 => 64,
        _ => 128,
    }))
}

/// Whether `device` multiplies 16 bits as the kernels do: compute capability 8.0.
fn has_tensor_cores(device: &Device) -> Result<bool> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => Ok(crate::cuda::device::capability(device)? >= 80),
        _ => Ok(true),
    }
}

pub(super) fn mix(x: &Tensor, table: &Table, routes: &Routes, units: Units) -> Result<Tensor> {
    let (tokens, used) = (table.tokens_of(x, routes)?, routes.experts.dim(1)?);
    let hidden = table.hidden();
    let products = Products::new(table, routes, units)?;
    let made = products.down(&products.rising(x)?)?;
    let out = output(&[tokens, hidden], x, x.dtype())?;
    let threads = tokens * hidden.div_ceil(8);
    Launch::new(format!("experts_mix_{}", suffix(x.dtype())?), threads.div_ceil(THREADS as usize), THREADS)?
        .address(address(&made)?)
        .address(address(&routes.weights)?)
        .address(address(&out)?)
        .int(tokens)?
        .int(hidden)?
        .int(used)?
        .run(x.device())?;
    Ok(out)
}

/// The two grouped products of some routes.
pub(super) struct Products<'a> {
    table: &'a Table,
    groups: Groups,
    units: Units,
    used: usize,
}

impl<'a> Products<'a> {
    pub(super) fn new(table: &'a Table, routes: &Routes, units: Units) -> Result<Self> {
        let rows = match units {
            Units::Plain => PLAIN_ROWS,
            Units::Tensor(rows) => rows,
        };
        let groups = group(routes, table.experts(), rows)?;
        Ok(Self { table, groups, units, used: routes.experts.dim(1)? })
    }

    /// Rows of `x` to (pairs, middle), by expert.
    pub(super) fn rising(&self, x: &Tensor) -> Result<Tensor> {
        let width = self.table.middle();
        let middle = output(&[self.groups.pairs.dim(0)?, width], x, x.dtype())?;
        self.run("gate_up", x, &middle, width.div_ceil(STRIP / 2))?;
        Ok(middle)
    }

    /// Rows of the middle to (pairs, hidden), by token and pick.
    pub(super) fn down(&self, middle: &Tensor) -> Result<Tensor> {
        let hidden = self.table.hidden();
        let made = output(&[self.groups.pairs.dim(0)?, hidden], middle, middle.dtype())?;
        self.run("down", middle, &made, hidden.div_ceil(STRIP))?;
        Ok(made)
    }

    /// `which` is gate_up or down.
    fn run(&self, which: &str, x: &Tensor, out: &Tensor, strips: usize) -> Result<()> {
        let (blocks, kind) = match self.table.form() {
            Form::Dense(_) => ("", 0),
            Form::Blocks { rising, .. } if which == "gate_up" => ("blocks_", rising.number()),
            Form::Blocks { down, .. } => ("blocks_", down.number()),
        };
        let (kernel, threads) = match self.units {
            Units::Plain => (format!("experts_many_{which}_{blocks}{}", suffix(x.dtype())?), 256),
            Units::Tensor(rows) => {
                (format!("experts_tensor_{which}_{rows}_{blocks}{}", suffix(x.dtype())?), 128)
            }
        };
        Launch::grid(kernel, [strips, self.groups.tiles.dim(0)?, 1], threads)?
            .address(address(x)?)
            .address(self.table.address()?)
            .address(address(&self.groups.pairs)?)
            .address(address(&self.groups.offsets)?)
            .address(address(&self.groups.tiles)?)
            .address(address(out)?)
            .int(self.table.hidden())?
            .int(self.table.middle())?
            .int(self.used)?
            .int(kind)?
            .run(x.device())
    }
}
