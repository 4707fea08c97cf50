//! `adapter_config.json`. Every key that changes the result is read or refused, unknown ones too; none is guessed.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::AdapterError;
use super::names::{ends_in, layer_of, matches_pattern};

/// What the file says, as far as merging needs it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct AdapterConfig {
    peft_type: Option<String>,
    /// Checkpoint that it was trained on.
    #[serde(rename = "base_model_name_or_path")]
    pub base: Option<String>,
    r: usize,
    lora_alpha: f64,
    use_rslora: Option<bool>,
    rank_pattern: Option<Map<String, Value>>,
    alpha_pattern: Option<Map<String, Value>>,
    target_modules: Option<OneOrMany<String>>,
    exclude_modules: Option<OneOrMany<String>>,
    layers_to_transform: Option<OneOrMany<usize>>,
    bias: Option<String>,
    init_lora_weights: Option<Value>,
    /// For layers that store their weight transposed; peft sets it aside for the linear layers of Qwen.
    pub fan_in_fan_out: Option<bool>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// peft writes a list, one value, or a regular expression.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

/// Keys that have no part in what a merged matrix is: notes, training, and settings of ways to start training.
const WITHOUT_EFFECT: [&str; 16] = [
    "auto_mapping",
    "corda_config",
    "eva_config",
    "inference_mode",
    "layers_pattern",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
    "velora_config",
];

/// Starts that leave the base as it is. Others (PiSSA, OLoRA, CorDA, LoftQ) take a part out of it first.
const STARTS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

impl AdapterConfig {
    /// Reads `adapter_config.json` in `folder`, and refuses what is not W + s · B · A.
    pub fn read(folder: &Path) -> Result<Self, AdapterError> {
        let path = folder.join("adapter_config.json");
        let text = std::fs::read_to_string(&path)
            .map_err(|source| AdapterError::Unreadable { path: path.clone(), source })?;
        let config: Self = serde_json::from_str(&text)
            .map_err(|e| AdapterError::Corrupt { path: path.clone(), reason: e.to_string() })?;
        match config.refused() {
            Some(feature) => Err(AdapterError::Unmergeable { folder: folder.into(), feature }),
            None if config.r == 0 => Err(AdapterError::Corrupt { path, reason: "its rank `r` is 0".into() }),
            None => Ok(config),
        }
    }

    /// The first thing it asks for that merging cannot do.
    fn refused(&self) -> Option<String> {
        match self.peft_type.as_deref() {
            Some("LORA") => {}
            Some(other) => return Some(format!("its kind is {other}, and only LORA is merged")),
            None => return Some("it does not say its kind (`peft_type`)".into()),
        }
        if let Some(bias) = self.bias.as_deref().filter(|bias| *bias != "none") {
            return Some(format!("it trained biases (`bias` is \"{bias}\")"));
        }
        if let Some(start) = self.init_lora_weights.as_ref().filter(|start| !starts_beside(start)) {
            return Some(format!(
                "its training took a part out of the base first (`init_lora_weights` is {start})"
            ));
        }
        let patterns = [&self.rank_pattern, &self.alpha_pattern].into_iter().flatten();
        if let Some(pattern) = patterns.flat_map(Map::keys).find(|pattern| is_regex(pattern)) {
            return Some(format!(
                "its pattern '{pattern}' is a regular expression, which this build does not read"
            ));
        }
        let unknown =
            |(key, value): &(&String, &Value)| !WITHOUT_EFFECT.contains(&key.as_str()) && !is_nothing(value);
        self.others.iter().find(unknown).map(|(key, value)| format!("it sets `{key}` to {value}"))
    }

    /// Rank of the factors of `module`.
    ///
    /// Errors with the pattern's value where that is no rank.
    pub fn rank(&self, module: &str) -> Result<usize, String> {
        let Some(value) = pattern(self.rank_pattern.as_ref(), module) else { return Ok(self.r) };
        let rank = value.as_u64().filter(|rank| *rank > 0).map(|rank| rank as usize);
        rank.ok_or_else(|| format!("`rank_pattern` gives '{module}' the rank {value}"))
    }

    /// What B · A of `module` is multiplied with: alpha / r, or alpha / √r of rsLoRA.
    pub fn scale(&self, module: &str) -> Result<f64, String> {
        let rank = self.rank(module)? as f64;
        let alpha = match pattern(self.alpha_pattern.as_ref(), module) {
            None => self.lora_alpha,
            Some(value) => {
                value.as_f64().ok_or_else(|| format!("`alpha_pattern` gives '{module}' the alpha {value}"))?
            }
        };
        Ok(alpha / if self.use_rslora == Some(true) { rank.sqrt() } else { rank })
    }

