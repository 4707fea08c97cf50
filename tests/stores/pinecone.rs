//! What the store at Pinecone keeps and finds, and what it sends.

use std::collections::BTreeSet;
use std::time::Duration;

use ctxbench::retrieval::VectorStore;
use ctxbench::retrieval::store::pinecone::{IndexName, PineconeLimits, PineconeOptions, PineconeStore};

use super::rows::{DIMENSIONS, assert_same, fill, identity, nearest, rows, text, vectors};
use super::stand_in_pinecone::{INDEX, KEY, Record, StandInPinecone};

/// Waits that a test can wait for.
const LIMITS: PineconeLimits = PineconeLimits {
    exchange: Duration::from_secs(20),
    tries: 3,
    first_wait: Duration::ZERO,
    longest_wait: Duration::from_millis(5),
    polls: 4,
};

pub fn options(pinecone: &StandInPinecone) -> PineconeOptions {
    let variables = |name: &str| match name {
        "PINECONE_API_KEY" => Some(KEY.to_owned()),
        "PINECONE_API_BASE" => Some(pinecone.base()),
        _ => None,
    };
    PineconeOptions {
        limits: LIMITS,
        ..PineconeOptions::from_lookup(&variables).expect("the variables are well formed")
    }
}

pub fn store(pinecone: &StandInPinecone) -> PineconeStore {
    PineconeStore::new(IndexName::parse(INDEX).expect("the name is well formed"), options(pinecone))
}

fn namespace(digit: &str) -> String {
    format!("ctxbench-{}", digit.repeat(16))
}

#[test]
fn what_went_in_is_found_in_order_with_its_scores_and_texts() {
    let (pinecone, rows) = (StandInPinecone::start(DIMENSIONS), rows(400));
    let mut store = store(&pinecone);
    fill(&mut store, 'a', &rows);
    for question in vectors(5, 99) {
        assert_same(&store.search(&question, 10).unwrap(), &nearest(&rows, &question, 10));
        assert!(store.search_exact(&question, 10).unwrap().is_none());
    }
    let many: Vec<u64> = (0..250).rev().collect();
    assert_eq!(store.fetch(&many).unwrap(), many.iter().map(|chunk| text(*chunk)).collect::<Vec<_>>());
    assert_eq!(store.fetch(&[7, 0, 7]).unwrap(), [text(7), text(0), text(7)]);
    let missing = store.fetch(&[1, 400]).unwrap_err().to_string();
    assert!(missing.contains("chunk 400"), "{missing}");
    assert_eq!(store.search(&rows[0].vector, 0).unwrap(), []);
    assert_eq!((store.size_bytes().unwrap(), store.kind()), (None, "pinecone"));
}

#[test]
fn every_request_carries_key_and_version_and_the_connection_is_kept() {
    let (pinecone, rows) = (StandInPinecone::start(DIMENSIONS), rows(20));
    let mut store = store(&pinecone);
    fill(&mut store, 'a', &rows);
    for row in &rows {
        store.search(&row.vector, 3).unwrap();
        store.fetch(&[row.chunk]).unwrap();
    }
    let state = pinecone.state();
    assert!(state.seen.iter().all(|seen| seen.headers["api-key"] == KEY));
    assert!(state.seen.iter().all(|seen| seen.headers["x-pinecone-api-version"] == "2025-10"));
    let data = state.seen.iter().filter(|seen| !seen.target.starts_with("/indexes/"));
    let connections: BTreeSet<usize> = data.map(|seen| seen.connection).collect();
    assert_eq!(connections.len(), 1, "{connections:?}");
    let queries = state.seen.iter().filter(|seen| seen.target == "/query");
    assert!(
        queries.clone().count() == 20
            && queries.clone().all(|seen| seen.body.contains("\"includeMetadata\":false"))
    );
}

