//! `--longest-context` through the program, on the processor.

use serde_json::{Value, json};

use crate::place::{Place, SMALL, fixture, list, word};

fn with<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &["--scenario", "rag"], &SMALL[..]].concat()
}

fn found(report: &Value) -> &[Value] {
    list(&report["longest_contexts"])
}

#[test]
fn each_model_and_weight_type_gets_the_longest_context_that_ran() {
    let place = Place::new();
    let folder = word(&fixture("qwen3"));
    let outcome = place.run(&with(&[&folder, "--quant", "q8_0,native", "--longest-context=300"]));
    outcome.assert_done();
    let report = place.report();
    assert_eq!(found(&report).len(), 2);
    for (found, quantization) in found(&report).iter().zip(["q8_0", "native"]) {
        assert_eq!((&found["model"], &found["quantization"]), (&json!(folder), &json!(quantization)));
        assert_eq!((&found["tokens"], &found["stopped_by"]), (&json!(300), &json!("asked")));
        assert_eq!((list(&found["attempts"]).len(), &found["device"]), (1, &json!("cpu")));
        assert_eq!(found["memory_bytes"].as_u64().is_some(), cfg!(target_os = "linux"));
    }
    assert!(report["definitions"]["longest_contexts"].is_string());
    assert!(outcome.stdout.contains("The longest context that ran"), "{}", outcome.stdout);
    assert!(list(&report["cases"]).iter().all(|case| list(&case["samples"]).len() == 3));
}

#[test]
fn without_an_end_the_models_own_limit_is_tried_and_said_beforehand() {
    let place = Place::new();
    let folder = word(&fixture("qwen3"));
    let plan = place.run(&with(&[&folder, "--longest-context", "--dry-run"]));
    assert!(
        plan.stdout.contains("the longest context is looked for up to 4,095 tokens (the model's own limit)"),
        "{}",
        plan.stdout
    );
    place.run(&with(&[&folder, "--longest-context"])).assert_done();
    let report = place.report();
    let found = &found(&report)[0];
    assert_eq!((&found["tokens"], &found["stopped_by"]), (&json!(4095), &json!("model_limit")));
}

#[test]
fn a_run_that_did_not_ask_has_none_and_nothing_to_try_is_refused() {
    let place = Place::new();
    let folder = word(&fixture("qwen3"));
    place.run(&with(&[&folder])).assert_done();
    assert!(place.report().get("longest_contexts").is_none());
    let refused = place.run(&with(&[&folder, "--longest-context=0", "--output", "other"]));
    refused.assert_refused(&["--longest-context=0", "leave the number out"]);
}
