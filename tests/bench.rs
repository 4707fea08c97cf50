//! `ctxbench bench` through the real program, on the processor: what it stamps, and the stages of a start.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// `ctxbench bench MODEL WORDS`, with nothing of this process's environment and no hub.
fn bench(model: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctxbench"));
    command.arg("bench").arg(model).args(words).args(["--threads", "1"]).env_clear().stdin(Stdio::null());
    command.env("HF_ENDPOINT", "http://127.0.0.1:1").env("HOME", "/nowhere");
    command.output().expect("the program starts")
}

#[track_caller]
fn said(output: Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON object")
}

#[track_caller]
fn assert_refused(output: Output, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && output.stdout.is_empty(), "{error}");
    words.iter().for_each(|word| assert!(error.contains(word), "'{word}' is not in {error}"));
}

/// A folder that has the fixture's configuration and nothing else.
fn shape_alone(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let config = fixture(name).join("config.json");
    std::fs::copy(config, folder.path().join("config.json")).expect("the configuration can be copied");
    folder
}

/// Each stage is there, and they add up to the whole.
#[track_caller]
fn assert_stages(said: &Value) {
    let stages = said["stages_ms"].as_object().expect("stages");
    let mut names: Vec<&str> = stages.keys().map(String::as_str).collect();
    names.sort();
    assert_eq!(names, ["cache", "device", "kernels", "process", "prompt", "token", "weights"]);
    assert!(stages["kernels"].is_null(), "the processor loads no kernels");
    for name in ["weights", "cache", "prompt", "token"] {
        assert!(stages[name].as_f64().expect("a time") > 0.0, "{name}: {said}");
    }
    if cfg!(target_os = "linux") {
        let sum: f64 = stages.values().filter_map(Value::as_f64).sum();
        assert!((said["first_token_ms"].as_f64().expect("a time") - sum).abs() < 1e-6, "{said}");
    }
}

#[test]
fn a_start_with_random_weights_needs_a_shape_alone_and_is_stamped() {
    for (name, dtype) in [("qwen3", "f32"), ("qwen3_5", "bf16")] {
        let folder = shape_alone(name);
        let start =
            || said(bench(folder.path(), &["--weights", "random", "--start", "32", "--dtype", dtype]));
        let first = start();
        assert_eq!((&first["weights"], &first["dtype"]), (&json!("random"), &json!(dtype)));
        assert_eq!((&first["prompt_tokens"], &first["device"]), (&json!(32), &json!("cpu")));
        assert_stages(&first);
        assert_eq!(first["first_token"], start()["first_token"], "one seed, one token");
    }
}

#[test]
fn a_start_from_a_file_says_that_its_weights_are_its_own() {
    let found = said(bench(&fixture("qwen3"), &["--start", "1"]));
    assert_eq!((&found["weights"], &found["prompt_tokens"]), (&json!("local"), &json!(1)));
    assert_stages(&found);
    let random = said(bench(&fixture("qwen3"), &["--start", "1", "--weights", "random"]));
    assert_eq!(random["weights"], "random");
}

#[test]
fn prompts_and_steps_with_random_weights_are_stamped_too() {
    let gguf = fixture("qwen3/model-q8_0.gguf");
    for words in [&["--prefill", "16"][..], &["--depth", "16", "--steps", "4"]] {
        let found = said(bench(&gguf, &[&["--weights", "random", "--runs", "2"], words].concat()));
        assert_eq!(
            (&found["weights"], found["tokens_per_s"].as_array().map(Vec::len)),
            (&json!("random"), Some(2))
        );
        assert_eq!(said(bench(&gguf, words))["weights"], "local");
    }
}

#[test]
fn what_has_no_shape_and_what_is_no_start_is_refused() {
    let unknown = bench(Path::new("qwen3-9b"), &["--weights", "random", "--start", "32"]);
    assert_refused(unknown, &["qwen3-9b"]);
    assert_refused(bench(&fixture("qwen3"), &["--start", "32", "--runs", "3"]), &["--start", "--runs"]);
    assert_refused(bench(&fixture("qwen3"), &["--start", "0"]), &["0"]);
    assert_refused(bench(&fixture("qwen3"), &[]), &["--prefill"]);
}
