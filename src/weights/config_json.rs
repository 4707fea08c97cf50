//! A `config.json` of a checkpoint to a [`ModelShape`]. Every key that changes the result is
//! read or refused; none is guessed.

use std::path::Path;

use serde_json::Value;

use super::error::WeightsError;
use super::json_keys::Keys;
use super::refused;
use crate::model::shape::{Architecture, AttentionLayers, DeltaNetShape, ExpertsShape, ModelShape};

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
    let whole = Keys { json, origin };
    let found = whole.text("model_type")?;
    let architecture = Architecture::from_config_name(found)
        .ok_or_else(|| WeightsError::UnknownArchitecture { found: found.into(), origin: origin.into() })?;
    let config = text_model(&whole)?;
    refused::check(&config, architecture)?;
    let (heads, hidden_size) = (config.count("num_attention_heads")?, config.count("hidden_size")?);
    let layers = config.count("num_hidden_layers")?;
    let shape = ModelShape {
        architecture,
        vocab_size: config.count("vocab_size")?,
        hidden_size,
        layers,
        heads,
        kv_heads: config.count("num_key_value_heads")?,
        head_dim: head_dim(&config, architecture, hidden_size / heads)?,
        rotary_dim: rotary_dim(&config, architecture, hidden_size / heads)?,
        intermediate_size: match architecture.is_mixture() {
            true => None,
            false => Some(config.count("intermediate_size")?),
        },
        rope_theta: rope_theta(&config)?,
        rms_norm_eps: config.number("rms_norm_eps")?,
        max_positions: config.count("max_position_embeddings")?,
        tie_embeddings: is_tied(&config, &whole)?,
        delta_net: architecture.is_hybrid().then(|| delta_net(&config, layers)).transpose()?,
        experts: architecture.is_mixture().then(|| experts(&config, architecture)).transpose()?,
    };
    check_shape(&config, &shape)?;
    Ok(shape)
}

/// Multimodal configurations keep the text model's in `text_config`; text-only ones are flat.
fn text_model<'a>(whole: &Keys<'a>) -> Result<Keys<'a>, WeightsError> {
    match whole.inside("text_config") {
        Some(inner) => Ok(inner),
        None if whole.has("hidden_size") => Ok(Keys { json: whole.json, origin: whole.origin }),
        None => Err(whole.wrong(
            "text_config",
            "it is not there, and neither is `hidden_size`: one of them describes the text model",
        )),
    }
}

/// Absent in Qwen2's files, where transformers divides.
fn head_dim(config: &Keys<'_>, architecture: Architecture, divided: usize) -> Result<usize, WeightsError> {
    match architecture.has_biases() {
        true => Ok(config.optional_count("head_dim")?.unwrap_or(divided)),
        false => config.count("head_dim"),
    }
}

/// Hybrids turn a quarter of each head unless they say otherwise.
fn rotary_dim(
    config: &Keys<'_>,
    architecture: Architecture,
    divided: usize,
) -> Result<Option<usize>, WeightsError> {
    if !architecture.is_hybrid() {
        return Ok(None);
    }
    let key = "partial_rotary_factor";
    let inside = config.inside("rope_parameters").filter(|rope| rope.has(key));
    let share = match (inside, config.has(key)) {
        (Some(rope), _) => rope.number(key)?,
        (None, true) => config.number(key)?,
        (None, false) => 0.25,
    };
    Ok(Some((head_dim(config, architecture, divided)? as f64 * share) as usize))
}

/// At the top in files from before transformers 5, inside `rope_parameters` since.
fn rope_theta(config: &Keys<'_>) -> Result<f64, WeightsError> {
    match config.inside("rope_parameters") {
        Some(rope) => rope.number("rope_theta"),
        None => config.number("rope_theta"),
    }
}

/// Absent means false, as in transformers; multimodal files say it outside, inside, or both.
fn is_tied(config: &Keys<'_>, whole: &Keys<'_>) -> Result<bool, WeightsError> {
    let key = "tie_word_embeddings";
    Ok(config.flag(key)?.unwrap_or(false) || whole.flag(key)?.unwrap_or(false))
}

