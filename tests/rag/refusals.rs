//! What cannot be run ends in a sentence with a remedy, before anything is measured.

use crate::experiment::{model, rag};
use crate::place::{Outcome, Place, word};

#[test]
fn stores_that_are_none_or_out_of_reach_are_named_without_their_password() {
    let place = Place::new();
    let model = model(&place);
    let with = |store: &str| rag(&place, &[&model, "--embedder", "stand-in", "--store", store]);
    with("milvus").assert_refused(&["embedded", "pgvector=URL", "pinecone=INDEX"]);
    let unreachable = with("pgvector=postgresql://me:s3cret@127.0.0.1:1/db");
    unreachable.assert_refused(&["127.0.0.1"]);
    assert!(!format!("{unreachable:?}").contains("s3cret"));
    with("pinecone=my-index").assert_refused(&["PINECONE_API_KEY"]);
}

#[test]
fn numbers_that_cannot_go_together_are_refused() {
    let place = Place::new();
    let model = model(&place);
    let with = |more: &[&str]| rag(&place, &[&[&*model, "--embedder", "stand-in"], more].concat());
    with(&["--chunk-overlap", "64"]).assert_refused(&["--chunk-overlap 64", "--chunk-tokens"]);
    with(&["--context", "80"]).assert_refused(&["--context 80", "no room for one passage"]);
    with(&["--top-k", "200"]).assert_refused(&["--top-k", "lower"]);
}

#[test]
fn corpora_embedders_and_adapters_that_are_not_there_are_named() {
    let place = Place::new();
    let model = model(&place);
    let binary = place.file("docs/a.txt", [0xff, 0xfe, 0x00]);
    let folder = std::path::Path::new(&binary).parent().unwrap().to_str().unwrap();
    rag(&place, &[&model, "--embedder", "stand-in", "--corpus", folder]).assert_refused(&["a.txt", "UTF-8"]);
    rag(&place, &[&model, "--embedder", "all-minilm-l6"]).assert_refused(&["all-minilm-l6-v2"]);
    rag(&place, &[&model, "--embedder", "stand-in", "--adapter", folder])
        .assert_refused(&["adapter_config.json"]);
    rag(&place, &[&model, "--embedder", "stand-in", "--rerank", folder]).assert_refused(&["config.json"]);
}

#[test]
fn a_folder_that_lacks_a_file_of_an_embedder_is_told_which() {
    let place = Place::new();
    let folder = place.path("part");
    std::fs::create_dir_all(&folder).unwrap();
    let args = ["fetch", "all-minilm-l6-v2", "--offline", "--from", &word(&folder)];
    let outcome = Outcome::of(place.command(&args).output().unwrap());
    outcome.assert_refused(&["out of reach", "has no config.json", "all-MiniLM-L6-v2"]);
}
