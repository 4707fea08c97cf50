//! One model of the catalog, as its TOML file states it.

use serde::{Deserialize, Serialize};

use crate::model::shape::ModelShape;

/// A model ctxbench knows by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What users type, e.g. `qwen3-0.6b`.
    pub id: String,
    /// Hub repository, `owner/name`.
    pub repo: String,
    /// Commit to use where one is known; else the branch `main`, whose commit the report records.
    #[serde(default)]
    pub revision: Option<String>,
    /// SPDX id, or the licence's own name.
    pub license: String,
    /// Weight files of the repository, where their sizes are known.
    #[serde(default)]
    pub files: Vec<CatalogFile>,
    /// The exact architecture.
    pub shape: ModelShape,
    /// Ready-made GGUF files that candle can read.
    #[serde(default)]
    pub gguf: Vec<GgufEntry>,
    /// Figures above that nobody here has seen confirmed, by key, with the reason.
    #[serde(default)]
    pub unverified: Vec<String>,
}

/// One file of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogFile {
    /// Path inside the repository.
    pub name: String,
    /// Size, where known.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// SHA-256 in hex, where known.
    #[serde(default)]
    pub sha256: Option<String>,
}

/// A GGUF file of some repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GgufEntry {
    /// Hub repository, `owner/name`.
    pub repo: String,
    /// Commit, where known.
    #[serde(default)]
    pub revision: Option<String>,
    /// Path inside the repository.
    pub file: String,
    /// Recipe, as its uploader names it: `Q8_0`, `Q4_K_M`.
    pub quantization: String,
    /// Size, where known.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// SHA-256 in hex, where known.
    #[serde(default)]
    pub sha256: Option<String>,
}
