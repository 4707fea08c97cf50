//! No hub in reach: random weights where the shape is known, said aloud and stamped; else an error.

use serde_json::json;

use crate::place::{Place, SMALL, codes, list, tiny_model};
use crate::stand_in_hub::StandInHub;

fn with<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &["--scenario", "rag"], &SMALL[..]].concat()
}

#[test]
fn a_catalog_model_runs_with_random_weights_and_says_so_everywhere() {
    let place = Place::new();
    let catalog = place.catalog("", "");
    let outcome = place.run(&with(&["tiny", "--catalog", &catalog]));
    let outcome = outcome.assert_done();
    let said: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains("random weights")).collect();
    let [paragraph] = said[..] else { panic!("one paragraph: {}", outcome.stderr) };
    for word in ["could not reach 127.0.0.1:1", "tiny", "ctxbench fetch tiny"] {
        assert!(paragraph.contains(word), "'{word}' is not in {paragraph}");
    }
    let report = place.report();
    let model = &report["models"][0];
    assert_eq!((&model["weights"], &model["tokenizer"]), (&json!("random"), &json!("stand-in")));
    assert_eq!((&model["revision"], list(&model["files"]).len()), (&json!(null), 0));
    for code in ["random_weights", "fallback_to_random_weights", "stand_in_tokenizer"] {
        assert!(codes(&report).contains(&code), "{code} is not among {:?}", codes(&report));
    }
    for output in ["report.md", "report.html"] {
        let text = std::fs::read_to_string(place.path("out").join(output)).unwrap();
        assert!(text.contains("random weights") || text.contains("random_weights"), "{output}");
    }
    assert!(outcome.stdout.contains("random"), "{}", outcome.stdout);
}

#[test]
fn what_was_asked_for_as_random_needs_no_hub_and_is_no_fallback() {
    let (hub, place) = (StandInHub::start(tiny_model(), vec![]), Place::new());
    let catalog = place.catalog("", "");
    let args = with(&["tiny", "--catalog", &catalog, "--weights", "random", "-q", "--format", "json"]);
    let outcome = place.run_with(&hub, &args);
    assert_eq!((outcome.assert_done().stderr.as_str(), outcome.stdout.as_str()), ("", ""));
    assert!(hub.requests().is_empty());
    let report = place.report();
    assert!(codes(&report).contains(&"random_weights"));
    assert!(!codes(&report).contains(&"fallback_to_random_weights"));
    // A repository of the catalog has the same shape; one that is not in it has none.
    let args = with(&["me/other", "--catalog", &catalog, "--weights", "random"]);
    place.run(&args).assert_refused(&["'me/other' has no shape at hand", "catalog id"]);
}

#[test]
fn experts_chosen_by_random_weights_are_said_everywhere_and_dense_models_are_not_accused() {
    let place = Place::new();
    let text = std::fs::read_to_string(place.catalog("intermediate_size = 128\n", "")).unwrap();
    let experts = "[model.shape.experts]\ncount = 8\nused = 2\nwidth = 32\nrenormalise = true\n";
    let catalog = place.file("experts.toml", text.replace("\"qwen3\"", "\"qwen3_moe\"") + experts);
    let outcome = place.run(&with(&["tiny", "--catalog", &catalog, "--weights", "random"]));
    let terminal = outcome.assert_done().stdout.clone();
    assert!(codes(&place.report()).contains(&"random_routing"));
    let file = |name| std::fs::read_to_string(place.path("out").join(name)).unwrap();
    for text in [terminal, file("report.json"), file("report.md"), file("report.html")] {
        assert!(text.contains("random_routing"), "{text}");
    }
    let dense = place.catalog("", "");
    place
        .run(&with(&["tiny", "--catalog", &dense, "--weights", "random", "--output", "dense"]))
        .assert_done();
    assert!(!codes(&place.report_in("dense")).contains(&"random_routing"));
}

#[test]
fn offline_falls_back_too_without_a_request() {
    let (hub, place) = (StandInHub::start(tiny_model(), vec![]), Place::new());
    let catalog = place.catalog("", "");
    let outcome = place.run_with(&hub, &with(&["tiny", "--catalog", &catalog, "--offline"]));
    assert!(outcome.assert_done().stderr.contains("offline mode is on"), "{}", outcome.stderr);
    assert!(codes(&place.report()).contains(&"fallback_to_random_weights"));
    assert!(hub.requests().is_empty());
}

#[test]
fn nothing_stands_in_where_real_weights_are_demanded_or_no_shape_is_known() {
    let place = Place::new();
    let catalog = place.catalog("", "");
    let hub_only = with(&["tiny", "--catalog", &catalog, "--weights", "hub"]);
    place.run(&hub_only).assert_refused(&["could not reach 127.0.0.1:1", "check the network"]);
    place.run(&with(&["o/tiny-qwen3"])).assert_refused(&["could not reach 127.0.0.1:1"]);
    let offline = with(&["o/tiny-qwen3", "--offline"]);
    place.run(&offline).assert_refused(&["o/tiny-qwen3", "not in the cache", "drop --offline"]);
    assert!(!place.path("out").exists());
}

#[test]
fn an_entry_of_the_users_that_shares_a_repository_keeps_its_own_name() {
    let place = Place::new();
    let catalog = place.catalog("me/tiny", "Qwen/Qwen3-0.6B");
    let dry = |model| place.run(&with(&[model, "--catalog", &catalog, "--dry-run", "--offline"])).stdout;
    assert!(dry("tiny").contains("tiny q8_0"), "{}", dry("tiny"));
    assert!(dry("qwen3-0.6b").contains("qwen3-0.6b q8_0"), "{}", dry("qwen3-0.6b"));
    place.run(&with(&["tiny", "--catalog", &catalog, "--offline"])).assert_done();
    assert_eq!(place.report()["models"][0]["id"], "tiny");
}
