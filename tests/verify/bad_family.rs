//! Hybrids and mixtures that are incomplete: each ends with exit code 2 and a sentence that says what to do.

use serde_json::Value;

use crate::folder::{CONFIG, Folder, REFERENCE, SHARDED, WEIGHTS};

/// A copy of `kind` without the tensors whose names end as one of `ends`.
fn without(kind: &str, ends: &[&str]) -> Folder {
    let folder = Folder::with(kind, &[CONFIG, WEIGHTS, REFERENCE]);
    folder.edit_tensors(WEIGHTS, |tensors| {
        let before = tensors.len();
        tensors.retain(|name, _| !ends.iter().any(|end| name.ends_with(end)));
        assert!(tensors.len() < before, "{ends:?}");
    });
    folder
}

#[test]
fn a_wrapper_around_nothing() {
    let folder = Folder::whole(SHARDED);
    folder.edit_json(CONFIG, |config| drop(config.as_object_mut().expect("an object").remove("text_config")));
    folder.verify(&[]).refused(&["config.json", "text_config"]);
}

#[test]
fn half_of_the_experts() {
    let ends = ["experts.3.gate_proj.weight", "experts.3.up_proj.weight", "experts.3.down_proj.weight"];
    without("qwen3_moe", &ends).verify(&[]).refused(&["experts.3.gate_proj.weight"]);
    without("qwen3_5_moe_wrapped", &["experts.down_proj"]).verify(&[]).refused(&["experts.down_proj"]);
}

#[test]
fn a_net_without_its_decay() {
    without("qwen3_5", &["2.linear_attn.A_log"]).verify(&[]).refused(&["layers.2.linear_attn.A_log"]);
    without("qwen3_next", &["in_proj_ba.weight"]).verify(&[]).refused(&["linear_attn.in_proj_"]);
}

#[test]
fn heads_that_do_not_divide_and_experts_that_are_not_there() {
    for (kind, key, value) in [
        ("qwen3_5", "linear_num_key_heads", 4),
        ("qwen3_5", "linear_num_key_heads", 0),
        ("qwen3_moe", "num_experts_per_tok", 7),
        ("qwen3_moe", "num_experts", 0),
    ] {
        let folder = Folder::with(kind, &[CONFIG, WEIGHTS, REFERENCE]);
        folder.edit_json(CONFIG, |config| config[key] = Value::from(value));
        folder.verify(&[]).refused(&["config.json", key]);
    }
}
