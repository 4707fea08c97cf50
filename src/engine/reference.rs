//! Reference logits and states of a model folder: `reference.safetensors`, as transformers computed them.
//! `docs/adding-a-model.md` lists its tensors. Not here: how an engine is held against them.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context as _;
use candle_core::{DType, Device, Tensor};

/// What the file holds.
pub struct Reference {
    tensors: HashMap<String, Tensor>,
}

/// One prompt with its reference.
pub struct Prompt {
    /// `short`, `long` or `far`.
    pub name: &'static str,
    /// Ids.
    pub ids: Vec<u32>,
    /// Positions whose logits the reference has, ascending.
    pub positions: Vec<usize>,
    /// (positions, vocabulary), f32.
    pub logits: Tensor,
    /// Greedy continuation, where the file has one.
    pub greedy: Option<Vec<u32>>,
}

/// Prompts of files of floats, and the tensors with their logits.
const EXACT: [(&str, &str); 3] =
    [("short", "short_prefill"), ("long", "long_prefill"), ("far", "far_prefill")];
/// Prompts of quantized files: the logits of the dequantized weights.
const QUANTIZED: [(&str, &str); 1] = [("short", "gguf_q8_0_prefill")];
/// Prompts in bf16 arithmetic: how far rounding alone leads.
const ROUNDED: [(&str, &str); 1] = [("short", "bf16_prefill")];

impl Reference {
    /// Reads `folder/reference.safetensors`; it needs `short_ids` and `short_prefill` at least.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("reference.safetensors");
        let tensors = candle_core::safetensors::load(&path, &Device::Cpu).with_context(|| {
            format!(
                "could not read reference logits from '{}'\nverify needs a folder with reference.safetensors \
                 (short_ids, short_prefill, …) beside the model; docs/adding-a-model.md says how to make one",
                path.display()
            )
        })?;
        let reference = Self { tensors };
        reference.check().with_context(|| {
            format!(
                "'{}' is no usable reference (docs/adding-a-model.md says how to make one)",
                path.display()
            )
        })?;
        Ok(reference)
    }

    /// What is there must be whole: a prompt that cannot be read must not pass by being left out.
    fn check(&self) -> anyhow::Result<()> {
        for (name, logits) in EXACT.into_iter().chain(QUANTIZED).chain(ROUNDED) {
            let there = self.tensors.contains_key(logits) || logits == "short_prefill";
            anyhow::ensure!(
                !there || self.prompt(name, logits).is_some(),
                "it holds no {name}_ids [n] with {logits} [n, vocabulary], n at least 1, nor {name}_positions \
                 [k], ascending and below n, with {logits} [k, vocabulary]"
            );
        }
        let greedy = self.tensors.contains_key("greedy_ids");
        let whole = self.ids("greedy_ids").is_some_and(|ids| !ids.is_empty());
        anyhow::ensure!(!greedy || whole, "greedy_ids is not a list of at least one id");
        Ok(())
    }

    /// Errors if a prompt does not fit a model with `vocabulary` ids.
    pub fn check_vocabulary(&self, vocabulary: usize) -> anyhow::Result<()> {
        for prompt in self.exact().into_iter().chain(self.quantized()).chain(self.rounded()) {
            let columns = prompt.logits.dim(1)?;
            let id = prompt.ids.iter().find(|id| **id as usize >= vocabulary);
            anyhow::ensure!(
                columns == vocabulary && id.is_none(),
                "the reference was made for another model: its prompt '{}' has logits of {columns} ids, \
                 the model has {vocabulary}\nmake the reference again from this model",
                prompt.name
            );
        }
        Ok(())
    }

    /// For files of floats, in f32: `short`, and `long` and `far` where they are there.
    pub fn exact(&self) -> Vec<Prompt> {
        self.prompts(&EXACT)
    }

    /// For quantized files: `short`, with the logits of the dequantized weights.
    pub fn quantized(&self) -> Vec<Prompt> {
        self.prompts(&QUANTIZED)
    }

    /// `short` in bf16 arithmetic.
    pub fn rounded(&self) -> Vec<Prompt> {
        self.prompts(&ROUNDED)
    }

    fn prompts(&self, wanted: &[(&'static str, &str)]) -> Vec<Prompt> {
        wanted.iter().filter_map(|(name, logits)| self.prompt(name, logits)).collect()
    }

    fn prompt(&self, name: &'static str, logits: &str) -> Option<Prompt> {
        let ids = self.ids(&format!("{name}_ids"))?;
        let logits = self.tensors.get(logits)?.to_dtype(DType::F32).ok()?;
        let rows = logits.dims2().ok()?.0;
        let positions = self.positions(name, ids.len())?;
        let greedy = self.ids("greedy_ids").filter(|_| name == "short");
        let whole = rows == positions.len() && rows > 0;
        whole.then_some(Prompt { name, ids, positions, logits, greedy })
    }

    /// All of `count`, or those that `<name>_positions` lists.
    fn positions(&self, name: &str, count: usize) -> Option<Vec<usize>> {
        let key = format!("{name}_positions");
        if !self.tensors.contains_key(&key) {
            return Some((0..count).collect());
        }
        let positions: Vec<usize> = self.ids(&key)?.into_iter().map(|p| p as usize).collect();
        let ascending = positions.is_sorted_by(|a, b| a < b);
        (ascending && positions.last().is_some_and(|last| *last < count)).then_some(positions)
    }

    fn ids(&self, name: &str) -> Option<Vec<u32>> {
        let ids = self.tensors.get(name)?.to_dtype(DType::I64).ok()?.to_vec1::<i64>().ok()?;
        ids.into_iter().map(|id| u32::try_from(id).ok()).collect()
    }

    /// Whether it holds the cache after the short prompt.
    pub fn has_states(&self) -> bool {
        self.tensors.keys().any(|name| name.starts_with("state."))
    }

    /// One part of that cache of layer `layer`, f32: `key` and `value` (kv_heads, n, head_dim) of attention;
    /// `conv` (channels, width) and `recurrent` (value_heads, key_dim, value_dim) of a gated delta net.
    ///
    /// Errors if it is not there.
    pub fn state(&self, layer: usize, part: &str) -> anyhow::Result<Tensor> {
        let name = format!("state.{layer}.{part}");
        let tensor = self.tensors.get(&name).with_context(|| {
            format!(
                "reference.safetensors has states, but no {name}\nmake the reference again from this model"
            )
        })?;
        Ok(tensor.to_dtype(DType::F32)?)
    }

    /// Longest prompt and its greedy continuation: the room a cache needs.
    pub fn longest(&self) -> usize {
        let prompts = self.exact().into_iter().chain(self.quantized());
        prompts.map(|p| p.ids.len() + p.greedy.map_or(0, |g| g.len())).max().unwrap_or(0)
    }
}
