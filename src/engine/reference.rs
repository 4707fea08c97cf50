//! Reference logits of a model folder: `reference.safetensors`, as transformers computed them.

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
    /// `short` or `long`.
    pub name: &'static str,
    /// Ids.
    pub ids: Vec<u32>,
    /// (ids, vocabulary), f32.
    pub logits: Tensor,
    /// Greedy continuation, where the file has one.
    pub greedy: Option<Vec<u32>>,
}

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
        let pairs = [("short", "short_prefill"), ("long", "long_prefill"), ("short", "gguf_q8_0_prefill")];
        for (name, logits) in pairs {
            let there = self.tensors.contains_key(logits) || logits == "short_prefill";
            anyhow::ensure!(
                !there || self.prompt(name, logits).is_some(),
                "it holds no {name}_ids [n] with {logits} [n, vocabulary], n at least 1"
            );
        }
        let greedy = self.tensors.contains_key("greedy_ids");
        let whole = self.ids("greedy_ids").is_some_and(|ids| !ids.is_empty());
        anyhow::ensure!(!greedy || whole, "greedy_ids is not a list of at least one id");
        Ok(())
    }

    /// Errors if a prompt does not fit a model with `vocabulary` ids.
    pub fn check_vocabulary(&self, vocabulary: usize) -> anyhow::Result<()> {
        for prompt in self.prompts(false).into_iter().chain(self.prompts(true)) {
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

    /// The prompts to run: for exact files `short` and `long`, for quantized ones `short` against
    /// the logits of the dequantized weights; none if those are not there.
    pub fn prompts(&self, quantized: bool) -> Vec<Prompt> {
        let wanted: &[(&str, &str)] = match quantized {
            true => &[("short", "gguf_q8_0_prefill")],
            false => &[("short", "short_prefill"), ("long", "long_prefill")],
        };
        wanted.iter().filter_map(|(name, logits)| self.prompt(name, logits)).collect()
    }

    fn prompt(&self, name: &str, logits: &str) -> Option<Prompt> {
        let ids = self.ids(&format!("{name}_ids"))?;
        let logits = self.tensors.get(logits)?.to_dtype(DType::F32).ok()?;
        let rows = logits.dims2().ok()?.0;
        let (name, greedy) = match name {
            "short" => ("short", self.ids("greedy_ids")),
            _ => ("long", None),
        };
        (rows == ids.len() && rows > 0).then_some(Prompt { name, ids, logits, greedy })
    }

    fn ids(&self, name: &str) -> Option<Vec<u32>> {
        let ids = self.tensors.get(name)?.to_dtype(DType::I64).ok()?.to_vec1::<i64>().ok()?;
        ids.into_iter().map(|id| u32::try_from(id).ok()).collect()
    }

    /// Longest prompt and its greedy continuation: the room a cache needs.
    pub fn longest(&self) -> usize {
        let prompts = self.prompts(false).into_iter().chain(self.prompts(true));
        prompts.map(|p| p.ids.len() + p.greedy.map_or(0, |g| g.len())).max().unwrap_or(0)
    }
}
