//! Corpora and stores that turn out to be other than they were.

use std::fs;

use serde_json::{Value, json};

use crate::common::copy::copy_all;
use crate::experiment::{case, rag, rag_command, report};
use crate::place::{Outcome, Place, codes, fixture, list, word};
use crate::stand_in_pinecone::{Does, INDEX, KEY, StandInPinecone};

const FEW: [&str; 7] =
    ["tiny", "--weights", "random", "--embedder", "stand-in", "--arms", "short,padded,rag"];
/// Numbers in a vector of the stand-in embedder.
const DIMENSIONS: usize = 384;

#[test]
fn a_corpus_that_changed_under_its_index_is_embedded_anew() {
    let place = Place::new();
    let (catalog, corpus) = (place.catalog("", ""), place.path("corpus"));
    copy_all(&fixture("corpus"), &corpus);
    let documents = word(&corpus);
    let run = |out: &str| {
        let more = ["--catalog", &catalog, "--corpus", &documents, "--output", out];
        rag(&place, &[&FEW[..], &more].concat()).assert_done();
        report(&place, out)["retrieval"].clone()
    };
    let reused =
        |retrieval: &Value| (retrieval["index_reused"].clone(), retrieval["index_build_ms"].is_f64());
    let (anew, found_again) = ((json!(false), true), (json!(true), false));
    assert_eq!(reused(&run("first")), anew);
    assert_eq!(reused(&run("second")), found_again);
    let document = corpus.join("02-visits.md");
    // As long as before, so that only its bytes tell.
    let changed = fs::read_to_string(&document).unwrap().replace("three hours", "seven hours");
    fs::write(&document, changed).unwrap();
    assert_eq!(reused(&run("third")), anew);
    assert_eq!(reused(&run("fourth")), found_again);
}

#[test]
fn retrieval_that_finds_nothing_is_measured_and_stamped() {
    let place = Place::new();
    let (catalog, pinecone) = (place.catalog("", ""), StandInPinecone::start(DIMENSIONS));
    let nothing = json!({"matches": [], "namespace": "", "usage": {"readUnits": 1}}).to_string();
    pinecone.fail("/query", Does::Answer(200, "", nothing), usize::MAX);
    let store = format!("pinecone={INDEX}");
    let args = [&FEW[..], &["--catalog", &catalog, "--store", &store]].concat();
    let mut command = rag_command(&place, &args);
    command.env("PINECONE_API_KEY", KEY).env("PINECONE_API_BASE", pinecone.base());
    let outcome = Outcome::of(command.output().unwrap());
    outcome.assert_done();
    assert!(pinecone.count("/query") > 0, "nobody asked");
    let written = fs::read_to_string(place.path("out/report.json")).unwrap();
    assert!(!written.contains(KEY) && !format!("{outcome:?}").contains(KEY), "the key is shown");
    let report = report(&place, "out");
    assert!(codes(&report).contains(&"nothing_retrieved"), "{:?}", codes(&report));
    assert!(outcome.stdout.contains("found no passage"), "{}", outcome.stdout);
    assert_eq!(report["retrieval"]["gold_in_hits"], 0.0);
    for arm in ["short", "padded", "rag"] {
        assert_eq!(list(&case(&report, arm)["samples"]).len(), 3, "{arm}");
    }
}
