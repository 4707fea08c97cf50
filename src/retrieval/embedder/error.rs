//! Why there is no embedder, or no reranker, in sentences.

use std::path::PathBuf;

use thiserror::Error;

use crate::catalog::error::CatalogError;
use crate::hub::HubError;
use crate::retrieval::RetrievalError;
use crate::tokenizer::TokenizerError;
use crate::weights::error::WeightsError;

/// An embedder or reranker that cannot be had, and what to do about it.
#[derive(Debug, Error)]
pub enum EmbedderError {
    /// Not in the catalog.
    #[error(
        "'{id}' is not an embedder of the catalog{}\n`ctxbench models` lists them; owner/name, a folder or \
         'stand-in' can be named too",
        nearest(.near)
    )]
    UnknownId {
        /// What was typed.
        id: String,
        /// Ids that look like it.
        near: Vec<String>,
    },
    /// In the catalog, but it makes text.
    #[error(
        "'{0}' is a model that generates text and makes no vectors; name an embedder: `ctxbench models` lists them"
    )]
    Generates(String),
    /// Rerankers have no ids.
    #[error(
        "'{0}' names no reranker; name a folder, or a repository like cross-encoder/ms-marco-MiniLM-L-6-v2"
    )]
    NoRerankerId(String),
    /// Neither a folder nor a repository with safetensors.
    #[error("'{0}' is not read as an embedder or reranker; name a folder, or a repository, with safetensors")]
    Gguf(String),
    /// The hub is offline or does not answer, and its cache lacks the files: a stand-in is a way out.
    #[error("the files of '{name}' are not on this machine: {source}")]
    OutOfReach {
        /// Id or repository.
        name: String,
        /// Why they could not be brought.
        source: Box<HubError>,
    },
    /// The hub answers, and refuses or fails.
    #[error(transparent)]
    Hub(Box<HubError>),
    /// A file is not the one that the catalog states.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A file that every embedder needs is absent.
    #[error(
        "'{}' holds no {file}; the folder of an embedder or reranker has config.json, tokenizer.json and \
         model.safetensors: take them all from one revision of the model's repository",
        folder.display()
    )]
    NoFile {
        /// The folder.
        folder: PathBuf,
        /// What is not in it.
        file: &'static str,
    },
    /// A file that cannot be read or understood.
    #[error("'{}' cannot be used: {reason}\ntake the file again from the model's repository", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that asks for what this build does not do.
    #[error(
        "'{}' asks for {feature}, which this build does not do; its vectors or scores would be wrong, so it is \
         not loaded: name another model",
        path.display()
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The feature.
        feature: String,
    },
    /// The weights are not what the configuration says.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The tokenizer does not work, or not for this model.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// candle refused.
    #[error("the model could not be put on the device: {0}; try --device cpu, or a smaller model")]
    Device(#[from] candle_core::Error),
}

impl From<EmbedderError> for RetrievalError {
    fn from(error: EmbedderError) -> Self {
        Self::Model(error.to_string())
    }
}

fn nearest(ids: &[String]) -> String {
    if ids.is_empty() { String::new() } else { format!("; did you mean {}?", ids.join(", ")) }
}