fn delta_net(config: &Keys<'_>, layers: usize) -> Result<DeltaNetShape, WeightsError> {
    Ok(DeltaNetShape {
        key_heads: config.count("linear_num_key_heads")?,
        value_heads: config.count("linear_num_value_heads")?,
        key_dim: config.count("linear_key_head_dim")?,
        value_dim: config.count("linear_value_head_dim")?,
        conv_width: config.count("linear_conv_kernel_dim")?,
        attention_layers: attention_layers(config, layers)?,
    })
}

fn attention_layers(config: &Keys<'_>, layers: usize) -> Result<AttentionLayers, WeightsError> {
    let Ok(kinds) = config.value("layer_types") else {
        return Ok(AttentionLayers::Every(config.optional_count("full_attention_interval")?.unwrap_or(4)));
    };
    let kinds = kinds.as_array().map(Vec::as_slice).unwrap_or_default();
    if kinds.len() != layers {
        let reason = format!("it lists {} layers, num_hidden_layers says {layers}", kinds.len());
        return Err(config.wrong("layer_types", reason));
    }
    let listed = (0..layers).filter(|index| kinds[*index] == "full_attention").collect();
    Ok(AttentionLayers::of(listed, layers))
}

fn experts(config: &Keys<'_>, architecture: Architecture) -> Result<ExpertsShape, WeightsError> {
    let spelling = if config.has("num_experts") { "num_experts" } else { "num_local_experts" };
    let has_shared = architecture != Architecture::Qwen3Moe;
    Ok(ExpertsShape {
        count: config.count(spelling)?,
        used: config.count("num_experts_per_tok")?,
        width: config.count("moe_intermediate_size")?,
        shared_width: has_shared.then(|| config.count("shared_expert_intermediate_size")).transpose()?,
        renormalise: match architecture {
            Architecture::Qwen35Moe => true,
            // Absent: transformers' defaults.
            Architecture::Qwen3Next => config.flag("norm_topk_prob")?.unwrap_or(true),
            _ => config.flag("norm_topk_prob")?.unwrap_or(false),
        },
    })
}

