//! What goes wrong at Pinecone becomes a sentence, and no sentence shows the key.

use std::time::Duration;

use ctxbench::retrieval::store::pinecone::{IndexName, PineconeOptions, PineconeStore};
use ctxbench::retrieval::{RetrievalError, Row, VectorStore};
use serde_json::json;

use super::common::postgres::free_port;
use super::pinecone::{options, store};
use super::rows::{DIMENSIONS, fill, identity, rows};
use super::stand_in_pinecone::{Does, INDEX, KEY, StandInPinecone};

/// A body that repeats what a key looks like, as a careless proxy may.
fn echo() -> String {
    json!({"message": format!("your key {KEY} is bad")}).to_string()
}

fn answer(status: u16) -> Does {
    Does::Answer(status, "", echo())
}

fn assert_says<T>(result: Result<T, RetrievalError>, words: &[&str]) {
    let error = result.err().expect("it is refused");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(KEY), "{shown}");
    for word in words {
        assert!(error.to_string().contains(word), "'{word}' is not in: {error}");
    }
}

/// An open store with a few rows.
fn filled(pinecone: &StandInPinecone) -> (PineconeStore, Vec<Row>) {
    let (mut store, rows) = (store(pinecone), rows(10));
    fill(&mut store, 'a', &rows);
    (store, rows)
}

#[test]
fn a_missing_index_is_told_with_what_to_make() {
    let pinecone = StandInPinecone::start(DIMENSIONS);
    let mut store = PineconeStore::new(IndexName::parse("nowhere").unwrap(), options(&pinecone));
    let words = ["no index 'nowhere'", "dimension 24", "metric cosine", "costs money"];
    assert_says(store.open(&identity('a', 5)), &words);
    assert_says(store.search(&[1.0], 3), &["before it was opened"]);
    assert_eq!(pinecone.state().seen.iter().filter(|seen| seen.method == "POST").count(), 0);
}

#[test]
fn an_index_that_does_not_fit_is_told() {
    let other = StandInPinecone::start(768);
    let words = ["index 'handbook'", "vectors of 768 numbers", "makes vectors of 24"];
    assert_says(store(&other).open(&identity('a', 5)), &words);
    let pinecone = StandInPinecone::start(DIMENSIONS);
    let cases = [
        ("dimension", json!(null), "no dense vectors"),
        ("metric", json!("euclidean"), "by cosine"),
        ("status", json!({"ready": false, "state": "Initializing"}), "not ready yet"),
        ("host", json!(null), "names no address"),
        ("host", json!("http://elsewhere.example"), "to which a key may be sent"),
    ];
    for (name, value, expected) in cases {
        pinecone.state().described = [(name, value)].into();
        assert_says(store(&pinecone).open(&identity('a', 5)), &[expected, INDEX]);
    }
    pinecone.state().described = [("metric", json!("dotproduct"))].into();
    assert_eq!(store(&pinecone).open(&identity('a', 5)).unwrap(), 0);
}

#[test]
fn a_key_that_is_not_accepted_is_told_once() {
    let pinecone = StandInPinecone::start(DIMENSIONS);
    let variables = |name: &str| match name {
        "PINECONE_API_KEY" => Some(format!("other-{KEY}")),
        _ => Some(pinecone.base()),
    };
    let wrong = PineconeOptions {
        limits: options(&pinecone).limits,
        ..PineconeOptions::from_lookup(&variables).unwrap()
    };
    let mut store = PineconeStore::new(IndexName::parse(INDEX).unwrap(), wrong);
    assert_says(store.open(&identity('a', 5)), &["PINECONE_API_KEY is not accepted"]);
    assert_eq!(pinecone.count("/"), 1);
    let (mut store, rows) = filled(&pinecone);
    for (status, expected) in
        [(401, "is not accepted"), (403, "may not do this (it says: your key <key> is bad)")]
    {
        pinecone.fail("/query", answer(status), 1);
        assert_says(store.search(&rows[0].vector, 3), &[expected]);
    }
}

#[test]
fn one_refusal_for_the_rate_is_waited_out_and_a_long_one_is_not() {
    let pinecone = StandInPinecone::start(DIMENSIONS);
    let (mut store, rows) = filled(&pinecone);
    pinecone.fail("/query", Does::Answer(429, "Retry-After: 0", echo()), 1);
    assert_eq!(store.search(&rows[0].vector, 3).unwrap().len(), 3);
    assert_eq!(pinecone.count("/query"), 2);
    pinecone.fail("/query", Does::Answer(429, "Retry-After: 3600", echo()), 1);
    assert_says(store.search(&rows[0].vector, 3), &["too many requests", "<key>"]);
    assert_eq!(pinecone.count("/query"), 3);
}

