//! `reports/schema.json` against the structs: whole, closed, and broken on purpose.

mod common;

use std::path::Path;

use jsonschema::Validator;
use serde_json::Value;

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the schema is there"))
        .expect("the schema is JSON")
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).expect("the schema is a schema")
}

/// Keys that only a report of `ctxbench rag` has, or one of a box that was measured, or of a card: the only ones that may
/// be absent.
const OPTIONAL: [&str; 23] = [
    "environment/cpu_isa",
    "environment/card",
    "environment/rates_are_of_a_card",
    "card_identity/unread",
    "card_state/unread",
    "case/out_of_memory",
    "case/card",
    "/longest_contexts",
    "/start_up",
    "fit/roof",
    "summary/prefill_of_limit",
    "/retrieval",
    "/pairs",
    "/router",
    "/answers",
    "/verdicts",
    "/rules_date",
    "/not_tested",
    "sample/question_id",
    "sample/stages_ms",
    "sample/rag_ttft_ms",
    "sample/routed",
    "summary/rag_ttft_ms",
];

/// Fully populated: each optional field has a value somewhere in it.
fn document() -> Value {
    serde_json::to_value(common::synthetic::document()).expect("a document is JSON")
}

/// The same of a run on a card, with the longest context looked for.
fn on_a_card() -> Value {
    let mut document = common::synthetic::document();
    common::card::put_on_a_card(&mut document);
    serde_json::to_value(document).expect("a document is JSON")
}

/// The same of an experiment.
fn experiment() -> Value {
    serde_json::to_value(common::rag::document()).expect("a document is JSON")
}

fn errors(document: &Value) -> Vec<String> {
    validator().iter_errors(document).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

/// Calls `visit` with the path of every object and each of its keys.
fn every_key(value: &Value, path: &str, visit: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                visit(path, key);
                every_key(inner, &format!("{path}/{key}"), visit);
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                every_key(inner, &format!("{path}/{at}"), visit);
            }
        }
        _ => {}
    }
}

#[test]
fn the_schema_is_itself_valid() {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
}

#[test]
fn a_document_fits_the_schema_field_by_field() {
    assert_eq!(errors(&document()), Vec::<String>::new());
    assert_eq!(errors(&experiment()), Vec::<String>::new());
    assert_eq!(errors(&on_a_card()), Vec::<String>::new());
}

#[test]
fn the_published_runs_fit_the_schema() {
    for run in ["example", "qwen3-against-qwen3.5"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports").join(run).join("report.json");
        let report: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(errors(&report), Vec::<String>::new(), "{run}");
    }
}

#[test]
fn a_document_with_a_key_missing_or_renamed_is_refused() {
    let keys = refuses_every_change(document());
    assert!(keys > 150, "{keys} keys");
}

#[test]
fn a_report_of_a_card_with_a_key_missing_or_renamed_is_refused() {
    let keys = refuses_every_change(on_a_card());
    assert!(keys > 210, "{keys} keys");
}

#[test]
fn an_experiment_with_a_key_missing_or_renamed_is_refused() {
    let mut experiment = experiment();
    // The hybrid has every key that a sample may have.
    let cases = experiment["cases"].as_array_mut().unwrap();
    cases.retain(|case| case["scenario"] == "hybrid");
    for pointer in ["/pairs", "/router/mix", "/router/crossings", "/answers", "/verdicts", "/not_tested"] {
        experiment.pointer_mut(pointer).unwrap().as_array_mut().unwrap().truncate(1);
    }
    experiment["retrieval"]["by_size"].as_array_mut().unwrap().truncate(1);
    let keys = refuses_every_change(experiment);
    assert!(keys > 250, "{keys} keys");
}

/// Takes each key away and gives it another name; returns how many there are.
fn refuses_every_change(mut document: Value) -> usize {
    // One case with all its parts is enough, and keeps this quick.
    for list in ["cases", "fits"] {
        document[list].as_array_mut().expect("a list").truncate(1);
    }
    let one = |value: &mut Value| value.as_array_mut().expect("a list").truncate(1);
    one(&mut document["cases"][0]["samples"]);
    if !document["fits"].as_array().expect("a list").is_empty() {
        one(&mut document["fits"][0]["rag_over_short_ttft"]);
    }
    let validator = validator();
    assert!(validator.is_valid(&document));
    let may_be_absent = |path: &str, key: &str| {
        let room = match path {
            "" => "",
            "/environment" => "environment",
            "/fits/0" => "fit",
            "/cases/0" => "case",
            "/environment/card/identity" => "card_identity",
            "/environment/card/before" | "/environment/card/after" => "card_state",
            path if path.ends_with("/summary") => "summary",
            _ => "sample",
        };
        OPTIONAL.contains(&format!("{room}/{key}").as_str()) && !path.starts_with("/retrieval")
    };
    let free = [
        "/definitions",
        "/environment/versions",
        "/environment/matmul_flops_per_s",
        "/environment/card/identity/unread",
        "/environment/card/before/unread",
    ];
    let mut keys = Vec::new();
    every_key(&document, "", &mut |path, key| keys.push((path.to_owned(), key.to_owned())));
    for (path, key) in keys.iter().filter(|(path, _)| !free.contains(&path.as_str())) {
        let mut broken = document.clone();
        let object = broken.pointer_mut(path).expect("it is there").as_object_mut().expect("an object");
        let value = object.shift_remove(key).expect("the key is there");
        assert!(!validator.is_valid(&broken) || may_be_absent(path, key), "{path}/{key} may be missing");
        let object = broken.pointer_mut(path).expect("it is there").as_object_mut().expect("an object");
        object.insert(format!("{key}_renamed"), value);
        assert!(!validator.is_valid(&broken), "{path}/{key} may be renamed");
    }
    keys.len()
}

#[test]
fn a_key_more_than_the_schema_has_is_refused() {
    let mut document = document();
    document["cases"][0]["summary"]["tokens_per_s"] = 1.0.into();
    assert!(errors(&document).iter().any(|e| e.contains("tokens_per_s")));
}

#[test]
fn a_number_of_the_wrong_kind_is_refused() {
    for (pointer, wrong) in [
        ("/seed", Value::from("42")),
        ("/cases/0/context_tokens", Value::from(-1)),
        ("/cases/0/summary/ttft_ms/median", Value::Null),
        ("/validity/status", Value::from("GOOD")),
        ("/models/0/weights", Value::from("Hub")),
        ("/models/0/files/1/sha256", Value::from("abc")),
    ] {
        let mut document = document();
        *document.pointer_mut(pointer).unwrap() = wrong;
        assert!(!errors(&document).is_empty(), "{pointer} took the wrong kind");
    }
}

#[test]
fn every_object_of_the_schema_is_closed_and_described() {
    fn check(value: &Value, path: &str) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            assert!(value.get("additionalProperties").is_some(), "{path} takes any key");
            let required: Vec<&str> =
                value["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
            for (key, property) in properties {
                let here = format!("{path}/{key}");
                let optional = OPTIONAL.contains(&here.as_str());
                assert_eq!(required.contains(&key.as_str()), !optional, "{here}");
                assert!(property.get("description").is_some(), "{path}/{key} is not described");
                check(property, &format!("{path}/{key}"));
            }
        }
        for key in ["items", "additionalProperties"] {
            if let Some(inner) = value.get(key) {
                check(inner, &format!("{path}/{key}"));
            }
        }
    }
    let schema = schema();
    check(&schema, "");
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        check(definition, name);
    }
}
