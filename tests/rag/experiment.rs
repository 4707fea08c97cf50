//! An experiment in a place of its own, and what every report of one must keep.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::place::{Outcome, Place, assert_valid, fixture, fixture_bytes, list, word};

/// Small chunks, few blocks, few output tokens; one thread, since two wait for each other on a busy box.
const SMALL: [[&str; 2]; 9] = [
    ["--output", "out"],
    ["--index", "indexes"],
    ["--runs", "3"],
    ["--retrievals", "20"],
    ["--top-k", "2"],
    ["--chunk-tokens", "64"],
    ["--chunk-overlap", "8"],
    ["--output-tokens", "4"],
    ["--threads", "1"],
];

/// `ctxbench rag ARGS` with the small numbers where they name no others, over the tests' corpus, into `out`.
pub fn rag(place: &Place, args: &[&str]) -> Outcome {
    Outcome::of(rag_command(place, args).output().expect("the program starts"))
}

/// The same, not started.
pub fn rag_command(place: &Place, args: &[&str]) -> Command {
    let corpus = word(&fixture("corpus"));
    let mut words = vec!["rag", "--offline"];
    for [name, value] in SMALL.iter().chain([&["--corpus", &corpus]]) {
        if !args.contains(name) {
            words.extend([*name, *value]);
        }
    }
    words.extend(args);
    place.command(&words)
}

/// The report in `folder`, held against the schema and against itself.
#[track_caller]
pub fn report(place: &Place, folder: &str) -> Value {
    let text = fs::read_to_string(place.path(folder).join("report.json")).expect("a report was written");
    let report: Value = serde_json::from_str(&text).expect("a report is JSON");
    assert_valid(&report);
    for case in list(&report["cases"]) {
        for sample in list(&case["samples"]).iter().filter(|sample| sample["error"].is_null()) {
            assert_ledger(case, sample);
        }
    }
    report
}

/// The stages are part of the time that was measured beside them.
#[track_caller]
fn assert_ledger(case: &Value, sample: &Value) {
    let whole = sample["rag_ttft_ms"].as_f64().expect("a time");
    let stages = sample["stages_ms"].as_object().expect("a ledger");
    let sum: f64 = stages.values().filter_map(Value::as_f64).sum();
    assert!(sum <= whole + 1e-6 && sum > 0.5 * whole, "{}: {sum} of {whole}", case["id"]);
    let retrieves = !["short", "padded"].contains(&case["scenario"].as_str().unwrap_or_default());
    let routed = sample["routed"] != Value::Bool(false);
    // A router by similarity searches for every question, and fetches for those it routes.
    assert_eq!(stages["fetch"].is_f64(), retrieves && routed, "{sample}");
    assert_eq!(stages["rerank"], Value::Null);
    assert!(sample["question_id"].is_string());
}

/// The case of that scenario.
#[track_caller]
pub fn case<'a>(report: &'a Value, scenario: &str) -> &'a Value {
    let found = list(&report["cases"]).iter().find(|case| case["scenario"] == scenario);
    found.unwrap_or_else(|| panic!("no case of scenario {scenario}"))
}

/// The verdict on that claim.
#[track_caller]
pub fn verdict<'a>(report: &'a Value, id: &str) -> &'a Value {
    let found = list(&report["verdicts"]).iter().find(|verdict| verdict["id"] == id);
    found.unwrap_or_else(|| panic!("no verdict on {id}"))
}

/// A folder with a whole small model: weights, tokenizer, chat template.
pub fn model(place: &Place) -> String {
    for (name, from) in [
        ("config.json", "qwen3/config.json"),
        ("model.safetensors", "qwen3/model.safetensors"),
        ("tokenizer.json", "tiny-tokenizer/tokenizer.json"),
        ("tokenizer_config.json", "tiny-tokenizer/tokenizer_config.json"),
    ] {
        place.file(&format!("model/{name}"), fixture_bytes(from));
    }
    word(&place.path("model"))
}
