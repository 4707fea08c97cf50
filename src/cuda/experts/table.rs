//! Where the matrices of a layer's experts lie, for kernels that choose among them.

use candle_core::{DType, Device, Result, Tensor};

use super::route::Routes;
use crate::cuda::address::address;
use crate::cuda::gemv::{BlockKind, Weights};

/// Numbers of a row at most: rows and columns are counted in an `int`, by strips beyond the last.
const MOST_WIDTH: usize = 1 << 24;

/// The matrices of one expert.
#[derive(Clone, Copy, Debug)]
pub struct Expert<'a> {
    /// (middle, hidden)
    pub gate: Weights<'a>,
    /// (middle, hidden)
    pub up: Weights<'a>,
    /// (hidden, middle)
    pub down: Weights<'a>,
}

/// The addresses of all experts' matrices, on their device. Dense matrices are kept by it; blocks must be kept by who
/// made it, for as long as it is used.
#[derive(Clone, Debug)]
pub struct Table {
    /// (experts, 3), i64: gate, up, down.
    addresses: Tensor,
    form: Form,
    hidden: usize,
    middle: usize,
    aligned: bool,
    _kept: Vec<Tensor>,
}

/// What all matrices of a table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Dense(DType),
    /// Of gate and up, and of down.
    Blocks {
        rising: BlockKind,
        down: BlockKind,
    },
}

impl Table {
    /// Of `experts`, which lie on `device`; rows of gate and up have `hidden` numbers, those of down `middle`.
    ///
    /// Copies to the device: once, at loading. Errors if there are none, if they are not all of one form (gate and up of
    /// one kind, and all dense or all blocks), or if a shape does not fit.
    pub fn new(experts: &[Expert<'_>], hidden: usize, middle: usize, device: &Device) -> Result<Self> {
        let Some(first) = experts.first() else {
            candle_core::bail!("a mixture needs at least one expert");
        };
        if hidden == 0 || middle == 0 {
            candle_core::bail!("experts of {hidden} and {middle} numbers: neither can be 0");
        }
        if hidden.max(middle) > MOST_WIDTH {
            candle_core::bail!("experts of {hidden} and {middle} numbers are too wide: {MOST_WIDTH} at most");
        }
        let form = first.form()?;
        let mut addresses = Vec::with_capacity(3 * experts.len());
        let mut kept = Vec::new();
        for (index, expert) in experts.iter().enumerate() {
            if expert.form()? != form {
                candle_core::bail!(
                    "expert {index} is of {:?}, and expert 0 of {form:?}: all must be alike",
                    expert.form()?
                );
            }
            for (matrix, rows, columns) in
                [(expert.gate, middle, hidden), (expert.up, middle, hidden), (expert.down, hidden, middle)]
            {
                addresses.push(place(matrix, rows, columns)? as i64);
                kept.extend(tensor(matrix).cloned());
            }
        }
        let aligned = addresses.iter().all(|address| address % 16 == 0);
        let addresses = Tensor::from_vec(addresses, (experts.len(), 3), device)?;
        Ok(Self { addresses, form, hidden, middle, aligned, _kept: kept })
    }

    /// How many experts there are.
    pub fn experts(&self) -> usize {
        self.addresses.dims()[0]
    }

    pub(super) fn address(&self) -> Result<u64> {
        address(&self.addresses)
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    pub(super) fn hidden(&self) -> usize {
        self.hidden
    }

    pub(super) fn middle(&self) -> usize {
        self.middle
    }

    /// Whether every row can be read 8 numbers of 16 bits at a time.
    pub(super) fn in_pieces(&self) -> bool {
        self.aligned && self.hidden.is_multiple_of(8) && self.middle.is_multiple_of(8)
    }

    /// Tokens of `x` (tokens, hidden), if the table and `routes` fit to it.
    pub(super) fn tokens_of(&self, x: &Tensor, routes: &Routes) -> Result<usize> {
        let (tokens, hidden) = x.dims2()?;
        if hidden != self.hidden {
            candle_core::bail!("rows of {hidden} numbers, and experts that take {}", self.hidden);
        }
        let (routed, used) = routes.experts.dims2()?;
        if routed != tokens || routes.weights.dims() != [tokens, used] || used > self.experts() {
            candle_core::bail!(
                "{tokens} tokens, and routes of {:?} among {} experts",
                routes.experts.dims(),
                self.experts()
            );
        }
        match self.form {
            Form::Dense(dtype) if dtype != x.dtype() => {
                candle_core::bail!(
                    "experts of {dtype:?} take rows of {dtype:?}, not of {:?}; convert them",
                    x.dtype()
                )
            }
            _ => Ok(tokens),
        }
    }
}

impl Expert<'_> {
    fn form(&self) -> Result<Form> {
        use Weights::{Blocks, Dense};
        match (self.gate, self.up, self.down) {
            (Dense(gate), Dense(up), Dense(down))
                if gate.dtype() == up.dtype() && up.dtype() == down.dtype() =>
            {
                Ok(Form::Dense(gate.dtype()))
            }
            (Blocks { kind: gate, .. }, Blocks { kind: up, .. }, Blocks { kind: down, .. }) if gate == up => {
                Ok(Form::Blocks { rising: gate, down })
            }
            _ => candle_core::bail!(
                "the kernels for experts need gate and up of one kind, and all matrices dense or all in blocks, \
                 not {self:?}: use another quantization"
            ),
        }
    }
}

fn tensor(matrix: Weights<'_>) -> Option<&Tensor> {
    match matrix {
        Weights::Dense(tensor) => Some(tensor),
        Weights::Blocks { .. } => None,
    }
}

fn place(matrix: Weights<'_>, rows: usize, columns: usize) -> Result<u64> {
    match matrix {
        Weights::Dense(tensor) if tensor.dims() == [rows, columns] => address(tensor),
        Weights::Dense(tensor) => {
            candle_core::bail!(
                "an expert's matrix is {:?} where {rows} rows of {columns} are to be",
                tensor.dims()
            )
        }
        Weights::Blocks { address, kind } => kind.checked(address, columns),
    }
}
