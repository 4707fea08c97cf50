//! Folders that cannot be verified: each ends with exit code 2 and a sentence that says what to do.

use std::fs;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};

use crate::folder::{CONFIG, Folder, INDEX, REFERENCE, SHARDS, WEIGHTS, verify};

fn model() -> Folder {
    Folder::with("qwen3", &[CONFIG, WEIGHTS, REFERENCE])
}

#[test]
fn a_folder_that_is_no_folder() {
    verify(&["no/such/folder"]).refused(&["'no/such/folder' is not a folder", "verify needs a folder with"]);
    let folder = model();
    verify(&[folder.path(WEIGHTS).to_str().unwrap()]).refused(&["is not a folder"]);
}

#[test]
fn a_missing_or_damaged_reference() {
    let folder = model();
    folder.edit_bytes(REFERENCE, |bytes| bytes.truncate(bytes.len() / 2));
    folder.verify(&[]).refused(&["reference.safetensors", "docs/adding-a-model.md"]);
    folder.remove(REFERENCE);
    folder.verify(&[]).refused(&["reference.safetensors", "docs/adding-a-model.md"]);
}

#[test]
fn a_reference_that_lacks_a_prompt_or_is_cut_short_is_not_passed_over() {
    for (name, rows) in [("short_prefill", 36), ("long_prefill", 10), ("gguf_q8_0_prefill", 36)] {
        let folder = model();
        folder.edit_tensors(REFERENCE, |tensors| {
            let cut = tensors[name].narrow(0, 0, rows).unwrap().contiguous().unwrap();
            tensors.insert(name.into(), cut);
        });
        folder.verify(&[]).refused(&[name, "docs/adding-a-model.md"]);
    }
    let folder = model();
    folder.edit_tensors(REFERENCE, |tensors| drop(tensors.remove("short_ids")));
    folder.verify(&[]).refused(&["short_ids", "docs/adding-a-model.md"]);
}

#[test]
fn a_reference_of_another_model() {
    let folder = model();
    folder.edit_tensors(REFERENCE, |tensors| {
        let cut = tensors["short_prefill"].narrow(1, 0, 511).unwrap().contiguous().unwrap();
        tensors.insert("short_prefill".into(), cut);
    });
    folder.verify(&[]).refused(&["made for another model", "511", "512"]);
}

#[test]
fn a_folder_without_a_model() {
    for missing in [CONFIG, WEIGHTS] {
        let folder = model();
        folder.remove(missing);
        folder.verify(&[]).refused(&["holds no model: expected config.json with model.safetensors"]);
    }
}

#[test]
fn safetensors_that_are_truncated_or_no_safetensors() {
    let damages: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.truncate(bytes.len() - 1000),
        |bytes| bytes.truncate(4),
        |bytes| bytes.clear(),
        |bytes| bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes()),
        |bytes| bytes[8..40].fill(b'x'),
    ];
    for damage in damages {
        let folder = model();
        folder.edit_bytes(WEIGHTS, damage);
        folder.verify(&[]).refused(&["model.safetensors' is truncated or corrupt", "download it again"]);
    }
}

#[test]
fn a_configuration_that_is_incomplete_or_nonsense() {
    let changes: [(&str, Value, &str); 8] = [
        ("intermediate_size", Value::Null, "`intermediate_size`: it is not there"),
        ("head_dim", Value::Null, "`head_dim`"),
        ("num_attention_heads", json!(0), "`num_attention_heads`: 0 is not a positive whole number"),
        ("num_key_value_heads", json!(3), "`num_key_value_heads`: 3 does not divide 4 heads"),
        ("head_dim", json!(33), "`head_dim`"),
        ("num_hidden_layers", json!(2_000_000_000), "`num_hidden_layers`"),
        ("vocab_size", json!(2_000_000_000), "`vocab_size`"),
        ("rms_norm_eps", json!(-1.0), "`rms_norm_eps`"),
    ];
    for (key, value, part) in changes {
        let folder = model();
        folder.edit_json(CONFIG, |config| config[key] = value);
        folder.verify(&[]).refused(&["config.json", part, "take it again"]);
    }
    let folder = model();
    folder.edit_bytes(CONFIG, |bytes| bytes.truncate(100));
    folder.verify(&[]).refused(&["config.json' is truncated or corrupt"]);
}

#[test]
fn an_architecture_or_a_feature_that_this_build_does_not_have() {
    let changes: [(&str, Value, &str); 6] = [
        ("model_type", json!("llama"), "'llama' in"),
        ("attention_bias", json!(true), "biases"),
        ("layer_types", json!(["full_attention", "sliding_attention"]), "sliding_attention"),
        ("quantization_config", json!({"quant_method": "fp8"}), "fp8"),
        ("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0}), "yarn"),
        ("rope_parameters", json!({"rope_theta": 1e6, "partial_rotary_factor": 0.5}), "partial"),
    ];
    for (key, value, part) in changes {
        let folder = model();
        folder.edit_json(CONFIG, |config| config[key] = value);
        folder.verify(&[]).refused(&["config.json", part]);
    }
}

#[test]
fn a_tensor_that_is_missing_or_of_another_shape_or_type() {
    let name = "model.layers.1.self_attn.k_norm.weight";
    let folder = model();
    folder.edit_tensors(WEIGHTS, |tensors| drop(tensors.remove(name)));
    folder.verify(&[]).refused(&["model.safetensors", name, "not hold the whole model"]);

    let put = |tensor: Tensor| {
        let folder = model();
        folder.edit_tensors(WEIGHTS, |tensors| drop(tensors.insert(name.into(), tensor)));
        folder.verify(&[])
    };
    let zeros = |length: usize, dtype| Tensor::zeros(length, dtype, &Device::Cpu).unwrap();
    put(zeros(31, DType::BF16)).refused(&[name, "[31]", "[32]"]);
    put(zeros(0, DType::BF16)).refused(&[name, "[0]", "[32]"]);
    put(zeros(32, DType::I64)).refused(&[name, "I64"]);
}

#[test]
fn an_index_that_names_a_missing_shard_or_a_path() {
    let folder = model();
    folder.split_in_two();
    folder.remove(SHARDS[1]);
    folder.verify(&[]).refused(&[SHARDS[1]]);
    folder.edit_json(INDEX, |index| index["weight_map"]["lm_head.weight"] = json!("../other.safetensors"));
    folder.verify(&[]).refused(&[INDEX, "not a plain file name"]);
    fs::write(folder.path(INDEX), "{}").unwrap();
    folder.verify(&[]).refused(&[INDEX, "weight_map"]);
}

#[test]
fn a_device_that_this_build_does_not_have() {
    model().verify(&["--device", "gpu"]).refused(&["'gpu' is not a device"]);
    if !cfg!(feature = "cuda") {
        model().verify(&["--device", "cuda"]).refused(&["--features cuda", "or use --device cpu"]);
    }
}
