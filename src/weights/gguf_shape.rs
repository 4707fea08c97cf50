//! A GGUF's metadata to a [`ModelShape`].

use candle_core::quantized::gguf_file::{Content, Value};

use super::error::WeightsError;
use crate::model::shape::{Architecture, ModelShape};

/// Reads the shape from the header; `origin` names the file in errors.
pub fn shape(content: &Content, origin: &str) -> Result<ModelShape, WeightsError> {
    let found = Metadata { content, origin, prefix: String::new() }.text("general.architecture")?;
    let architecture = Architecture::from_gguf_name(&found)
        .ok_or_else(|| WeightsError::UnknownArchitecture { found: found.clone(), origin: origin.into() })?;
    let keys = Metadata { content, origin, prefix: format!("{}.", architecture.gguf_name()) };
    keys.refuse_scaling()?;
    let (heads, hidden_size) = (keys.count("attention.head_count")?, keys.count("embedding_length")?);
    let shape = ModelShape {
        architecture,
        vocab_size: keys.vocabulary()?,
        hidden_size,
        layers: keys.count("block_count")?,
        heads,
        kv_heads: keys.count("attention.head_count_kv")?,
        head_dim: keys.optional_count("attention.key_length")?.unwrap_or(hidden_size / heads),
        rotary_dim: None,
        intermediate_size: Some(keys.count("feed_forward_length")?),
        rope_theta: keys.number("rope.freq_base")?,
        rms_norm_eps: keys.number("attention.layer_norm_rms_epsilon")?,
        max_positions: keys.count("context_length")?,
        tie_embeddings: !content.tensor_infos.contains_key("output.weight"),
        delta_net: None,
        experts: None,
    };
    keys.check_shape(&shape)?;
    keys.check_blocks(&shape)?;
    keys.check_rotation(&shape)?;
    Ok(shape)
}

struct Metadata<'a> {
    content: &'a Content,
    origin: &'a str,
    prefix: String,
}

impl Metadata<'_> {
    fn wrong(&self, key: &str, reason: impl Into<String>) -> WeightsError {
        let key = format!("{}{key}", self.prefix);
        WeightsError::Config { origin: self.origin.into(), key, reason: reason.into() }
    }

    fn find(&self, key: &str) -> Option<&Value> {
        self.content.metadata.get(&format!("{}{key}", self.prefix))
    }

    fn value(&self, key: &str) -> Result<&Value, WeightsError> {
        self.find(key).ok_or_else(|| self.wrong(key, "it is not there"))
    }

    fn text(&self, key: &str) -> Result<String, WeightsError> {
        self.value(key)?.to_string().cloned().map_err(|_| self.wrong(key, "it is not a text"))
    }

    fn count(&self, key: &str) -> Result<usize, WeightsError> {
        let value = self.value(key)?;
        let number = value.to_u64().or_else(|_| value.to_u32().map(u64::from));
        match number {
            Ok(n @ 1..=0x7fff_ffff) => Ok(n as usize),
            _ => Err(self.wrong(key, format!("{value:?} is not a positive whole number"))),
        }
    }

    fn optional_count(&self, key: &str) -> Result<Option<usize>, WeightsError> {
        self.find(key).map(|_| self.count(key)).transpose()
    }

    fn number(&self, key: &str) -> Result<f64, WeightsError> {
        let value = self.value(key)?;
        let number = value.to_f32().map(f64::from).or_else(|_| value.to_f64());
        match number {
            // Written as f32: 1e-6 comes back as 9.99999997e-7, so round to f32's digits.
            Ok(x) if x.is_finite() && x > 0.0 => Ok((x as f32).to_string().parse().unwrap_or(x)),
            _ => Err(self.wrong(key, format!("{value:?} is not a positive number"))),
        }
    }

    fn vocabulary(&self) -> Result<usize, WeightsError> {
        let name = "token_embd.weight";
        let info = self.content.tensor_infos.get(name);
        match info.map(|info| info.shape.dims()) {
            Some([rows, _]) => Ok(*rows),
            _ => Err(WeightsError::Missing { origin: self.origin.into(), name: name.into() }),
        }
    }

    fn refuse_scaling(&self) -> Result<(), WeightsError> {
        match self.find("rope.scaling.type").and_then(|v| v.to_string().ok()) {
            Some(kind) if kind != "none" => Err(WeightsError::Unsupported {
                origin: self.origin.into(),
                feature: format!("RoPE scaling '{kind}'"),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses a `block_count` that disagrees with the tensors, before anything is loaded.
    fn check_blocks(&self, shape: &ModelShape) -> Result<(), WeightsError> {
        let block = |name: &String| name.strip_prefix("blk.")?.split('.').next()?.parse::<usize>().ok();
        let stored = self.content.tensor_infos.keys().filter_map(block).max().map_or(0, |last| last + 1);
        if stored != shape.layers {
            let reason = format!("it says {}, but the file holds {stored} blocks", shape.layers);
            return Err(self.wrong("block_count", reason));
        }
        Ok(())
    }

    /// Refuses what no model has.
    fn check_shape(&self, shape: &ModelShape) -> Result<(), WeightsError> {
        let key = |field| match field {
            "layers" => "block_count",
            "heads" => "attention.head_count",
            "kv_heads" => "attention.head_count_kv",
            "head_dim" => "attention.key_length",
            "hidden_size" => "embedding_length",
            "intermediate_size" => "feed_forward_length",
            "max_positions" => "context_length",
            other => other,
        };
        shape.impossible().map_or(Ok(()), |wrong| Err(self.wrong(key(wrong.field), wrong.reason)))
    }

    /// Refuses heads of which only a part is rotated.
    fn check_rotation(&self, shape: &ModelShape) -> Result<(), WeightsError> {
        match self.optional_count("rope.dimension_count")? {
            Some(rotated) if rotated != shape.head_dim => Err(WeightsError::Unsupported {
                origin: self.origin.into(),
                feature: format!("RoPE on {rotated} of {} dimensions (a partial rotation)", shape.head_dim),
            }),
            _ => Ok(()),
        }
    }
}
