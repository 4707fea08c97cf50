//! A folder with config.json, tokenizer.json and safetensors: looked at before anything large is read.
//!
//! Comes in: a path, and hashes that are known already. Goes out: what kind of model it is, its weights'
//! identity, its tensors. Not here: how its vectors are made of states ([`super::settings`]).

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::error::EmbedderError;
use crate::hub::LocalFile;
use crate::weights::safetensors::{self, SafetensorsSource};

/// The files of a model that makes vectors or scores.
pub struct ModelFolder {
    /// Where they are.
    pub path: PathBuf,
    weight_files: Vec<PathBuf>,
    /// SHA-256 of each weight file, where it was taken already.
    known: Vec<Option<String>>,
}

#[derive(Deserialize)]
struct Basics {
    model_type: Option<String>,
    max_position_embeddings: Option<usize>,
}

impl ModelFolder {
    /// Looks whether all files are there. `hashed` are files whose SHA-256 was taken already.
    pub fn open(path: &Path, hashed: &[LocalFile]) -> Result<Self, EmbedderError> {
        let missing = |file| EmbedderError::NoFile { folder: path.into(), file };
        for file in ["config.json", "tokenizer.json"] {
            if !path.join(file).is_file() {
                return Err(missing(file));
            }
        }
        let weight_files = safetensors::weight_files(path)?;
        if weight_files.is_empty() {
            return Err(missing("model.safetensors"));
        }
        let known = |file: &PathBuf| hashed.iter().find(|h| h.path == *file).map(|h| h.sha256.clone());
        let known = weight_files.iter().map(known).collect();
        Ok(Self { path: path.into(), weight_files, known })
    }

    /// `model_type` of config.json.
    pub fn model_type(&self) -> Result<String, EmbedderError> {
        let path = self.config();
        let read: Basics = read_json(&path)?;
        let absent = || EmbedderError::File { path, reason: "it has no `model_type`".into() };
        read.model_type.ok_or_else(absent)
    }

    /// Positions that config.json says the model knows, where it does.
    pub fn positions(&self) -> Result<Option<usize>, EmbedderError> {
        read_json(&self.config()).map(|read: Basics| read.max_position_embeddings)
    }

    /// Path of config.json.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.json")
    }

    /// Path of tokenizer.json.
    pub fn tokenizer(&self) -> PathBuf {
        self.path.join("tokenizer.json")
    }

    /// Its tensors, mapped.
    pub fn tensors(&self) -> Result<SafetensorsSource, EmbedderError> {
        Ok(SafetensorsSource::open(&self.weight_files)?)
    }

    /// SHA-256 of the weight file; of several, that of their hashes. Reads what was not hashed yet.
    pub fn weights_sha256(&self) -> Result<String, EmbedderError> {
        let mut hashes = Vec::new();
        for (file, known) in self.weight_files.iter().zip(&self.known) {
            let unreadable =
                |e: std::io::Error| EmbedderError::File { path: file.clone(), reason: e.to_string() };
            hashes.push(known.clone().map_or_else(|| crate::hub::sha256(file).map_err(unreadable), Ok)?);
        }
        Ok(if hashes.len() == 1 { hashes.remove(0) } else { digest(&[hashes.concat().as_bytes()]) })
    }

    /// A digest over configuration and tokenizer: with other ones, the same weights make other vectors.
    pub fn small_files_digest(&self) -> Result<String, EmbedderError> {
        let read = |path: PathBuf| {
            std::fs::read(&path).map_err(|e| EmbedderError::File { path, reason: e.to_string() })
        };
        Ok(digest(&[&read(self.config())?, &read(self.tokenizer())?]))
    }
}

fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A JSON file as `T`.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, EmbedderError> {
    let wrong = |reason: String| EmbedderError::File { path: path.into(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))
}
