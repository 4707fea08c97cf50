//! Every arm in one report, the index found again, a tuned model, answers.

use serde_json::{Value, json};

use crate::common::packages;
use crate::experiment::{case, model, rag, report, verdict};
use crate::place::{Outcome, Place, codes, fixture, list, word};

const RANDOM: [&str; 5] = ["tiny", "--weights", "random", "--embedder", "stand-in"];

fn ids(case: &Value) -> Vec<&Value> {
    list(&case["samples"]).iter().map(|sample| &sample["question_id"]).collect()
}

#[test]
fn random_weights_give_every_arm_paired_and_stamped() {
    let place = Place::new();
    let catalog = place.catalog("", "");
    let outcome = rag(&place, &[&RANDOM[..], &["--catalog", &catalog]].concat());
    outcome.assert_done();
    let report = report(&place, "out");
    let arms: Vec<&str> =
        list(&report["cases"]).iter().filter_map(|case| case["scenario"].as_str()).collect();
    assert_eq!(arms, ["short", "padded", "rag", "rag_warm_prefix", "rag_warm_document", "hybrid"]);
    for arm in &arms {
        assert_eq!(ids(case(&report, arm)), ids(case(&report, "short")), "{arm} asks the same questions");
        assert_eq!(list(&case(&report, arm)["samples"]).len(), 3);
    }
    let tokens = |arm: &str| -> Vec<Value> {
        list(&case(&report, arm)["samples"]).iter().map(|sample| sample["prompt_tokens"].clone()).collect()
    };
    assert_eq!(tokens("padded"), tokens("rag"), "padded is exactly as long as its twin");
    let routed = list(&case(&report, "hybrid")["samples"]).iter().filter(|s| s["routed"] == true).count();
    assert!((1..=2).contains(&routed), "half of the questions are routed: {routed}");
    for code in ["random_weights", "stand_in_embedder", "forced_routing", "base_weights_stand_in"] {
        assert!(codes(&report).contains(&code), "{code}: {:?}", codes(&report));
    }
    for id in ["H5", "H6a", "H9", "H11"] {
        assert_eq!(verdict(&report, id)["status"], "not_testable", "{id}");
    }
    assert_eq!(list(&report["verdicts"]).len(), 8);
    assert_eq!((&report["router"]["kind"], &report["router"]["precision"]), (&json!("forced"), &Value::Null));
    assert_eq!(report["retrieval"]["recall_at_10"], 1.0);
    let named = |name: &str| list(&report["pairs"]).iter().any(|pair| pair["name"] == name);
    assert!(named("context tax") && named("retrieval tax"));
    assert!(outcome.stdout.contains("H6"), "{}", outcome.stdout);
    let page = std::fs::read_to_string(place.path("out/report.html")).unwrap();
    assert!(page.contains("context tax"));
}

#[test]
fn an_index_is_found_again_until_something_changes() {
    let place = Place::new();
    let catalog = place.catalog("", "");
    let run = |more: &[&str], out: &str| {
        let few = ["--catalog", &catalog, "--arms", "short,rag", "--output", out];
        rag(&place, &[&RANDOM[..], &few, more].concat()).assert_done();
        report(&place, out)["retrieval"].clone()
    };
    let first = run(&[], "first");
    assert_eq!((&first["index_reused"], first["index_build_ms"].is_f64()), (&json!(false), true));
    let second = run(&[], "second");
    assert_eq!((&second["index_reused"], &second["index_build_ms"]), (&json!(true), &Value::Null));
    let cut_otherwise = run(&["--chunk-tokens", "48"], "third");
    assert_eq!(cut_otherwise["index_reused"], false);
    let grown = run(&["--chunks", "300"], "fourth");
    assert_eq!((&grown["chunks"], &grown["index_reused"]), (&json!(300), &json!(false)));
}

#[test]
fn real_weights_decide_and_answer_for_themselves() {
    let place = Place::new();
    let (model, adapter) = (model(&place), word(&fixture("adapters/dense")));
    let more = ["--embedder", "stand-in", "--answers", "3", "--adapter", &adapter];
    rag(&place, &[&[&*model], &more[..]].concat()).assert_done();
    let report = report(&place, "out");
    assert_eq!(report["router"]["kind"], "tool_call");
    let answered: Vec<(&Value, &Value)> =
        list(&report["answers"]).iter().map(|answer| (&answer["scenario"], &answer["n"])).collect();
    let three = json!(3);
    assert_eq!(answered, [(&json!("short"), &three), (&json!("rag"), &three), (&json!("hybrid"), &three)]);
    assert!(
        !codes(&report).contains(&"base_weights_stand_in") && !codes(&report).contains(&"forced_routing")
    );
    // A model of this size knows nothing, by heart or by reading.
    assert_eq!(report["answers"][0]["correct"], 0);
    assert_ne!(verdict(&report, "H5")["reason"], "");
}

#[test]
fn the_real_embedder_is_imported_checked_and_used_offline() {
    let Some(files) = packages::minilm() else { return };
    let place = Place::new();
    let from = word(files);
    let fetched =
        place.command(&["fetch", "all-minilm-l6-v2", "--offline", "--from", &from]).output().unwrap();
    Outcome::of(fetched).assert_done();
    let catalog = place.catalog("", "");
    let args = ["tiny", "--weights", "random", "--catalog", &catalog, "--arms", "short,rag,hybrid"];
    rag(&place, &[&args[..], &["--router", "similarity"]].concat()).assert_done();
    let report = report(&place, "out");
    assert_eq!(report["retrieval"]["embedder"], "all-minilm-l6-v2");
    assert!(!codes(&report).contains(&"stand_in_embedder"));
    assert!(report["retrieval"]["embed_tokens_per_s"].as_f64().unwrap() > 0.0);
    assert!(report["retrieval"]["gold_in_hits"].as_f64().unwrap() > 0.5, "{}", report["retrieval"]);
    let router = &report["router"];
    assert_eq!(router["kind"], "similarity");
    assert!(router["precision"].as_f64().unwrap() > 0.5 && router["threshold"].is_f64(), "{router}");
}
