//! Where the first token of a forward pass stands.

use candle_core::{Result, Tensor};

use crate::cuda;

/// So many tokens lie before the first of a pass.
#[derive(Clone, Debug)]
pub struct Position {
    first: usize,
    on_device: Option<Tensor>,
}

impl Position {
    /// Behind `first` tokens, beside the ids `ids`: on a card its kernels read the number there.
    pub fn new(first: usize, ids: &Tensor) -> Result<Self> {
        let on_device = match cuda::serves(ids) {
            true => Some(Tensor::new(&[first as u32], ids.device())?),
            false => None,
        };
        Ok(Self { first, on_device })
    }

    /// Behind as many tokens as `number`, u32 (1,), says when kernels read it: `first` at present.
    pub fn held_by(number: &Tensor, first: usize) -> Self {
        Self { first, on_device: Some(number.clone()) }
    }

    /// Tokens before the first.
    pub fn first(&self) -> usize {
        self.first
    }

    /// The same on the device, u32 (1,), where kernels read it.
    pub fn on_device(&self) -> Option<&Tensor> {
        self.on_device.as_ref()
    }
}
