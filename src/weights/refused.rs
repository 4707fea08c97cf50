//! What a configuration may ask for that this build does not do: refused, since the numbers would be wrong.

use serde_json::Value;

use super::error::WeightsError;
use super::json_keys::Keys;
use crate::model::shape::Architecture;

/// Errors at the first key that asks for something else than `architecture` does here.
pub(super) fn check(config: &Keys<'_>, architecture: Architecture) -> Result<(), WeightsError> {
    rotation(config, architecture)?;
    layers(config, architecture)?;
    gates(config)?;
    if config.flag("use_sliding_window")? == Some(true) {
        return config.refuse("sliding window attention");
    }
    if config.flag("attention_bias")? == Some(true) {
        return config.refuse("biases on the attention's matrices (attention_bias)");
    }
    if architecture.has_biases() && config.flag("qkv_bias")? == Some(false) {
        return config.refuse("attention without biases (qkv_bias)");
    }
    if let Some(method) = config.inside("quantization_config") {
        return config.refuse(format!("weights quantized by {}", method.json["quant_method"]));
    }
    match config.json.get("hidden_act").and_then(Value::as_str) {
        Some("silu") | None => Ok(()),
        Some(other) => config.refuse(format!("activation '{other}'")),
    }
}

fn rotation(config: &Keys<'_>, architecture: Architecture) -> Result<(), WeightsError> {
    for rope in ["rope_scaling", "rope_parameters"].into_iter().filter_map(|key| config.inside(key)) {
        let kind = rope.json.get("rope_type").or_else(|| rope.json.get("type")).and_then(Value::as_str);
        // Text has one position per token, for which mRoPE's sections are plain RoPE.
        let plain = |kind: &&str| *kind == "default" || (architecture.is_hybrid() && *kind == "mrope");
        if let Some(kind) = kind.filter(|kind| !plain(kind)) {
            return config.refuse(format!("RoPE scaling '{kind}'"));
        }
        let part = rope.json.get("partial_rotary_factor").and_then(Value::as_f64);
        if let Some(part) = part.filter(|part| *part != 1.0 && !architecture.is_hybrid()) {
            return config.refuse(format!("RoPE on {part} of each head (a partial rotation)"));
        }
    }
    Ok(())
}

/// Layers of other kinds than the architecture mixes.
fn layers(config: &Keys<'_>, architecture: Architecture) -> Result<(), WeightsError> {
    let known =
        |kind: &Value| kind == "full_attention" || (architecture.is_hybrid() && kind == "linear_attention");
    let kinds = config.json.get("layer_types").and_then(Value::as_array);
    if let Some(kind) = kinds.and_then(|kinds| kinds.iter().find(|kind| !known(kind))) {
        return config.refuse(format!("layers of type {kind}"));
    }
    let dense = config.json.get("mlp_only_layers").and_then(Value::as_array);
    if dense.is_some_and(|layers| !layers.is_empty()) {
        return config.refuse("some layers without experts (mlp_only_layers)");
    }
    match config.optional_count("decoder_sparse_step")? {
        Some(step) if step != 1 => {
            config.refuse(format!("experts in every {step}th layer only (decoder_sparse_step)"))
        }
        _ => Ok(()),
    }
}

/// Gates of hybrids that are made otherwise.
fn gates(config: &Keys<'_>) -> Result<(), WeightsError> {
    if config.flag("attn_output_gate")? == Some(false) {
        return config.refuse("attention without its output gate (attn_output_gate)");
    }
    match config.json.get("output_gate_type").and_then(Value::as_str) {
        None | Some("swish" | "silu") => Ok(()),
        Some(other) => config.refuse(format!("output gate '{other}' (output_gate_type)")),
    }
}
