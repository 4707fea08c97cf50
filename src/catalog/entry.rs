//! One model of the catalog, as its TOML file states it.

use serde::{Deserialize, Serialize};

use crate::model::shape::ModelShape;

/// A model ctxbench knows by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What the catalog's file calls its models; not a key of the entry.
    #[serde(skip)]
    pub family: String,
    /// What users type, e.g. `qwen3.5-0.8b`.
    pub id: String,
    /// Hub repository, `owner/name`.
    pub repo: String,
    /// Commit to use where one is known; else the branch `main`, whose commit the report records.
    #[serde(default)]
    pub revision: Option<String>,
    /// SPDX id, or the licence's own name.
    pub license: String,
    /// Files of the repository, where their sizes or hashes are known.
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

impl Entry {
    /// Bytes of the repository's weight files, where the catalog knows them.
    pub fn weight_file_bytes(&self) -> Option<u64> {
        weight_file_bytes(&self.files)
    }
}

/// Bytes of all safetensors files among `files`; `None` if there is none, or one of unknown size.
pub(super) fn weight_file_bytes(files: &[CatalogFile]) -> Option<u64> {
    let weights = files.iter().filter(|file| file.name.ends_with(".safetensors"));
    let bytes: Option<u64> = weights.map(|file| file.bytes).sum();
    bytes.filter(|bytes| *bytes > 0)
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
