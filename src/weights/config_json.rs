//! A `config.json` of a checkpoint to a [`ModelShape`]. Every key that changes the result is
//! read or refused; none is guessed.

use std::path::Path;

use serde_json::Value;

use super::error::WeightsError;
use crate::model::shape::{Architecture, ModelShape};

/// Reads the shape from `path`.
pub fn read(path: &Path) -> Result<ModelShape, WeightsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| WeightsError::Unreadable { path: path.into(), source })?;
    let json = serde_json::from_str(&text)
        .map_err(|e| WeightsError::Corrupt { path: path.into(), reason: e.to_string() })?;
    parse(&json, &format!("'{}'", path.display()))
}

/// Understands a parsed `config.json`; `origin` names it in errors.
pub fn parse(json: &Value, origin: &str) -> Result<ModelShape, WeightsError> {
    let config = Config { json, origin };
    let found = config.text("model_type")?;
    let architecture = Architecture::from_config_name(found)
        .ok_or_else(|| WeightsError::UnknownArchitecture { found: found.into(), origin: origin.into() })?;
    config.refuse_what_is_not_implemented()?;
    let (heads, hidden_size) = (config.count("num_attention_heads")?, config.count("hidden_size")?);
    let shape = ModelShape {
        architecture,
        vocab_size: config.count("vocab_size")?,
        hidden_size,
        layers: config.count("num_hidden_layers")?,
        heads,
        kv_heads: config.count("num_key_value_heads")?,
        head_dim: match architecture {
            // Absent in the files, where transformers divides.
            Architecture::Qwen2 => config.optional_count("head_dim")?.unwrap_or(hidden_size / heads),
            _ => config.count("head_dim")?,
        },
        rotary_dim: None,
        intermediate_size: Some(config.count("intermediate_size")?),
        rope_theta: config.rope_theta()?,
        rms_norm_eps: config.number("rms_norm_eps")?,
        max_positions: config.count("max_position_embeddings")?,
        tie_embeddings: config.flag("tie_word_embeddings")?,
        delta_net: None,
        experts: None,
    };
    config.check_shape(&shape)?;
    Ok(shape)
}

struct Config<'a> {
    json: &'a Value,
    origin: &'a str,
}

impl<'a> Config<'a> {
    fn wrong(&self, key: &str, reason: impl Into<String>) -> WeightsError {
        WeightsError::Config { origin: self.origin.into(), key: key.into(), reason: reason.into() }
    }

