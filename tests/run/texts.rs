//! The user's own documents and scenario texts, good and bad.

use std::fs;
use std::path::Path;

use crate::place::{Place, SMALL, codes, fixture, list, word};

/// A run over a tiny shape with random weights: what is wrong with texts does not need more.
fn args<'a>(catalog: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["tiny", "--catalog", catalog, "--weights", "random"], more, &SMALL[..]].concat()
}

#[test]
fn documents_and_scenarios_of_the_users_take_the_place_of_the_shipped_ones() {
    let place = Place::new();
    let catalog = place.catalog("", "");
    let corpus = word(&fixture("corpus"));
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts/scenarios.toml");
    let prompts = place.file("mine.toml", fs::read(shipped).unwrap());
    // Longer than the corpus, so that its passages are varied.
    place
        .run(&args(&catalog, &["--corpus", &corpus, "--prompts", &prompts, "--context", "2k"]))
        .assert_done();
    let report = place.report();
    let lengths: Vec<_> = list(&report["cases"]).iter().map(|case| case["context_tokens"].as_u64()).collect();
    assert_eq!(lengths[1..], [Some(64), Some(2048)]);
    assert!(!codes(&report["cases"][2]).contains(&"context_truncated"));
    // Documents without questions are asked generic ones.
    place.file("plain/a.txt", "The oven in the north hall takes nine loaves. ".repeat(60));
    place.run(&args(&catalog, &["--corpus", "plain", "--scenario", "rag"])).assert_done();
    place.report();
}

#[test]
fn a_corpus_that_is_none_is_refused() {
    let place = Place::new();
    let catalog = place.catalog("", "");
    let refused = |corpus: &str, words: &[&str]| {
        place.run(&args(&catalog, &["--corpus", corpus])).assert_refused(words);
    };
    refused("nowhere", &["'nowhere' does not exist", "--corpus"]);
    fs::create_dir(place.path("empty")).unwrap();
    refused("empty", &["'empty' holds no .md or .txt file", "leave --corpus out"]);
    place.file("blank/a.md", " \n");
    refused("blank", &["holds no .md or .txt file with text"]);
    place.file("latin/a.txt", b"caf\xe9 au lait");
    refused("latin", &["a.txt' is not UTF-8", "offset 3", "iconv"]);
    assert!(!place.path("out").exists());
}

#[test]
fn a_broken_scenario_file_or_catalog_is_named_with_its_line() {
    let place = Place::new();
    let catalog = place.catalog("", "");
    let broken = place.file("broken.toml", "[short]\ndetails = 3\n");
    place.run(&args(&catalog, &["--prompts", &broken])).assert_refused(&["broken.toml", "line"]);
    place.run(&args(&catalog, &["--prompts", "nowhere.toml"])).assert_refused(&["nowhere.toml"]);
    let catalog = place.catalog("layers = 2", "layers = \"two\"");
    place.run(&args(&catalog, &[])).assert_refused(&["catalog.toml", "line 9, at 'layers'"]);
    place.run(&args("nowhere.toml", &[])).assert_refused(&["nowhere.toml", "--catalog takes a TOML file"]);
    assert!(!place.path("out").exists());
}
