//! Tensors by name. Comes in: a safetensors folder, a GGUF file, or a shape and a seed. Goes out:
//! matrices in the type that was asked for, and f32 vectors. Not here: what they mean ([`crate::model`]).
//!
//! Names are those of the Hugging Face checkpoints without their prefix, e.g.
//! `layers.3.self_attn.q_proj.weight`; a GGUF's own names are translated in `gguf_names`.

pub mod adapter;
pub mod block_type;
pub mod config_json;
pub mod cut;
pub mod error;
mod found;
pub mod gguf;
mod gguf_header;
mod gguf_metadata;
mod gguf_names;
pub mod gguf_shape;
mod json_keys;
pub mod obtain;
pub mod origin;
pub mod packing;
mod positioned;
pub mod precision;
pub mod preview;
pub mod random;
mod refused;
pub mod rehearsal;
mod rows;
pub mod safetensors;

use candle_core::{Device, Tensor};

use crate::model::linear::Matrix;
use cut::Cut;
use error::WeightsError;
use precision::Precision;

/// Where a model's tensors come from.
pub trait TensorSource {
    /// The matrix that `cut` describes, in the type that `precision` asks for.
    ///
    /// Errors if the stored tensor is missing or has another shape.
    fn matrix(&mut self, cut: &Cut, precision: Precision, device: &Device) -> Result<Matrix, WeightsError>;

    /// The tensor `name` of exactly `shape`, in f32 on the CPU.
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, WeightsError>;

    /// Looks whether the tensor `name` of exactly `shape` is there, without reading it.
    fn check(&self, name: &str, shape: &[usize]) -> Result<(), WeightsError>;

    /// Whether a tensor of that name exists.
    fn has(&self, name: &str) -> bool;

    /// How it writes what can be written in two ways.
    fn dialect(&self) -> Dialect;
}

/// Who wrote the tensors: the same model is stored with other values and layouts by each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// transformers: hybrids' norms without their 1, decays as logarithms, value heads grouped by key head.
    Checkpoint,
    /// llama.cpp's converter: norms whole, decays as rates, `qwen35` value heads tiled over key heads.
    Gguf,
    /// Nobody: a seed. Norms whole, the rest as in a checkpoint.
    Seed,
}
