//! Kernels of our own for NVIDIA cards, and who launches them.
//!
//! Comes in: contiguous tensors. Goes out: tensors, computed on the stream of their device. Every operation
//! is a [`launch::Launch`] — a kernel's name, a grid, arguments — built by code that knows no GPU, so that tests run the
//! same launches, with the same kernels compiled as C++, on a processor (`on_host`), and hold them to the same
//! operation in candle's. Not here: which operations a model is made of ([`crate::model`]).

pub mod address;
pub mod attention_decode;
pub mod attention_prefill;
pub mod delta_chunks;
pub mod delta_step;
pub mod dequantize;
#[cfg(feature = "cuda")]
pub mod device;
#[cfg(test)]
mod edge;
pub mod experts;
pub mod gemv;
pub mod launch;
#[cfg(test)]
pub mod on_host;
pub mod prepare;
pub mod rows;
pub mod sample;
pub mod scratch;

use candle_core::{Device, Tensor};

/// Makes a device that was just opened ready for these kernels: on a card they are loaded, which the driver takes some
/// seconds for until it remembers them.
///
/// Errors if the card is too old for them, or refuses.
pub fn made_ready(device: &Device) -> candle_core::Result<()> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(card) => {
            device::use_one_stream(card);
            device::load(card)
        }
        _ => Ok(()),
    }
}

/// How many multiprocessors `device` has: what has fewer blocks leaves some of them idle. Tests have an H100's.
fn multiprocessors(device: &Device) -> candle_core::Result<usize> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(card) => device::multiprocessors(card),
        _ => Ok(132),
    }
}

/// Whether `device` is a card, or, in tests that ask for it, the processor in a card's place.
pub fn is_card(device: &Device) -> bool {
    match device {
        Device::Cuda(_) => true,
        #[cfg(test)]
        Device::Cpu => on_host::is_asked_for(),
        _ => false,
    }
}

/// Whether these kernels serve `x`: it lies on a card.
pub fn serves(x: &Tensor) -> bool {
    is_card(x.device())
}
