//! Tensors by name. Comes in: a safetensors folder, a GGUF file, or a shape and a seed. Goes out:
//! matrices in the type that was asked for, and f32 vectors. Not here: what they mean ([`crate::model`]).
//!
//! Names are those of the Hugging Face checkpoints without their prefix, e.g.
//! `layers.3.self_attn.q_proj.weight`; a GGUF's own names are translated in `gguf_names`.

pub mod block_type;
pub mod config_json;
pub mod error;
mod found;
pub mod gguf;
mod gguf_header;
mod gguf_names;
pub mod gguf_shape;
pub mod obtain;
pub mod origin;
pub mod precision;
pub mod preview;
pub mod random;
mod rows;
pub mod safetensors;

use candle_core::{Device, Tensor};

use crate::model::linear::Matrix;
use error::WeightsError;
use precision::Precision;

/// Where a model's tensors come from.
pub trait TensorSource {
    /// The matrix `name` of exactly `rows` × `columns`, in the type that `precision` asks for.
    fn matrix(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
        precision: Precision,
        device: &Device,
    ) -> Result<Matrix, WeightsError>;

    /// The vector `name` of exactly `length` numbers, in f32 on the CPU.
    fn vector(&mut self, name: &str, length: usize) -> Result<Tensor, WeightsError>;

    /// Whether a tensor of that name exists.
    fn has(&self, name: &str) -> bool;
}