#[test]
fn a_store_cut_off_in_the_middle_goes_on_where_it_was() {
    let (pinecone, rows) = (StandInPinecone::start(DIMENSIONS), rows(300));
    let mut first = store(&pinecone);
    assert_eq!(first.open(&identity('a', 300)).unwrap(), 0);
    first.add(&rows[..120]).unwrap();
    let mut second = store(&pinecone);
    assert_eq!(second.open(&identity('a', 300)).unwrap(), 120);
    let gap = second.add(&rows[121..]).unwrap_err().to_string();
    assert!(gap.contains("chunk 120 comes next"), "{gap}");
    second.add(&rows[120..]).unwrap();
    second.finish().unwrap();
    let asked = pinecone.count("/describe_index_stats");
    assert_eq!(second.open(&identity('a', 300)).unwrap(), 300);
    second.finish().unwrap();
    assert_eq!(pinecone.count("/describe_index_stats"), asked + 1, "complete: nothing to wait for");
    assert_same(&second.search(&rows[250].vector, 3).unwrap(), &nearest(&rows, &rows[250].vector, 3));
}

#[test]
fn a_count_that_does_not_fit_its_rows_is_filled_again() {
    let (pinecone, rows) = (StandInPinecone::start(DIMENSIONS), rows(30));
    let mut store = store(&pinecone);
    fill(&mut store, 'a', &rows);
    let remove = |id: &str| pinecone.state().namespaces.get_mut(&namespace("a")).unwrap().remove(id).unwrap();
    remove("29");
    assert_eq!(store.open(&identity('a', 30)).unwrap(), 29, "the last one alone is missing");
    remove("7");
    assert_eq!(store.open(&identity('a', 30)).unwrap(), 0, "row 28 is there, and 28 are counted");
    remove("27");
    assert_eq!(
        store.open(&identity('a', 30)).unwrap(),
        0,
        "27 are counted, and row 26 is there as row 28 is"
    );
    store.add(&rows).unwrap();
    store.finish().unwrap();
    assert_eq!(store.fetch(&[7, 28]).unwrap(), [text(7), text(28)]);
}

#[test]
fn older_namespaces_of_ours_are_deleted_and_no_others() {
    let (pinecone, rows) = (StandInPinecone::start(DIMENSIONS), rows(10));
    let foreign = ["", "ctxbench-notes", "ctxbench-small-bbbbbbbbbbbbbbbb", "production"];
    for name in foreign {
        let record = Record { values: vec![1.0; DIMENSIONS], metadata: serde_json::json!({}) };
        pinecone.state().namespaces.entry(name.into()).or_default().insert("x".into(), record);
    }
    let mut store = store(&pinecone);
    fill(&mut store, 'b', &rows);
    assert_eq!(store.open(&identity('c', 10)).unwrap(), 0);
    let left: Vec<String> = pinecone.state().namespaces.keys().cloned().collect();
    assert_eq!(left, foreign);
    let mut small = super::pinecone::store(&pinecone).in_place("small").unwrap();
    fill(&mut store, 'c', &rows);
    fill(&mut small, 'd', &rows[..5]);
    let left: Vec<String> = pinecone.state().namespaces.keys().cloned().collect();
    let small_now = format!("ctxbench-small-{}", "d".repeat(16));
    assert_eq!(left, ["", &namespace("c"), "ctxbench-notes", &small_now, "production"]);
    assert_eq!(
        (store.search(&rows[0].vector, 10).unwrap().len(), small.search(&rows[0].vector, 10).unwrap().len()),
        (10, 5)
    );
}

#[test]
fn counts_that_lag_behind_are_waited_for_and_not_for_ever() {
    let (pinecone, rows) = (StandInPinecone::start(DIMENSIONS), rows(10));
    let mut store = store(&pinecone);
    store.open(&identity('a', 10)).unwrap();
    store.add(&rows).unwrap();
    pinecone.state().lag = 2;
    store.finish().unwrap();
    assert_eq!((pinecone.count("/describe_index_stats"), pinecone.state().lag), (1 + 3, 0));
    store.open(&identity('b', 10)).unwrap();
    store.add(&rows).unwrap();
    pinecone.state().lag = usize::MAX;
    let error = store.finish().unwrap_err().to_string();
    assert!(error.contains("9 of 10 vectors") && error.contains("4 times"), "{error}");
}