/// Refuses what no model has.
fn check_shape(config: &Keys<'_>, shape: &ModelShape) -> Result<(), WeightsError> {
    let key = |field| match field {
        "layers" => "num_hidden_layers",
        "heads" => "num_attention_heads",
        "kv_heads" => "num_key_value_heads",
        "rotary_dim" => "partial_rotary_factor",
        "max_positions" => "max_position_embeddings",
        "delta_net.key_heads" => "linear_num_key_heads",
        "delta_net.value_heads" => "linear_num_value_heads",
        "delta_net.key_dim" => "linear_key_head_dim",
        "delta_net.value_dim" => "linear_value_head_dim",
        "delta_net.conv_width" => "linear_conv_kernel_dim",
        "delta_net.attention_layers" => "layer_types",
        "experts.count" => "num_experts",
        "experts.used" => "num_experts_per_tok",
        "experts.width" => "moe_intermediate_size",
        "experts.shared_width" => "shared_expert_intermediate_size",
        other => other,
    };
    shape.impossible().map_or(Ok(()), |wrong| Err(config.wrong(key(wrong.field), wrong.reason)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shape::{qwen3_0_6b, qwen3_5_0_8b, qwen3_5_35b_a3b};
    use serde_json::json;

    fn qwen3() -> Value {
        json!({
            "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024, "num_hidden_layers": 28,
            "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 3072,
            "rope_theta": 1000000, "rms_norm_eps": 1e-6, "max_position_embeddings": 40960,
            "tie_word_embeddings": true, "rope_scaling": null, "hidden_act": "silu", "use_sliding_window": false
        })
    }

    fn qwen3_5() -> Value {
        json!({
            "model_type": "qwen3_5_text", "vocab_size": 248320, "hidden_size": 1024, "num_hidden_layers": 24,
            "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 256, "intermediate_size": 3584,
            "rms_norm_eps": 1e-6, "max_position_embeddings": 262144, "tie_word_embeddings": true,
            "linear_num_key_heads": 16, "linear_num_value_heads": 16, "linear_key_head_dim": 128,
            "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "attn_output_gate": true,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e7, "partial_rotary_factor": 0.25,
                                "mrope_section": [11, 11, 10], "mrope_interleaved": true}
        })
    }

    fn with(mut json: Value, key: &str, value: Value) -> Result<ModelShape, WeightsError> {
        json[key] = value;
        parse(&json, "'config.json'")
    }

    fn error_with(json: Value, key: &str, value: Value) -> String {
        with(json, key, value).unwrap_err().to_string()
    }

    #[test]
    fn both_spellings_of_the_rotary_base_are_read() {
        assert_eq!(parse(&qwen3(), "").unwrap(), qwen3_0_6b());
        let mut newer = qwen3();
        newer.as_object_mut().unwrap().remove("rope_theta");
        newer["rope_parameters"] = json!({"rope_type": "default", "rope_theta": 1e6});
        assert_eq!(parse(&newer, "").unwrap(), qwen3_0_6b());
    }

    #[test]
    fn hybrids_are_read_flat_and_wrapped() {
        assert_eq!(parse(&qwen3_5(), "").unwrap(), qwen3_5_0_8b());
        let wrapped = json!({"model_type": "qwen3_5", "text_config": qwen3_5(), "vision_config": {}});
        assert_eq!(parse(&wrapped, "").unwrap(), qwen3_5_0_8b());
        let kinds: Vec<&str> =
            (0..24).map(|i| if i % 4 == 3 { "full_attention" } else { "linear_attention" }).collect();
        assert_eq!(with(qwen3_5(), "layer_types", json!(kinds)).unwrap(), qwen3_5_0_8b());
        let message = parse(&json!({"model_type": "qwen3_5", "vision_config": {}}), "x").unwrap_err();
        assert!(message.to_string().contains("text_config"), "{message}");
    }

    #[test]
    fn mixtures_are_read_in_both_spellings() {
        let mut json = qwen3_5();
        for (key, value) in [
            ("model_type", json!("qwen3_5_moe_text")),
            ("hidden_size", json!(2048)),
            ("num_hidden_layers", json!(40)),
            ("num_attention_heads", json!(16)),
            ("linear_num_value_heads", json!(32)),
            ("tie_word_embeddings", json!(false)),
            ("num_local_experts", json!(256)),
            ("num_experts_per_tok", json!(8)),
            ("moe_intermediate_size", json!(512)),
            ("shared_expert_intermediate_size", json!(512)),
        ] {
            json[key] = value;
        }
        assert_eq!(parse(&json, "").unwrap(), qwen3_5_35b_a3b());
        assert!(error_with(json.clone(), "num_experts_per_tok", json!(300)).contains("num_experts_per_tok"));
        assert!(error_with(json, "mlp_only_layers", json!([2])).contains("mlp_only_layers"));
    }

    #[test]
    fn a_missing_field_is_named() {
        for key in ["hidden_size", "num_hidden_layers", "rope_theta", "rms_norm_eps", "vocab_size"] {
            let message = error_with(qwen3(), key, Value::Null);
            assert!(message.contains(key) && message.contains("config.json"), "{message}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(error_with(qwen3(), "hidden_size", json!(-3)).contains("positive whole number"));
        assert!(error_with(qwen3(), "num_key_value_heads", json!(7)).contains("does not divide"));
        assert!(error_with(qwen3(), "rms_norm_eps", json!("x")).contains("positive number"));
        assert!(error_with(qwen3_5(), "layer_types", json!(["full_attention"])).contains("lists 1 layers"));
        assert!(error_with(qwen3_5(), "linear_num_key_heads", json!(5)).contains("does not divide"));
    }

    #[test]
    fn other_architectures_are_told_which_are_known() {
        let message = error_with(qwen3(), "model_type", json!("llama"));
        assert!(message.contains("'llama'") && message.contains("qwen2, qwen2_moe, qwen3,"), "{message}");
    }

    #[test]
    fn what_would_change_the_logits_is_refused() {
        let yarn = json!({"rope_type": "yarn", "factor": 4});
        assert!(error_with(qwen3(), "rope_scaling", yarn).contains("yarn"));
        assert!(error_with(qwen3(), "use_sliding_window", json!(true)).contains("sliding window"));
        assert!(error_with(qwen3(), "hidden_act", json!("gelu")).contains("gelu"));
        assert!(error_with(qwen3_5(), "attn_output_gate", json!(false)).contains("attn_output_gate"));
        assert!(error_with(qwen3_5(), "output_gate_type", json!("sigmoid")).contains("sigmoid"));
    }
}