    /// Whether peft would attach the factors stored for `module`: else it leaves them out.
    ///
    /// A regular expression, or "all-linear", is taken at its word.
    pub fn attaches(&self, module: &str) -> bool {
        let named = match &self.target_modules {
            Some(OneOrMany::Many(names)) => names.iter().any(|name| ends_in(module, name)),
            Some(OneOrMany::One(_)) | None => true,
        };
        let excluded = match &self.exclude_modules {
            Some(OneOrMany::Many(names)) => names.iter().any(|name| ends_in(module, name)),
            Some(OneOrMany::One(_)) | None => false,
        };
        let in_layer = match (&self.layers_to_transform, layer_of(module)) {
            (None, _) => true,
            (Some(OneOrMany::Many(layers)), _) if layers.is_empty() => true,
            (Some(OneOrMany::Many(layers)), Some(layer)) => layers.contains(&layer),
            (Some(OneOrMany::One(only)), Some(layer)) => *only == layer,
            (Some(_), None) => false,
        };
        named && in_layer && !excluded
    }
}

fn pattern<'a>(patterns: Option<&'a Map<String, Value>>, module: &str) -> Option<&'a Value> {
    patterns?.iter().find(|(pattern, _)| matches_pattern(module, pattern)).map(|(_, value)| value)
}

/// Whether a pattern means more than the text it is: peft reads a regular expression.
fn is_regex(pattern: &str) -> bool {
    pattern
        .trim_start_matches('^')
        .contains(['\\', '[', ']', '(', ')', '*', '+', '?', '|', '{', '}', '$', '^'])
}

fn starts_beside(start: &Value) -> bool {
    match start {
        Value::String(name) => STARTS.contains(&name.as_str()),
        other => other.is_boolean() || other.is_null(),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(change: Value) -> AdapterConfig {
        let mut config = json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "use_dora": false, "bias": "none",
            "megatron_core": "megatron.core", "target_modules": ["q_proj", "mlp.up_proj"], "modules_to_save": null});
        config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value(config).unwrap()
    }

    const Q: &str = "model.layers.3.self_attn.q_proj";

    #[test]
    fn scale_and_rank_follow_the_first_pattern_that_matches() {
        assert_eq!(parsed(json!({})).scale(Q), Ok(2.0));
        assert_eq!(parsed(json!({"use_rslora": true})).scale(Q), Ok(4.0));
        let patterns = json!({"rank_pattern": {"^layers.3.self_attn.q_proj": 1, "3.self_attn.q_proj": 16, "q_proj": 2},
            "alpha_pattern": {"proj": 1, "^model.layers.3.self_attn.q_proj": 4.0}});
        let config = parsed(patterns);
        assert_eq!((config.rank(Q), config.scale(Q)), (Ok(16), Ok(0.25)));
        assert_eq!(config.rank("model.layers.2.self_attn.q_proj"), Ok(2));
        assert!(parsed(json!({"rank_pattern": {"q_proj": 0}})).scale(Q).is_err());
    }

    #[test]
    fn what_is_not_a_product_of_two_factors_is_refused_in_a_sentence() {
        for (change, word) in [
            (json!({"peft_type": "IA3"}), "IA3"),
            (json!({"peft_type": null}), "peft_type"),
            (json!({"use_dora": true}), "use_dora"),
            (json!({"modules_to_save": ["lm_head"]}), "modules_to_save"),
            (json!({"bias": "lora_only"}), "lora_only"),
            (json!({"lora_bias": true}), "lora_bias"),
            (json!({"init_lora_weights": "pissa_niter_4"}), "pissa"),
            (json!({"trainable_token_indices": [3]}), "trainable_token_indices"),
            (json!({"layer_replication": [[0, 2], [1, 3]]}), "layer_replication"),
            (json!({"target_parameters": ["mlp.experts.gate_up_proj"]}), "experts"),
            (json!({"rank_pattern": {"layers\\.[0-3].*": 2}}), "regular expression"),
            (json!({"of_a_later_peft": 1}), "of_a_later_peft"),
        ] {
            let refused = parsed(change.clone()).refused();
            assert!(refused.as_ref().is_some_and(|why| why.contains(word)), "{change}: {refused:?}");
        }
        let harmless =
            json!({"init_lora_weights": "gaussian", "lora_dropout": 0.1, "eva_config": {"rho": 2.0}});
        assert_eq!(parsed(harmless).refused(), None);
    }

    #[test]
    fn factors_are_attached_where_the_configuration_says() {
        let config =
            parsed(json!({"layers_to_transform": [1, 3], "exclude_modules": ["layers.1.mlp.up_proj"]}));
        for (module, attached) in [
            (Q, true),
            ("model.layers.2.self_attn.q_proj", false),
            ("model.layers.3.mlp.up_proj", true),
            ("model.layers.1.mlp.up_proj", false),
            ("model.layers.3.self_attn.k_proj", false),
            ("lm_head", false),
        ] {
            assert_eq!(config.attaches(module), attached, "{module}");
        }
        assert!(parsed(json!({"target_modules": "all-linear", "layers_to_transform": 3})).attaches(Q));
    }
}
