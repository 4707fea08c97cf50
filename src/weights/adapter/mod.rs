//! A LoRA adapter as peft writes it, merged into the weights while they are read.
//!
//! Comes in: a folder with `adapter_config.json` and `adapter_model.safetensors`, and a source of tensors.
//! Goes out: a source of the same tensors, those that the adapter changes as W + s · B · A, computed in f32
//! and quantized after that. What cannot be merged exactly is refused. Not here: adapters beside the weights.
//!
//! LoRA: Hu et al. 2021, arXiv:2106.09685; s = alpha / r, or alpha / √r (Kalajdzievski 2023, arXiv:2312.03732).

mod adapted;
mod config;
pub mod error;
mod factors;
mod names;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use adapted::Adapted;
use config::AdapterConfig;
use error::AdapterError;
use factors::Factors;

/// An adapter in memory.
#[derive(Clone, Debug)]
pub struct Adapter {
    folder: PathBuf,
    config: AdapterConfig,
    /// By the name of the tensor that they change.
    factors: BTreeMap<String, Factors>,
}

impl Adapter {
    /// Reads an adapter's folder.
    ///
    /// Errors if a file is missing or damaged, or if the adapter is anything but a plain LoRA.
    pub fn open(folder: &Path) -> Result<Self, AdapterError> {
        let file = folder.join("adapter_model.safetensors");
        if !folder.join("adapter_config.json").is_file() || !file.is_file() {
            let hint = match folder.join("adapter_model.bin").is_file() {
                true => "; it holds adapter_model.bin, which is not read: save it again as safetensors",
                false => "",
            };
            return Err(AdapterError::NoAdapter { folder: folder.into(), hint });
        }
        let config = AdapterConfig::read(folder)?;
        let factors = factors::read(folder, &file, &config)?;
        Ok(Self { folder: folder.into(), config, factors })
    }

    /// The folder it was read from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file that holds the factors.
    pub fn file(&self) -> PathBuf {
        self.folder.join("adapter_model.safetensors")
    }

    /// The checkpoint that it was trained on, as its configuration names it.
    pub fn base(&self) -> Option<&str> {
        self.config.base.as_deref().filter(|base| !base.is_empty())
    }

    /// Names of the tensors it changes, as [`crate::weights`] has them.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.factors.keys().map(String::as_str)
    }

    /// Whether it changes the tensor `name`.
    pub fn changes(&self, name: &str) -> bool {
        self.factors.contains_key(name)
    }

    /// One line for a report: how many matrices, of which rank.
    pub fn description(&self) -> String {
        let ranks = self.factors.values().map(Factors::rank);
        let (low, high) = (ranks.clone().min().unwrap_or(0), ranks.max().unwrap_or(0));
        let rank = if low == high { format!("{low}") } else { format!("{low} to {high}") };
        format!("LoRA of rank {rank} on {} matrices, merged at load", self.factors.len())
    }

    /// What a user should know of it before trusting the answers of `model`, as sentences.
    pub fn remarks(&self, model: &str) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(base) = self.base().filter(|base| !same_model(base, model)) {
            remarks.push(format!(
                "The adapter in '{}' says it was trained on '{base}', and is merged into '{model}': shapes fit, \
                 but its answers are good only if both are the same weights.",
                self.folder.display()
            ));
        }
        if self.config.fan_in_fan_out == Some(true) {
            remarks.push(
                "The adapter sets fan_in_fan_out, which peft sets aside for linear layers; so does this merge."
                    .into(),
            );
        }
        remarks
    }

    /// The base that it names, as a clause for errors.
    fn base_clause(&self) -> String {
        self.base().map_or_else(String::new, |base| format!(" ('{base}')"))
    }
}

/// Whether two names mean the same checkpoint, as far as names tell: the last part of a path or a repository's id.
fn same_model(a: &str, b: &str) -> bool {
    let last =
        |name: &str| name.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    last(a) == last(b)
}

#[cfg(test)]
mod tests {
    use super::same_model;

    #[test]
    fn a_model_is_known_by_the_last_part_of_its_name() {
        assert!(
            same_model("Qwen/Qwen3-0.6B", "qwen3-0.6b") && same_model("/data/Qwen3-0.6B/", "Qwen/Qwen3-0.6B")
        );
        assert!(!same_model("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B-Base"));
    }
}
