//! Folders and files on this machine: weight types, depths, random weights in their shape.

use std::fs;

use serde_json::{Value, json};

use crate::place::{Place, SMALL, codes, fixture, fixture_bytes, ids, list, word};
use crate::stand_in_hub::sha256;

fn with<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &SMALL[..]].concat()
}

#[test]
fn a_folder_is_measured_in_three_weight_types_and_without_a_tokenizer() {
    let place = Place::new();
    let folder = word(&fixture("qwen2"));
    let outcome = place.run(&with(&[&folder, "--quant", "q8_0,q4_0,native", "--scenario", "rag"]));
    outcome.assert_done();
    let report = place.report();
    let expected: Vec<String> =
        ["q8_0", "q4_0", "native"].iter().map(|q| format!("{folder}/{q}/rag/64")).collect();
    assert_eq!(ids(&report), expected);
    let bytes: Vec<u64> =
        list(&report["cases"]).iter().map(|case| case["weights_bytes"].as_u64().expect("known")).collect();
    assert!(bytes[1] < bytes[0] && bytes[0] < bytes[2], "{bytes:?}");
    for case in list(&report["cases"]) {
        if cfg!(target_os = "linux") {
            assert!(case["peak_memory_bytes"].as_u64().expect("Linux tells it") > bytes[2]);
        }
        assert_eq!(list(&case["samples"]).len(), 3);
        assert!(codes(case).contains(&"no_chat_template"));
    }
    let model = &report["models"][0];
    assert_eq!((&model["weights"], &model["tokenizer"]), (&json!("local"), &json!("stand-in")));
    assert_eq!(model["files"][0]["sha256"], sha256(&fixture_bytes("qwen2/model.safetensors")));
    assert!(codes(&report).contains(&"stand_in_tokenizer") && !codes(&report).contains(&"random_weights"));
    // Arms take turns: the samples of one are not all before those of the next.
    let orders = |at: usize| -> Vec<u64> {
        list(&report["cases"][at]["samples"]).iter().filter_map(|sample| sample["order"].as_u64()).collect()
    };
    assert!((0..3).any(|at| orders(at)[2] - orders(at)[0] > 2), "{:?}", [orders(0), orders(1), orders(2)]);
}

#[test]
fn a_gguf_runs_in_the_types_of_its_file_and_no_other() {
    let place = Place::new();
    let quantized = word(&fixture("qwen3/model-q8_0.gguf"));
    let float = word(&fixture("qwen3/model-f32.gguf"));
    place.run(&with(&[&quantized, &float, "--scenario", "rag"])).assert_done();
    let report = place.report();
    let types: Vec<_> = list(&report["cases"]).iter().map(|case| &case["quantization"]).collect();
    assert_eq!(types, [&json!("file:Q8_0"), &json!("q8_0")]);
    assert_eq!(report["models"][0]["files"][0]["sha256"], sha256(&fixture_bytes("qwen3/model-q8_0.gguf")));
    let refused = place.run(&with(&[&quantized, "--quant", "q4_0", "--output", "other"]));
    refused.assert_refused(&["quantized already (Q8_0)", "leave --quant out"]);
}

#[test]
fn random_weights_take_the_shape_of_a_folder_that_has_no_weights_yet() {
    let place = Place::new();
    place.file("shape/config.json", fixture_bytes("qwen3/config.json"));
    place.run(&with(&["./shape", "--weights", "random", "--scenario", "rag"])).assert_done();
    let report = place.report();
    assert_eq!(report["models"][0]["weights"], "random");
    assert!(list(&report["models"][0]["files"]).is_empty());
    assert!(codes(&report).contains(&"random_weights"));
    assert_start_up(&report, &["./shape"]);
    let markdown = fs::read_to_string(place.path("out/report.md")).unwrap();
    assert!(markdown.contains("| Before the first sample | ./shape/q8_0 loaded in "), "{markdown}");
    place.run(&with(&["./shape"])).assert_refused(&["holds no model", "model.safetensors"]);
}

