//! Every architecture: each file of each fixture agrees with transformers on every path, in f32 and in half
//! precision, and beyond the positions at which rotation tables in half precision give out.

use serde_json::Value;

use crate::folder::{CONFIG, F32_GGUF, Folder, Outcome, REFERENCE, SHARDED, WEIGHTS, loaded};
use crate::{difference, names};
use candle_core::{DType, Device, Tensor};

/// All fixtures but those of far positions: one folder each under `tests/fixtures`.
pub const FAMILY: [&str; 17] = [
    "qwen2",
    "qwen2_moe",
    "qwen3",
    "qwen3_5",
    "qwen3_5_even",
    "qwen3_5_heads_256",
    "qwen3_5_irregular",
    "qwen3_5_moe",
    "qwen3_5_moe_wrapped",
    "qwen3_5_uneven",
    "qwen3_5_wrapped",
    "qwen3_heads_128",
    "qwen3_heads_64",
    "qwen3_moe",
    "qwen3_moe_raw",
    "qwen3_next",
    "qwen3_untied",
];

/// The rows that a fixture's files must give, in order.
fn expected(folder: &Folder) -> Vec<String> {
    let mut rows = Vec::new();
    let mut add = |file: &str, paths: &[&str]| rows.extend(paths.iter().map(|path| format!("{file} {path}")));
    let exact = [
        "prefill short",
        "state short",
        "steps short",
        "chunks short",
        "decode short",
        "greedy short",
        "prefill long",
        "steps long",
        "chunks long",
        "decode long",
    ];
    add(WEIGHTS, &exact);
    for file in folder.gguf_files() {
        match file.contains("q8_0") {
            true => add(&file, &["prefill short", "steps short", "chunks short", "decode short"]),
            false => add(&file, &[&exact[..], &["twin short", "twin long"]].concat()),
        }
    }
    rows
}

fn passed(kind: &str, outcome: &Outcome) -> Vec<Value> {
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "{kind}: {}", outcome.stdout);
    outcome.rows()
}

#[test]
fn every_path_of_every_file_agrees_with_transformers() {
    for kind in FAMILY {
        let folder = Folder::whole(kind);
        let rows = passed(kind, &folder.verify(&["--format", "json"]));
        assert_eq!(names(&rows, true), expected(&folder), "{kind}");
        for row in &rows {
            let (diff, kl) = (row["max_abs_diff"].as_f64(), row["mean_kl"].as_f64());
            match row["path"].as_str().unwrap() {
                "greedy" => assert_eq!((diff, kl), (None, None), "{kind} {row}"),
                "state" => assert!(diff.unwrap() < 1e-4 && row["top1_equal"].is_null(), "{kind} {row}"),
                _ if row["file"] == "model-q8_0.gguf" => assert!(kl.unwrap() < 0.05, "{kind} {row}"),
                _ => assert!(diff.unwrap() < 1e-4 && kl.unwrap() < 1e-9, "{kind} {row}"),
            }
        }
    }
}

#[test]
fn half_precision_stays_within_the_noise_of_transformers_own() {
    for kind in FAMILY {
        let folder = Folder::without_quantized(kind);
        for dtype in ["bf16", "f16"] {
            let rows = passed(kind, &folder.verify(&["--dtype", dtype, "--format", "json"]));
            let per_file = rows.len() / (1 + folder.gguf_files().len());
            assert_eq!(per_file, 4, "{kind}: prefill, steps, chunks and decode of the short prompt");
            assert!(
                difference(&rows, &format!("{WEIGHTS} prefill short")) > 1e-4,
                "{kind} {dtype}: not rounded"
            );
        }
    }
}

#[test]
fn half_precision_needs_a_measure_of_noise() {
    let folder = Folder::with("qwen3", &[CONFIG, WEIGHTS, REFERENCE]);
    folder.edit_tensors(REFERENCE, |tensors| drop(tensors.remove("bf16_prefill")));
    folder.verify(&["--dtype", "bf16"]).refused(&["no bf16_prefill", "--dtype f32"]);
}

#[test]
fn half_precision_with_far_less_noise_allowed_fails() {
    let folder = Folder::with("qwen3_5", &[CONFIG, WEIGHTS, REFERENCE]);
    folder.edit_tensors(REFERENCE, |tensors| {
        let (exact, rounded) = (&tensors["short_prefill"], &tensors["bf16_prefill"]);
        // Far less than a tenth: where a processor has no products in bf16, they are made in f32, and little is rounded.
        let thousandth = ((rounded - exact).unwrap() * 1e-3).unwrap();
        let closer = (exact + thousandth).unwrap();
        tensors.insert("bf16_prefill".into(), closer);
    });
    assert_eq!(folder.verify(&["--dtype", "bf16"]).code, 1);
}

