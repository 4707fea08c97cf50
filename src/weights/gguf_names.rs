//! A checkpoint's tensor names to those of a GGUF file.

/// The GGUF names that `name` may have, likeliest first; empty if the family has no such tensor.
///
/// Experts fused over a layer have a name of their own, without an expert's number.
pub fn gguf_names(name: &str) -> Vec<String> {
    let top = match name {
        "embed_tokens.weight" => Some("token_embd.weight"),
        "norm.weight" => Some("output_norm.weight"),
        "lm_head.weight" => Some("output.weight"),
        _ => None,
    };
    if let Some(top) = top {
        return vec![top.into()];
    }
    let in_layer = |rest: &str| rest.split_once('.').map(|(layer, part)| (layer.to_owned(), part.to_owned()));
    let Some((layer, part)) = name.strip_prefix("layers.").and_then(in_layer) else { return Vec::new() };
    layer_names(&part).iter().map(|part| format!("blk.{layer}.{part}")).collect()
}

fn layer_names(part: &str) -> Vec<String> {
    let (module, kind) = match part {
        "linear_attn.A_log" => return vec!["ssm_a".into()],
        "linear_attn.dt_bias" => return vec!["ssm_dt.bias".into()],
        // Fused experts have no suffix in a checkpoint.
        fused if fused.starts_with("mlp.experts.") => (fused, "weight"),
        other => match other.rsplit_once('.') {
            Some(parts) => parts,
            None => return Vec::new(),
        },
    };
    modules(module).iter().map(|module| format!("{module}.{kind}")).collect()
}

fn modules(module: &str) -> &'static [&'static str] {
    match module {
        "input_layernorm" => &["attn_norm"],
        "post_attention_layernorm" => &["ffn_norm", "post_attention_norm"],
        "self_attn.q_proj" => &["attn_q"],
        "self_attn.k_proj" => &["attn_k"],
        "self_attn.v_proj" => &["attn_v"],
        "self_attn.o_proj" => &["attn_output"],
        "self_attn.q_norm" => &["attn_q_norm"],
        "self_attn.k_norm" => &["attn_k_norm"],
        "linear_attn.in_proj_qkv" => &["attn_qkv"],
        "linear_attn.in_proj_z" => &["attn_gate"],
        "linear_attn.in_proj_a" => &["ssm_alpha"],
        "linear_attn.in_proj_b" => &["ssm_beta"],
        "linear_attn.in_proj_ba" => &["ssm_ba"],
        "linear_attn.in_proj_qkvz" => &["ssm_in"],
        "linear_attn.conv1d" => &["ssm_conv1d"],
        "linear_attn.norm" => &["ssm_norm"],
        "linear_attn.out_proj" => &["ssm_out"],
        "mlp.gate_proj" => &["ffn_gate"],
        "mlp.up_proj" => &["ffn_up"],
        "mlp.down_proj" => &["ffn_down"],
        "mlp.gate" => &["ffn_gate_inp"],
        "mlp.experts.gate_proj" => &["ffn_gate_exps"],
        "mlp.experts.up_proj" => &["ffn_up_exps"],
        "mlp.experts.down_proj" => &["ffn_down_exps"],
        "mlp.experts.gate_up_proj" => &["ffn_gate_up_exps"],
        "mlp.shared_expert_gate" => &["ffn_gate_inp_shexp"],
        "mlp.shared_expert.gate_proj" => &["ffn_gate_shexp"],
        "mlp.shared_expert.up_proj" => &["ffn_up_shexp"],
        "mlp.shared_expert.down_proj" => &["ffn_down_shexp"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(name: &str) -> Option<String> {
        gguf_names(name).into_iter().next()
    }

    #[test]
    fn names_follow_the_converter() {
        assert_eq!(first("layers.3.self_attn.q_proj.bias").as_deref(), Some("blk.3.attn_q.bias"));
        assert_eq!(first("layers.12.mlp.down_proj.weight").as_deref(), Some("blk.12.ffn_down.weight"));
        assert_eq!(first("norm.weight").as_deref(), Some("output_norm.weight"));
        assert_eq!(first("layers.0.linear_attn.A_log").as_deref(), Some("blk.0.ssm_a"));
        assert_eq!(first("layers.0.linear_attn.dt_bias").as_deref(), Some("blk.0.ssm_dt.bias"));
        assert_eq!(
            first("layers.7.mlp.experts.gate_up_proj").as_deref(),
            Some("blk.7.ffn_gate_up_exps.weight")
        );
        assert_eq!(first("layers.0.mlp.experts.3.up_proj.weight"), None);
        assert_eq!(first("layers.0.mlp.unknown.weight"), None);
        let norms = gguf_names("layers.0.post_attention_layernorm.weight");
        assert_eq!(norms, ["blk.0.ffn_norm.weight", "blk.0.post_attention_norm.weight"]);
    }
}
