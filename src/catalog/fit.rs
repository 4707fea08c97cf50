//! What of the catalog fits an amount of memory: one row a model.
//!
//! Counting only: [`super::memory`] says what a model needs. Not here: what this box has, sentences
//! ([`super::answer`]), and tables.

use serde::Serialize;

use super::Catalog;
use super::entry::Entry;
use super::memory::{Layout, largest_context, needed_bytes};
use crate::cli::Quantization;

/// Weight types that are listed, the most exact first; native ones as bf16.
pub const LISTED: [(Quantization, &str); 4] = [
    (Quantization::Native, "bf16"),
    (Quantization::Q8_0, "q8_0"),
    (Quantization::Q6K, "q6_k"),
    (Quantization::Q4K, "q4_k"),
];

/// One model, and what of it fits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelFit {
    /// Catalog id.
    pub id: String,
    /// What the catalog's file calls its models: `Qwen3.5`.
    pub family: String,
    /// Whether it runs when no model is named.
    pub default: bool,
    /// Hub repository.
    pub repo: String,
    /// Commit that is used, where the catalog names one.
    pub revision: Option<String>,
    /// Licence as the catalog has it.
    pub license: String,
    /// `qwen3` and the like.
    pub architecture: &'static str,
    /// Weights of the text model.
    pub parameters: u64,
    /// Weights that one token is multiplied with, the output head included: of a mixture, few of all.
    pub parameters_per_token: u64,
    /// Weight files on the hub; two bytes a weight where the catalog knows no sizes.
    pub native_bytes: u64,
    /// Longest context the model was made for.
    pub max_positions: u64,
    /// Bytes of bf16 cache that one token adds.
    pub kv_bytes_per_token: u64,
    /// Bytes of state per sequence that do not grow with context.
    pub constant_state_bytes: u64,
    /// One per weight type of [`LISTED`].
    pub fits: Vec<QuantizationFit>,
    /// Figures nobody here has seen confirmed, with the reason.
    pub unverified: Vec<String>,
}

/// One weight type of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuantizationFit {
    /// Name in [`LISTED`].
    pub quantization: &'static str,
    /// Bytes of the weights alone.
    pub weight_bytes: u64,
    /// Peak memory at the context asked for.
    pub needed_bytes: u64,
    /// Longest context that fits, at most the model's own limit; `None` if none does, or if the
    /// memory of this box is unknown.
    pub largest_context: Option<u64>,
    /// Whether the context asked for fits; `None` if the memory of this box is unknown.
    pub fits: Option<bool>,
}

impl ModelFit {
    /// Holds one entry against `memory_bytes` at `context` tokens.
    pub fn new(entry: &Entry, default: bool, context: u64, memory_bytes: Option<u64>) -> Self {
        let shape = &entry.shape;
        Self {
            id: entry.id.clone(),
            family: entry.family.clone(),
            default,
            repo: entry.repo.clone(),
            revision: entry.revision.clone(),
            license: entry.license.clone(),
            architecture: shape.architecture.name(),
            parameters: shape.parameters(),
            parameters_per_token: shape.matrix_parameters_per_token()
                + shape.vector_parameters()
                + shape.head_parameters(),
            native_bytes: entry.weight_file_bytes().unwrap_or(2 * shape.parameters()),
            max_positions: shape.max_positions as u64,
            kv_bytes_per_token: shape.kv_bytes_per_token(2),
            constant_state_bytes: shape.constant_state_bytes(),
            fits: LISTED
                .iter()
                .map(|(kind, name)| quantization_fit(entry, *kind, name, context, memory_bytes))
                .collect(),
            unverified: entry.unverified.clone(),
        }
    }
}

fn quantization_fit(
    entry: &Entry,
    quantization: Quantization,
    name: &'static str,
    context: u64,
    memory_bytes: Option<u64>,
) -> QuantizationFit {
    let layout = Layout::half(quantization);
    let need = needed_bytes(&entry.shape, layout, context);
    let largest = memory_bytes.map(|bytes| largest_context(&entry.shape, layout, bytes));
    QuantizationFit {
        quantization: name,
        weight_bytes: need.weights,
        needed_bytes: need.peak(),
        largest_context: largest.flatten(),
        fits: largest.map(|largest| largest.is_some_and(|tokens| tokens >= context)),
    }
}

/// Every entry of the catalog, in its order.
pub fn rows(catalog: &Catalog, context: u64, memory_bytes: Option<u64>) -> Vec<ModelFit> {
    let default = catalog.default_entry().map(|entry| &entry.id);
    let row = |entry: &Entry| ModelFit::new(entry, Some(&entry.id) == default, context, memory_bytes);
    catalog.entries.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped(context: u32, memory: Option<u64>) -> Vec<ModelFit> {
        rows(&Catalog::load(None).unwrap(), u64::from(context), memory)
    }

    #[test]
    fn more_memory_never_fits_less() {
        let small = shipped(4096, Some(4 << 30));
        let large = shipped(4096, Some(16 << 30));
        for (small, large) in small.iter().zip(&large) {
            for (a, b) in small.fits.iter().zip(&large.fits) {
                assert!(a.largest_context <= b.largest_context, "{} {}", small.id, a.quantization);
            }
        }
    }

    #[test]
    fn a_context_beyond_the_models_own_limit_does_not_fit() {
        let rows = shipped(131_072, Some(1 << 40));
        let qwen3 = rows.iter().find(|row| row.id == "qwen3-0.6b").unwrap();
        assert_eq!((qwen3.fits[1].largest_context, qwen3.fits[1].fits), (Some(40_960), Some(false)));
    }

    #[test]
    fn the_size_is_that_of_the_weight_file_where_it_is_known() {
        let rows = shipped(1, None);
        let size = |id| rows.iter().find(|row| row.id == id).map(|row| row.native_bytes);
        assert_eq!(size("qwen3.5-0.8b"), Some(1_746_942_600));
        assert_eq!(size("qwen3-1.7b"), Some(2 * 1_720_574_976));
        assert_eq!(rows.iter().filter(|row| row.default).count(), 1);
    }

    #[test]
    fn a_hybrid_fits_a_longer_context_than_a_dense_model_of_its_size() {
        let rows = shipped(32_768, Some(12 << 30));
        let at_q8 = |id| rows.iter().find(|row| row.id == id).unwrap().fits[1].largest_context;
        assert!(at_q8("qwen3.5-4b") > at_q8("qwen3-4b-instruct-2507"), "{:?}", at_q8("qwen3.5-4b"));
    }
}