#[test]
fn faults_of_the_server_are_tried_again_and_given_up() {
    let pinecone = StandInPinecone::start(DIMENSIONS);
    let (mut store, rows) = filled(&pinecone);
    for does in [answer(503), Does::HangUp] {
        pinecone.fail("/query", does, 2);
        assert_eq!(store.search(&rows[0].vector, 3).unwrap().len(), 3);
    }
    pinecone.fail("/query", answer(500), usize::MAX);
    let before = pinecone.count("/query");
    assert_says(
        store.search(&rows[0].vector, 3),
        &["searching failed", "status 500", "given up after 3 tries"],
    );
    assert_eq!(pinecone.count("/query"), before + 3);
}

#[test]
fn an_upsert_that_fails_is_taken_up_by_the_next_run() {
    let pinecone = StandInPinecone::start(DIMENSIONS);
    let (rows, mut first) = (rows(2500), store(&pinecone));
    first.open(&identity('a', 2500)).unwrap();
    first.add(&rows[..10]).unwrap();
    pinecone.fail("/vectors/upsert", answer(500), usize::MAX);
    assert_says(first.add(&rows[10..]), &["storing vectors failed"]);
    pinecone.state().faults.clear();
    let mut second = store(&pinecone);
    assert_eq!(second.open(&identity('a', 2500)).unwrap(), 10);
    second.add(&rows[10..]).unwrap();
    second.finish().unwrap();
    assert_eq!(second.open(&identity('a', 2500)).unwrap(), 2500);
}

#[test]
fn answers_that_are_not_the_protocols_are_told() {
    let pinecone = StandInPinecone::start(DIMENSIONS);
    let (mut store, rows) = filled(&pinecone);
    let hit = |id: &str| json!({"matches": [{"id": id, "score": 0.5}]}).to_string();
    for body in
        ["<html>not JSON</html>".into(), json!({"matches": KEY}).to_string(), "{}".into(), String::new()]
    {
        pinecone.fail("/query", Does::Answer(200, "", body), 1);
        assert_says(store.search(&rows[0].vector, 3), &["not what version 2025-10 of its protocol says"]);
    }
    pinecone.fail("/query", Does::Answer(200, "", hit("doc-7")), 1);
    assert_says(store.search(&rows[0].vector, 3), &["'doc-7'", "did not write"]);
    pinecone.fail("/query", Does::Answer(302, "Location: http://127.0.0.1:1/", String::new()), 1);
    assert_says(store.search(&rows[0].vector, 3), &["points elsewhere", "302"]);
    pinecone.fail(
        "/vectors/fetch",
        Does::Answer(200, "", json!({"vectors": {"1": {"id": "1"}}}).to_string()),
        1,
    );
    assert_says(store.fetch(&[1]), &["chunk 1 has no text"]);
}

#[test]
fn an_answer_that_never_comes_is_not_waited_for() {
    let pinecone = StandInPinecone::start(DIMENSIONS);
    let mut options = options(&pinecone);
    options.limits.exchange = Duration::from_millis(40);
    let mut store = PineconeStore::new(IndexName::parse(INDEX).unwrap(), options);
    pinecone.fail("/indexes", Does::Stall, usize::MAX);
    assert_says(store.open(&identity('a', 5)), &["no answer within 40ms", "given up after 3 tries"]);
}

#[test]
fn an_address_where_nobody_listens_is_named() {
    let pinecone = StandInPinecone::start(DIMENSIONS);
    let base = format!("http://127.0.0.1:{}", free_port());
    let nobody = PineconeOptions { base: base.clone(), ..options(&pinecone) };
    let mut store = PineconeStore::new(IndexName::parse(INDEX).unwrap(), nobody);
    assert_says(
        store.open(&identity('a', 5)),
        &["asking for the index failed", base.trim_start_matches("http://")],
    );
}

#[test]
fn what_cannot_be_asked_is_refused_before_it_is_sent() {
    let pinecone = StandInPinecone::start(DIMENSIONS);
    let (mut store, rows) = filled(&pinecone);
    let before = pinecone.count("/");
    assert_says(store.search(&[1.0], 3), &["has 1 numbers", "vectors of 24"]);
    assert_says(store.search(&rows[0].vector, 10_001), &["at most 10000", "10001"]);
    assert_says(store.add(&rows[..1]), &["chunk 10 comes next"]);
    assert_eq!(pinecone.count("/"), before);
}