#[test]
fn beyond_2048_and_beyond_65504_every_path_agrees_with_transformers_in_f64() {
    for kind in ["far_qwen3", "far_qwen3_5"] {
        let folder = Folder::whole(kind);
        let rows = passed(kind, &folder.verify(&["--format", "json"]));
        for file in [WEIGHTS, F32_GGUF] {
            for path in ["prefill", "steps", "chunks"] {
                let worst = difference(&rows, &format!("{file} {path} far"));
                assert!(worst < 1e-4, "{kind} {file} {path}: {worst}");
            }
        }
        assert!(difference(&rows, &format!("{F32_GGUF} twin far")) < 1e-5, "{kind}");
    }
}

#[test]
fn a_state_that_is_off_fails_alone() {
    let folder = Folder::with("qwen3_5", &[CONFIG, WEIGHTS, F32_GGUF, REFERENCE]);
    for name in ["state.1.recurrent", "state.2.conv", "state.3.key", "state.3.value"] {
        let original = loaded(&folder.path(REFERENCE))[name].clone();
        folder.edit_tensors(REFERENCE, |tensors| {
            let mut values = original.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            *values.last_mut().unwrap() += 2e-3;
            let changed = Tensor::from_vec(values, original.shape(), &Device::Cpu).unwrap();
            tensors.insert(name.into(), changed);
        });
        let outcome = folder.verify(&["--format", "json"]);
        assert_eq!(outcome.code, 1, "{name}");
        let failed = [WEIGHTS, F32_GGUF].map(|file| format!("{file} state short"));
        assert_eq!(names(&outcome.rows(), false), failed, "{name}");
        folder.edit_tensors(REFERENCE, |tensors| drop(tensors.insert(name.into(), original)));
    }
    folder.edit_tensors(REFERENCE, |tensors| drop(tensors.remove("state.0.recurrent")));
    folder.verify(&[]).refused(&["no state.0.recurrent", "make the reference again"]);
}

#[test]
fn a_gguf_file_with_one_number_changed_is_no_twin() {
    let folder = Folder::with("qwen3_5", &[CONFIG, WEIGHTS, F32_GGUF, REFERENCE]);
    folder.edit_f32_of_gguf(F32_GGUF, "output_norm.weight", |norm| norm[3] *= 1.002);
    let outcome = folder.verify(&["--tolerance", "0.1", "--format", "json"]);
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    let failed = ["short", "long"].map(|prompt| format!("{F32_GGUF} twin {prompt}"));
    assert_eq!(names(&outcome.rows(), false), failed);
}

#[test]
fn one_changed_weight_of_a_net_a_router_or_an_expert_fails() {
    for (kind, name) in [
        ("qwen3_5", "model.layers.1.linear_attn.A_log"),
        ("qwen3_5", "model.layers.0.linear_attn.dt_bias"),
        ("qwen3_5_even", "model.layers.4.linear_attn.norm.weight"),
        ("qwen3_next", "model.layers.0.linear_attn.in_proj_ba.weight"),
        ("qwen3_moe", "model.layers.1.mlp.experts.3.down_proj.weight"),
        ("qwen3_5_moe", "model.layers.1.mlp.gate.weight"),
        ("qwen2_moe", "model.layers.1.mlp.shared_expert_gate.weight"),
    ] {
        let folder = Folder::with(kind, &[CONFIG, WEIGHTS, REFERENCE]);
        folder.edit_tensors(WEIGHTS, |tensors| {
            let (stored, shape) = (tensors[name].dtype(), tensors[name].shape().clone());
            let flat = tensors[name].to_dtype(DType::F32).unwrap().flatten_all().unwrap();
            let mut values = flat.to_vec1::<f32>().unwrap();
            values[0] += 0.5;
            let changed = Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(stored).unwrap();
            tensors.insert(name.into(), changed);
        });
        assert_eq!(folder.verify(&[]).code, 1, "{kind} {name}");
    }
}

#[test]
fn vision_and_the_block_that_predicts_ahead_are_there_and_are_skipped() {
    let folder = Folder::whole(SHARDED);
    let stored = folder.stored_names();
    assert!(stored.iter().any(|name| name.starts_with("model.visual.")), "{stored:?}");
    assert!(stored.iter().any(|name| name.starts_with("mtp.layers.0.")), "{stored:?}");
    let alone = Folder::with("qwen3_5", &[CONFIG, WEIGHTS, REFERENCE]).verify(&["--format", "json"]).rows();
    let within = folder.verify(&["--format", "json"]).rows();
    assert_eq!(alone[..], within[..alone.len()], "the same text model inside and outside the wrapper");
}