    fn value(&self, key: &str) -> Result<&'a Value, WeightsError> {
        self.json.get(key).filter(|v| !v.is_null()).ok_or_else(|| self.wrong(key, "it is not there"))
    }

    fn text(&self, key: &str) -> Result<&'a str, WeightsError> {
        let value = self.value(key)?;
        value.as_str().ok_or_else(|| self.wrong(key, format!("{value} is not a text")))
    }

    fn count(&self, key: &str) -> Result<usize, WeightsError> {
        let value = self.value(key)?;
        match value.as_u64() {
            Some(n @ 1..=0x7fff_ffff) => Ok(n as usize),
            _ => Err(self.wrong(key, format!("{value} is not a positive whole number"))),
        }
    }

    fn optional_count(&self, key: &str) -> Result<Option<usize>, WeightsError> {
        self.value(key).ok().map(|_| self.count(key)).transpose()
    }

    fn number(&self, key: &str) -> Result<f64, WeightsError> {
        let value = self.value(key)?;
        let number = value.as_f64().filter(|x| x.is_finite() && *x > 0.0);
        number.ok_or_else(|| self.wrong(key, format!("{value} is not a positive number")))
    }

    /// Absent means false, as in transformers.
    fn flag(&self, key: &str) -> Result<bool, WeightsError> {
        match self.value(key) {
            Ok(value) => {
                value.as_bool().ok_or_else(|| self.wrong(key, format!("{value} is not true or false")))
            }
            Err(_) => Ok(false),
        }
    }

    /// At the top in files from before transformers 5, inside `rope_parameters` since.
    fn rope_theta(&self) -> Result<f64, WeightsError> {
        match self.json.get("rope_parameters").filter(|v| !v.is_null()) {
            Some(json) => Config { json, origin: self.origin }.number("rope_theta"),
            None => self.number("rope_theta"),
        }
    }

    fn refuse_what_is_not_implemented(&self) -> Result<(), WeightsError> {
        let refuse = |feature: String| Err(WeightsError::Unsupported { origin: self.origin.into(), feature });
        self.refuse_rope()?;
        if self.flag("use_sliding_window")? {
            return refuse("sliding window attention".into());
        }
        let kinds = self.json.get("layer_types").and_then(Value::as_array);
        if let Some(kind) = kinds.and_then(|kinds| kinds.iter().find(|kind| *kind != "full_attention")) {
            return refuse(format!("layers of type {kind}"));
        }
        if self.flag("attention_bias")? {
            return refuse("biases on the attention's matrices (attention_bias)".into());
        }
        if let Some(method) = self.json.get("quantization_config").filter(|v| !v.is_null()) {
            return refuse(format!("weights quantized by {}", method["quant_method"]));
        }
        match self.json.get("hidden_act").and_then(Value::as_str) {
            Some("silu") | None => Ok(()),
            Some(other) => refuse(format!("activation '{other}'")),
        }
    }

    fn refuse_rope(&self) -> Result<(), WeightsError> {
        let refuse = |feature: String| Err(WeightsError::Unsupported { origin: self.origin.into(), feature });
        let scaling = ["rope_scaling", "rope_parameters"].into_iter().filter_map(|key| self.json.get(key));
        for rope in scaling {
            let kind = rope.get("rope_type").or_else(|| rope.get("type")).and_then(Value::as_str);
            if let Some(kind) = kind.filter(|kind| *kind != "default") {
                return refuse(format!("RoPE scaling '{kind}'"));
            }
            let part = rope.get("partial_rotary_factor").and_then(Value::as_f64);
            if let Some(part) = part.filter(|part| *part != 1.0) {
                return refuse(format!("RoPE on {part} of each head (a partial rotation)"));
            }
        }
        Ok(())
    }

    /// Refuses what no model has.
    fn check_shape(&self, shape: &ModelShape) -> Result<(), WeightsError> {
        let key = |field| match field {
            "layers" => "num_hidden_layers",
            "heads" => "num_attention_heads",
            "kv_heads" => "num_key_value_heads",
            "max_positions" => "max_position_embeddings",
            other => other,
        };
        shape.impossible().map_or(Ok(()), |wrong| Err(self.wrong(key(wrong.field), wrong.reason)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn qwen3() -> Value {
        json!({
            "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024, "num_hidden_layers": 28,
            "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 3072,
            "rope_theta": 1000000, "rms_norm_eps": 1e-6, "max_position_embeddings": 40960,
            "tie_word_embeddings": true, "rope_scaling": null, "hidden_act": "silu", "use_sliding_window": false
        })
    }

    fn error_with(key: &str, value: Value) -> String {
        let mut json = qwen3();
        json[key] = value;
        parse(&json, "'config.json'").unwrap_err().to_string()
    }

    #[test]
    fn both_spellings_of_the_rotary_base_are_read() {
        assert_eq!(parse(&qwen3(), "").unwrap(), crate::model::shape::qwen3_0_6b());
        let mut newer = qwen3();
        newer.as_object_mut().unwrap().remove("rope_theta");
        newer["rope_parameters"] = json!({"rope_type": "default", "rope_theta": 1e6});
        assert_eq!(parse(&newer, "").unwrap(), crate::model::shape::qwen3_0_6b());
    }

    #[test]
    fn a_missing_field_is_named() {
        for key in ["hidden_size", "num_hidden_layers", "rope_theta", "rms_norm_eps", "vocab_size"] {
            let message = error_with(key, Value::Null);
            assert!(message.contains(key) && message.contains("config.json"), "{message}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(error_with("hidden_size", json!(-3)).contains("positive whole number"));
        assert!(error_with("num_key_value_heads", json!(7)).contains("does not divide"));
        assert!(error_with("rms_norm_eps", json!("x")).contains("positive number"));
    }

    #[test]
    fn other_architectures_are_told_which_are_known() {
        let message = error_with("model_type", json!("llama"));
        assert!(message.contains("'llama'") && message.contains("qwen2, qwen3"), "{message}");
    }

    #[test]
    fn what_would_change_the_logits_is_refused() {
        assert!(error_with("rope_scaling", json!({"rope_type": "yarn", "factor": 4})).contains("yarn"));
        assert!(error_with("use_sliding_window", json!(true)).contains("sliding window"));
        assert!(error_with("hidden_act", json!("gelu")).contains("gelu"));
    }
}
