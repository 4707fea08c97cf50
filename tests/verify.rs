//! `ctxbench verify` through the program: what agrees with transformers, and what does not.
//!
//! The models and their reference logits lie in `tests/fixtures`; every change is made to a copy. What holds
//! for every architecture is in `verify/family.rs`.

mod common;

#[path = "verify/bad_family.rs"]
mod bad_family;
#[path = "verify/bad_gguf.rs"]
mod bad_gguf;
#[path = "verify/bad_input.rs"]
mod bad_input;
#[path = "verify/family.rs"]
mod family;
#[path = "verify/folder.rs"]
mod folder;

use candle_core::{DType, Tensor};
use folder::{CONFIG, Folder, KINDS, Q8_0_GGUF, REFERENCE, WEIGHTS};
use serde_json::{Value, json};

/// `rows` as `file path prompt`, those only whose `pass` is `pass`.
fn names(rows: &[Value], pass: bool) -> Vec<String> {
    let text = |row: &Value, key: &str| row[key].as_str().expect("a text").to_owned();
    let wanted = rows.iter().filter(|row| row["pass"] == pass);
    wanted.map(|r| [text(r, "file"), text(r, "path"), text(r, "prompt")].join(" ")).collect()
}

fn difference(rows: &[Value], name: &str) -> f64 {
    let named =
        |row: &&Value| [true, false].iter().any(|pass| names(std::slice::from_ref(row), *pass) == [name]);
    rows.iter().find(named).expect("a row of that name")["max_abs_diff"].as_f64().expect("a number")
}

#[test]
fn a_row_has_these_keys() {
    let outcome = Folder::with("qwen3", &[CONFIG, WEIGHTS, REFERENCE]).verify(&["--format", "json"]);
    for row in outcome.rows() {
        let keys: Vec<&String> = row.as_object().unwrap().keys().collect();
        let numbers = ["max_abs_diff", "mean_kl", "max_kl", "top1_share"];
        assert_eq!(keys, [&["file", "path", "prompt"][..], &numbers, &["top1_equal", "pass"]].concat());
    }
}

#[test]
fn a_logit_that_is_two_thousandths_off_fails_and_a_wider_tolerance_lets_it_pass() {
    let folder = Folder::with("qwen3", &[CONFIG, WEIGHTS, REFERENCE]);
    folder.edit_tensors(REFERENCE, |tensors| {
        let logits = tensors["short_prefill"].clone();
        let mut values = logits.to_vec2::<f32>().unwrap();
        values[20][300] += 2e-3;
        tensors.insert("short_prefill".into(), Tensor::new(values, logits.device()).unwrap());
    });
    let outcome = folder.verify(&["--format", "json"]);
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    let failed = ["prefill", "steps", "chunks", "decode"].map(|path| format!("{WEIGHTS} {path} short"));
    assert_eq!(names(&outcome.rows(), false), failed);
    assert_eq!(folder.verify(&["--tolerance", "3e-3"]).code, 0);
    assert_eq!(folder.verify(&["--tolerance", "1e-9"]).code, 1);
}

#[test]
fn one_changed_weight_fails() {
    for kind in KINDS {
        let folder = Folder::with(kind, &[CONFIG, WEIGHTS, REFERENCE]);
        folder.edit_tensors(WEIGHTS, |tensors| {
            let name = "model.layers.2.self_attn.v_proj.weight";
            let weight = tensors[name].to_dtype(DType::F32).unwrap();
            let mut values = weight.to_vec2::<f32>().unwrap();
            values[3][5] += 0.25;
            let changed = Tensor::new(values, weight.device()).unwrap().to_dtype(DType::BF16).unwrap();
            tensors.insert(name.into(), changed);
        });
        let outcome = folder.verify(&[]);
        assert_eq!(outcome.code, 1, "{}", outcome.stderr);
        assert!(
            outcome.stdout.contains("FAIL") && outcome.stdout.contains("do not agree"),
            "{}",
            outcome.stdout
        );
    }
}

#[test]
fn another_greedy_continuation_fails_alone() {
    let folder = Folder::with("qwen2", &[CONFIG, WEIGHTS, REFERENCE]);
    folder.edit_tensors(REFERENCE, |tensors| {
        let mut ids = tensors["greedy_ids"].to_vec1::<i64>().unwrap();
        *ids.last_mut().unwrap() += 1;
        tensors.insert("greedy_ids".into(), Tensor::new(ids, &candle_core::Device::Cpu).unwrap());
    });
    let outcome = folder.verify(&["--format", "json"]);
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    assert_eq!(names(&outcome.rows(), false), [format!("{WEIGHTS} greedy short")]);
}

#[test]
fn shards_with_an_index_give_the_same_logits_as_one_file() {
    for kind in KINDS {
        let folder = Folder::with(kind, &[CONFIG, WEIGHTS, REFERENCE]);
        let one = folder.verify(&["--format", "json"]).rows();
        folder.split_in_two();
        let outcome = folder.verify(&["--format", "json"]);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        assert_eq!(outcome.rows(), one, "{kind}");
    }
}

#[test]
fn a_folder_needs_only_one_kind_of_file() {
    let gguf = Folder::with("qwen3", &[Q8_0_GGUF, REFERENCE]).verify(&["--format", "json"]);
    assert_eq!((gguf.code, gguf.rows().len()), (0, 4), "{}", gguf.stderr);
}

#[test]
fn the_table_has_one_line_a_row_and_a_verdict() {
    let outcome = Folder::with("qwen3", &[Q8_0_GGUF, REFERENCE]).verify(&["--threads", "1"]);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines.len(), 1 + 3 + 4 + 1, "{}", outcome.stdout); // header, rules, rows, verdict
    assert!(lines.iter().all(|line| line.trim_end() == *line), "{}", outcome.stdout);
    assert_eq!(lines.last(), Some(&"every path agrees with the reference"));
}

#[test]
fn a_tied_head_ignores_a_stored_copy_as_transformers_does() {
    let folder = Folder::with("qwen3", &[CONFIG, WEIGHTS, REFERENCE]);
    folder.edit_tensors(WEIGHTS, |tensors| {
        let other = tensors["model.embed_tokens.weight"].zeros_like().unwrap();
        tensors.insert("lm_head.weight".into(), other);
    });
    assert_eq!(folder.verify(&[]).code, 0);
    folder.edit_json(CONFIG, |config| config["tie_word_embeddings"] = json!(false));
    assert_eq!(folder.verify(&[]).code, 1, "an untied head of zeros cannot agree");
}