/// What came before the first sample: the models in the order given, and nothing that a processor does not have.
#[track_caller]
fn assert_start_up(report: &Value, models: &[&str]) {
    let start_up = &report["start_up"];
    assert!(start_up["device_ms"].is_number() && start_up["kernels_ms"].is_null(), "{start_up}");
    let arms = list(&start_up["arms"]);
    assert_eq!(arms.iter().filter_map(|arm| arm["model"].as_str()).collect::<Vec<_>>(), models);
    for arm in arms {
        for key in ["load_ms", "first_prompt_ms", "first_step_ms"] {
            assert!(arm[key].as_f64().is_some_and(|ms| ms > 0.0), "{key} in {arm}");
        }
        assert!(arm["capture_ms"].is_null(), "{arm}");
    }
    assert!(report["definitions"]["start_up"].is_string());
}

#[test]
fn depths_are_decoded_from_a_filled_cache_and_have_no_first_token_time() {
    let place = Place::new();
    let folder = word(&fixture("qwen3"));
    place.run(&with(&[&folder, "--scenario", "decode", "--depth", "0,100"])).assert_done();
    let report = place.report();
    let depths: Vec<_> = list(&report["cases"]).iter().map(|case| &case["depth_tokens"]).collect();
    assert_eq!(depths, [&json!(0), &json!(100)]);
    for case in list(&report["cases"]) {
        let summary = &case["summary"];
        assert!(summary["ttft_ms"].is_null() && summary["prefill_ms"].is_null(), "{summary}");
        assert_eq!(summary["tpot_ms"]["n"], 3);
        assert!(summary["decode_tokens_per_s"]["median"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn a_depth_alone_asks_for_its_scenario_beside_the_others() {
    let place = Place::new();
    place.run(&with(&[&word(&fixture("qwen3")), "--depth", "32"])).assert_done();
    let report = place.report();
    let scenarios: Vec<_> = list(&report["cases"]).iter().map(|case| case["scenario"].clone()).collect();
    assert_eq!(scenarios, ["short", "rag", "decode"]);
    assert!(report["cases"][0]["depth_tokens"].is_null());
}

#[test]
fn a_folder_with_a_tokenizer_sends_its_template_and_one_without_sends_plain_text() {
    let place = Place::new();
    for name in ["config.json", "model.safetensors"] {
        place.file(&format!("model/{name}"), fixture_bytes(&format!("qwen3/{name}")));
    }
    place.file("model/tokenizer.json", fixture_bytes("tiny-tokenizer/tokenizer.json"));
    let args = with(&["./model", "--scenario", "rag"]);
    place.run(&args).assert_done();
    let report = place.report();
    assert_eq!(report["models"][0]["tokenizer"], "tokenizer.json");
    assert!(codes(&report).contains(&"no_chat_template") && !codes(&report).contains(&"stand_in_tokenizer"));
    fs::copy(fixture("tiny-tokenizer/tokenizer_config.json"), place.path("model/tokenizer_config.json"))
        .unwrap();
    place.run(&args).assert_done();
    assert!(!codes(&place.report()).contains(&"no_chat_template"));
}

#[test]
fn of_a_folder_with_two_kinds_of_weights_the_choice_is_said() {
    let place = Place::new();
    let args = with(&["--quant", "native", "--scenario", "short"]);
    let both = word(&fixture("qwen3"));
    let outcome = place.run(&[&[both.as_str()], &args[..]].concat());
    outcome.assert_done();
    assert!(outcome.stderr.contains("the safetensors were taken"), "{}", outcome.stderr);
    let gguf = place.file("only/model.gguf", fixture_bytes("qwen3/model-q8_0.gguf"));
    place.file("only/mmproj-model.gguf", "a vision tower");
    let folder = gguf.strip_suffix("/model.gguf").expect("it ends so");
    let outcome = place.run(&[&[folder], &args[..]].concat());
    outcome.assert_done();
    assert!(outcome.stderr.contains("no safetensors, so model.gguf was taken"), "{}", outcome.stderr);
    place.file("only/second.gguf", "another");
    place.run(&[&[folder], &args[..]].concat()).assert_refused(&["model.gguf, second.gguf", "name the one"]);
}
