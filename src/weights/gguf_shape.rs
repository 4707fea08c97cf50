//! A GGUF's metadata to a [`ModelShape`].

use candle_core::quantized::gguf_file::Content;

use super::error::WeightsError;
use super::gguf_metadata::Metadata;
use crate::model::shape::{Architecture, AttentionLayers, DeltaNetShape, ExpertsShape, ModelShape};

/// Reads the shape from the header; `origin` names the file in errors.
pub fn shape(content: &Content, origin: &str) -> Result<ModelShape, WeightsError> {
    let found = Metadata { content, origin, prefix: String::new() }.text("general.architecture")?;
    let architecture = Architecture::from_gguf_name(&found)
        .ok_or_else(|| WeightsError::UnknownArchitecture { found: found.clone(), origin: origin.into() })?;
    let keys = Metadata { content, origin, prefix: format!("{}.", architecture.gguf_name()) };
    keys.refuse_scaling()?;
    let (heads, hidden_size) = (keys.count("attention.head_count")?, keys.count("embedding_length")?);
    let layers = layers(&keys)?;
    let head_dim = keys.optional_count("attention.key_length")?.unwrap_or(hidden_size / heads);
    let shape = ModelShape {
        architecture,
        vocab_size: vocabulary(&keys)?,
        hidden_size,
        layers,
        heads,
        kv_heads: keys.count("attention.head_count_kv")?,
        head_dim,
        rotary_dim: rotary_dim(&keys, architecture, head_dim)?,
        intermediate_size: match architecture.is_mixture() {
            true => None,
            false => Some(keys.count("feed_forward_length")?),
        },
        rope_theta: keys.number("rope.freq_base")?,
        rms_norm_eps: keys.number("attention.layer_norm_rms_epsilon")?,
        max_positions: keys.count("context_length")?,
        tie_embeddings: !content.tensor_infos.contains_key("output.weight"),
        delta_net: architecture.is_hybrid().then(|| delta_net(&keys, layers)).transpose()?,
        experts: architecture.is_mixture().then(|| experts(&keys, architecture)).transpose()?,
    };
    check_shape(&keys, &shape)?;
    Ok(shape)
}

/// Blocks of the text model. Blocks that predict more than one token ahead stand behind them and are counted
/// in `block_count`, whether or not the file kept them.
fn layers(keys: &Metadata<'_>) -> Result<usize, WeightsError> {
    let said = keys.count("block_count")?;
    let ahead = keys.optional_count("nextn_predict_layers")?.unwrap_or(0);
    let stored = keys.stored_blocks();
    let layers = said.saturating_sub(ahead);
    if layers == 0 || (stored != said && stored != layers) {
        let reason = format!("it says {said}, but the file holds {stored} blocks");
        return Err(keys.wrong("block_count", reason));
    }
    Ok(layers)
}

fn vocabulary(keys: &Metadata<'_>) -> Result<usize, WeightsError> {
    let name = "token_embd.weight";
    match keys.dimensions(name) {
        Some([rows, _]) => Ok(*rows),
        _ => Err(WeightsError::Missing { origin: keys.origin.into(), name: name.into() }),
    }
}

/// Hybrids turn a part of each head; the others, all of it.
fn rotary_dim(
    keys: &Metadata<'_>,
    architecture: Architecture,
    head_dim: usize,
) -> Result<Option<usize>, WeightsError> {
    let rotated = keys.optional_count("rope.dimension_count")?;
    match (architecture.is_hybrid(), rotated) {
        (true, Some(rotated)) => Ok(Some(rotated)),
        (true, None) => Err(keys.wrong("rope.dimension_count", "it is not there")),
        (false, Some(rotated)) if rotated != head_dim => Err(WeightsError::Unsupported {
            origin: keys.origin.into(),
            feature: format!("RoPE on {rotated} of {head_dim} dimensions (a partial rotation)"),
        }),
        (false, _) => Ok(None),
    }
}

/// Which layers are attention shows in their tensors; files spell the interval in more than one key.
fn delta_net(keys: &Metadata<'_>, layers: usize) -> Result<DeltaNetShape, WeightsError> {
    let (key_dim, value_heads) = (keys.count("ssm.state_size")?, keys.count("ssm.time_step_rank")?);
    let values = keys.count("ssm.inner_size")?;
    if !values.is_multiple_of(value_heads) {
        let reason = format!("{values} is no multiple of ssm.time_step_rank, {value_heads}");
        return Err(keys.wrong("ssm.inner_size", reason));
    }
    let has_attention = |index: &usize| keys.dimensions(&format!("blk.{index}.attn_q.weight")).is_some();
    Ok(DeltaNetShape {
        key_heads: keys.count("ssm.group_count")?,
        value_heads,
        key_dim,
        value_dim: values / value_heads,
        conv_width: keys.count("ssm.conv_kernel")?,
        attention_layers: AttentionLayers::of((0..layers).filter(has_attention).collect(), layers),
    })
}

/// Whether the taken experts' weights are scaled to sum 1 stands in no key of most files: it is llama.cpp's
/// choice by architecture.
fn experts(keys: &Metadata<'_>, architecture: Architecture) -> Result<ExpertsShape, WeightsError> {
    let rows = |name: &str| keys.dimensions(name).and_then(|dims| dims.first().copied());
    let in_tensor = rows("blk.0.ffn_gate_shexp.weight");
    let shared_width = match keys.optional_count("expert_shared_feed_forward_length")? {
        None => in_tensor,
        said => said,
    };
    Ok(ExpertsShape {
        count: keys.count("expert_count")?,
        used: keys.count("expert_used_count")?,
        width: keys.count("expert_feed_forward_length")?,
        shared_width,
        renormalise: keys.flag("expert_weights_norm").unwrap_or(architecture != Architecture::Qwen2Moe),
    })
}

/// Refuses what no model has.
fn check_shape(keys: &Metadata<'_>, shape: &ModelShape) -> Result<(), WeightsError> {
    let key = |field| match field {
        "layers" => "block_count",
        "heads" => "attention.head_count",
        "kv_heads" => "attention.head_count_kv",
        "head_dim" => "attention.key_length",
        "rotary_dim" => "rope.dimension_count",
        "hidden_size" => "embedding_length",
        "intermediate_size" => "feed_forward_length",
        "max_positions" => "context_length",
        "delta_net.key_heads" => "ssm.group_count",
        "delta_net.value_heads" => "ssm.time_step_rank",
        "delta_net.key_dim" => "ssm.state_size",
        "delta_net.value_dim" => "ssm.inner_size",
        "delta_net.conv_width" => "ssm.conv_kernel",
        "delta_net.attention_layers" => "full_attention_interval",
        "experts.count" => "expert_count",
        "experts.used" => "expert_used_count",
        "experts.width" => "expert_feed_forward_length",
        "experts.shared_width" => "expert_shared_feed_forward_length",
        other => other,
    };
    shape.impossible().map_or(Ok(()), |wrong| Err(keys.wrong(key(wrong.field), wrong.reason)))
}
