//! What can be wrong with an adapter, in sentences.

use std::path::PathBuf;

use thiserror::Error;

/// An adapter that cannot be merged exactly, and what to do about it.
#[derive(Debug, Error)]
pub enum AdapterError {
    /// The folder is not one that peft wrote.
    #[error(
        "'{}' holds no adapter: expected adapter_config.json with adapter_model.safetensors, as peft's \
         `save_pretrained` writes them{}",
        .folder.display(), .hint
    )]
    NoAdapter {
        /// The folder.
        folder: PathBuf,
        /// What else was found, as a further clause; empty if nothing.
        hint: &'static str,
    },

    /// A file of the adapter could not be read at all.
    #[error("could not read '{}'; check that it is there and may be read", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    /// A file of the adapter is damaged.
    #[error("'{}' is truncated, corrupt or incomplete: {reason}\ncopy the adapter's folder again", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },

    /// The adapter does something else than W + s · B · A.
    #[error(
        "'{}' cannot be merged exactly: {feature}\n\
         merge it with peft (`merge_and_unload`, then `save_pretrained`) and name the merged folder as the model",
        .folder.display()
    )]
    Unmergeable {
        /// The adapter's folder.
        folder: PathBuf,
        /// What it asks for.
        feature: String,
    },

    /// The two factors do not fit each other or the rank of the configuration.
    #[error(
        "the factors of '{module}' do not fit: A is {a:?}, B is {b:?}, and adapter_config.json says rank {rank}\n\
         take both files of the adapter again, from one training run"
    )]
    Factors {
        /// The matrix's module.
        module: String,
        /// Shape of A.
        a: Vec<usize>,
        /// Shape of B.
        b: Vec<usize>,
        /// Rank by the configuration.
        rank: usize,
    },

    /// A matrix of the adapter has another shape than the model's.
    #[error(
        "the adapter changes '{name}' as {adapter:?}, but in this model it is {model:?}; it was trained for another \
         model{base}"
    )]
    Shape {
        /// The tensor.
        name: String,
        /// Shape of the adapter's change.
        adapter: Vec<usize>,
        /// Shape of the model's tensor.
        model: Vec<usize>,
        /// The base that it names, as a clause; empty if it names none.
        base: String,
    },

    /// Parts of the adapter would have been left out.
    #[error(
        "{count} of the adapter's {all} matrices change nothing that this model reads, e.g. '{example}'; it was trained \
         for another model{base}, or for a layout of the weights that this build does not merge into"
    )]
    NoTarget {
        /// How many.
        count: usize,
        /// Of how many.
        all: usize,
        /// The first of them, by its name in the file.
        example: String,
        /// The base that it names, as a clause; empty if it names none.
        base: String,
    },

    /// The base is in blocks.
    #[error(
        "an adapter cannot be merged into {base}: it is quantized, and quantizing the merged weights anew makes \
         another model than either\n\
         name the safetensors repository, or a GGUF file in bf16, f16 or f32, and quantize with --quant"
    )]
    QuantizedBase {
        /// The file or tensor.
        base: String,
    },

    /// A GGUF file that stores the tensor in another order than the checkpoint.
    #[error(
        "the adapter changes '{name}', which a GGUF file stores with its heads in another order\n\
         name the safetensors repository as the model instead"
    )]
    Reordered {
        /// The tensor.
        name: String,
    },
}
