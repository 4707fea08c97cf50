//! What can be wrong with weights, in sentences.

use std::path::PathBuf;

use thiserror::Error;

use super::adapter::error::AdapterError;
use crate::model::shape::Architecture;

/// A model that cannot be loaded, and what to do about it.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// The folder holds nothing that can be loaded.
    #[error(
        "'{}' holds no model: expected config.json with model.safetensors (or its shards and index), or a .gguf file",
        .0.display()
    )]
    NoModel(PathBuf),

    /// The folder holds more than one model.
    #[error(
        "'{}' holds no safetensors and more than one GGUF file: {}\nname the one to run, as FOLDER/FILE.gguf",
        .folder.display(), .files.join(", ")
    )]
    ManyModels {
        /// The folder.
        folder: PathBuf,
        /// GGUF files in it.
        files: Vec<String>,
    },

    /// The file could not be read at all.
    #[error("could not read '{}'; check that it is there and may be read, or fetch the model again", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    /// The file is damaged.
    #[error("'{}' is truncated or corrupt: {reason}\ndownload it again (`ctxbench fetch` checks size and hash)", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },

    /// A GGUF tensor in a type candle does not know.
    #[error(
        "'{}' holds tensor '{tensor}' in type {type_name}, which candle cannot read\n\
         take a plain file of the same repository instead, e.g. its Q4_K_M, Q6_K or Q8_0 (files named UD-* or IQ* hold such types)",
        .path.display()
    )]
    UnreadableType {
        /// The file.
        path: PathBuf,
        /// First tensor of that kind.
        tensor: String,
        /// ggml's name of the type, or its number.
        type_name: String,
    },

    /// A file that is only a part of a model.
    #[error(
        "'{}' is one of {parts} parts of a split GGUF, and whole files only can be read\n\
         merge the parts with `llama-gguf-split --merge`, or take a file of the same repository that is not split",
        .path.display()
    )]
    Split {
        /// The file.
        path: PathBuf,
        /// How many there are.
        parts: u64,
    },

    /// Not a Qwen model this build runs.
    #[error(
        "'{found}' in {origin} is not an architecture this build runs; it runs {}",
        known_architectures()
    )]
    UnknownArchitecture {
        /// What the file says.
        found: String,
        /// Which file.
        origin: String,
    },

    /// A needed key is not there or has the wrong type.
    #[error(
        "{origin} has no usable `{key}`: {reason}\nthe file is incomplete; take it again from the model's repository"
    )]
    Config {
        /// Which file.
        origin: String,
        /// The key.
        key: String,
        /// What was found instead.
        reason: String,
    },

    /// A feature of the configuration that would change the result and is not implemented.
    #[error(
        "{origin} asks for {feature}, which this build does not implement; its numbers would be wrong, so it does not start"
    )]
    Unsupported {
        /// Which file.
        origin: String,
        /// The feature.
        feature: String,
    },

    /// A tensor is missing.
    #[error(
        "{origin} has no tensor '{name}'; it does not hold the whole model that its configuration describes\n\
         take configuration and weights again, both from one revision of the model's repository"
    )]
    Missing {
        /// Which file or folder.
        origin: String,
        /// The tensor.
        name: String,
    },

    /// A tensor has another shape than the configuration says.
    #[error(
        "tensor '{name}' in {origin} is {found:?}, but the configuration says {expected:?}\n\
             take configuration and weights again, both from one revision of the model's repository"
    )]
    Shape {
        /// Which file or folder.
        origin: String,
        /// The tensor.
        name: String,
        /// As stored.
        found: Vec<usize>,
        /// As configured.
        expected: Vec<usize>,
    },

    /// A quantized file cannot be quantized again.
    #[error(
        "{origin} is quantized already ({found}); --quant makes types from bf16, f16 or f32 weights only\n\
         use --quant native for this file, or name the safetensors repository"
    )]
    AlreadyQuantized {
        /// Which file.
        origin: String,
        /// Its type.
        found: String,
    },

    /// An adapter that does not fit, or cannot be merged.
    #[error(transparent)]
    Adapter(#[from] AdapterError),

    /// candle refused.
    #[error("tensor '{name}' could not be loaded")]
    Candle {
        /// The tensor.
        name: String,
        /// Why.
        source: candle_core::Error,
    },
}

impl WeightsError {
    /// Wraps an error of candle's with the tensor it concerns.
    pub fn candle(name: &str) -> impl FnOnce(candle_core::Error) -> Self + '_ {
        move |source| Self::Candle { name: name.into(), source }
    }
}

fn known_architectures() -> String {
    let configs = Architecture::ALL.map(Architecture::name).join(", ");
    let gguf = Architecture::ALL.map(Architecture::gguf_name).join(", ");
    format!("{configs} (in GGUF: {gguf})")
}
