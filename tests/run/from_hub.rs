//! The way from a hub to a report, with a tiny real model behind a stand-in hub.

use serde_json::json;

use crate::place::{
    Outcome, Place, SMALL, codes, fixture, fixture_bytes, ids, list, tiny_model, turns, word,
};
use crate::stand_in_hub::{COMMIT, Does, Fault, HubFile, Place as At, StandInHub, sha256};

const REPO: &str = "o/tiny-qwen3";
const WEIGHTS: &str = "model.safetensors";

fn with<'a>(model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[model], &SMALL[..], more].concat()
}

#[test]
fn a_model_of_the_hub_is_measured_and_its_provenance_recorded() {
    let (hub, place) = (StandInHub::start(tiny_model(), vec![]), Place::new());
    place.run_with(&hub, &with(REPO, &["--context", "64,1k"])).assert_done();
    let report = place.report();
    let model = &report["models"][0];
    assert_eq!((&model["repo"], &model["revision"]), (&json!(REPO), &json!(COMMIT)));
    assert_eq!((&model["weights"], &model["tokenizer"]), (&json!("hub"), &json!("tokenizer.json")));
    let mut brought = tiny_model();
    brought.retain(|file| file.name != "README.md");
    for file in &brought {
        let record = list(&model["files"]).iter().find(|record| record["name"] == file.name.as_str());
        let record = record.unwrap_or_else(|| panic!("{} is not recorded", file.name));
        assert_eq!(
            (&record["bytes"], &record["sha256"]),
            (&json!(file.content.len()), &json!(sha256(&file.content)))
        );
    }
    assert_eq!(list(&model["files"]).len(), brought.len());
    let lengths: Vec<_> = list(&report["cases"]).iter().map(|case| &case["context_tokens"]).collect();
    assert_eq!((lengths.len(), lengths[1], lengths[2]), (3, &json!(64), &json!(1024)));
    for absent in ["no_chat_template", "stand_in_tokenizer", "random_weights", "fallback_to_random_weights"] {
        assert!(!codes(&report).contains(&absent), "{absent}");
    }
    assert_eq!(report["interrupted"], false);
    assert!(turns(&report).len() > 1, "cases come in changing order");
    // The same report stands against itself, and against one taken again without a transfer.
    hub.forget();
    let again = place.run_with(&hub, &with(REPO, &["--context", "64,1k", "--output", "again"]));
    again.assert_done();
    assert!(brought.iter().all(|file| hub.transfers(&file.name).is_empty()));
    assert_eq!(ids(&place.report_in("again")), ids(&report));
    let output = place.command(&["compare", "out", "again", "--format", "json"]).output().unwrap();
    let compared = Outcome::of(output);
    let comparison: serde_json::Value = serde_json::from_str(&compared.assert_done().stdout).unwrap();
    assert!(comparison.is_object() || comparison.is_array());
}

#[test]
fn a_revision_and_a_gguf_of_a_repository_can_be_named() {
    let mut files = tiny_model();
    files.push(HubFile::large("tiny-Q8_0.gguf", fixture_bytes("qwen3/model-q8_0.gguf")));
    let (hub, place) = (StandInHub::start(files, vec![]), Place::new());
    let pinned = format!("{REPO}@{COMMIT}");
    let gguf = format!("{REPO}:tiny-Q8_0.gguf");
    place.run_with(&hub, &[&[pinned.as_str(), gguf.as_str()], &SMALL[..]].concat()).assert_done();
    let report = place.report();
    let [first, second] = list(&report["models"]) else { panic!("two models") };
    assert_eq!((&first["id"], &first["revision"]), (&json!(pinned), &json!(COMMIT)));
    assert_eq!(
        (&second["id"], &second["weights"], &second["revision"]),
        (&json!(gguf), &json!("hub"), &json!(COMMIT))
    );
    assert_eq!(ids(&report).iter().filter(|id| id.contains("/q8_0/")).count(), 2);
    assert_eq!(ids(&report).iter().filter(|id| id.contains("/file:")).count(), 2, "{:?}", ids(&report));
    hub.forget();
    place
        .run_with(&hub, &with("o/tiny-qwen3@v7", &["--offline"]))
        .assert_refused(&["v7", "not in the cache"]);
    assert!(hub.requests().is_empty());
}

#[test]
fn a_download_that_breaks_off_goes_on() {
    let faults = vec![Fault::once(At::Content(WEIGHTS), Does::Cut(100_000))];
    let (hub, place) = (StandInHub::start(tiny_model(), faults), Place::new());
    let outcome = place.run_with(&hub, &with(REPO, &["--scenario", "rag"]));
    outcome.assert_done();
    let ranges: Vec<_> =
        hub.transfers(WEIGHTS).iter().map(|seen| seen.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-".to_owned())]);
    let report = place.report();
    let weights = list(&report["models"][0]["files"]).iter().find(|file| file["name"] == WEIGHTS);
    assert_eq!(weights.unwrap()["sha256"], sha256(&fixture_bytes("qwen3/model.safetensors")));
}

#[test]
fn what_the_hub_refuses_ends_the_run_with_a_remedy_and_leaves_no_output() {
    let cases: [(At, Does, &[&str]); 4] = [
        (
            At::Resolve(WEIGHTS),
            Does::Answer(403, &[("X-Error-Code", "GatedRepo")]),
            &["is gated", "accept its terms"],
        ),
        (
            At::Info,
            Does::Answer(404, &[("X-Error-Code", "RepoNotFound")]),
            &["no model 'o/tiny-qwen3'", "check the name"],
        ),
        (At::Content(WEIGHTS), Does::Corrupt, &["is not the file", "SHA-256"]),
        (
            At::Info,
            Does::Say("<html>please log in</html>".into()),
            &["does not answer like a hub", "login page"],
        ),
    ];
    for (at, does, words) in cases {
        let (hub, place) = (StandInHub::start(tiny_model(), vec![Fault::always(at, does)]), Place::new());
        place.run_with(&hub, &with(REPO, &[])).assert_refused(words);
        assert!(!place.path("out").exists());
    }
}

#[test]
fn a_dry_run_transfers_nothing_and_makes_no_folder() {
    let (hub, place) = (StandInHub::start(tiny_model(), vec![]), Place::new());
    let outcome = place.run_with(&hub, &with(REPO, &["--dry-run"]));
    let bytes: usize = tiny_model().iter().filter(|f| f.name != "README.md").map(|f| f.content.len()).sum();
    let download = format!("{:.0} KiB to download", bytes as f64 / 1024.0);
    assert!(outcome.assert_done().stdout.contains(&download), "{download}: {}", outcome.stdout);
    assert!(tiny_model().iter().all(|file| hub.transfers(&file.name).is_empty()));
    assert!(!place.path("out").exists() && !place.path("cache").exists());
    // A model at hand has a shape, and so a plan.
    let folder = word(&fixture("qwen3"));
    let outcome = place.run(&[&[folder.as_str(), "--dry-run", "--depth", "100"], &SMALL[..]].concat());
    for word in ["nothing to download", "rag/64", "decode/100", "iB", "about", "nothing was run"] {
        assert!(outcome.assert_done().stdout.contains(word), "'{word}' is not in {}", outcome.stdout);
    }
    assert!(!place.path("out").exists());
}

#[test]
fn two_runs_at_once_share_a_cache_and_keep_apart_what_they_write() {
    let (hub, place) = (StandInHub::start(tiny_model(), vec![]), Place::new());
    let start = || {
        let args = [&["run", REPO, "--scenario", "rag"], &SMALL[..]].concat();
        let mut command = place.command(&args);
        command.env("HF_ENDPOINT", hub.endpoint()).stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped()).spawn().expect("the program starts")
    };
    let (first, second) = (start(), start());
    for child in [first, second] {
        Outcome::of(child.wait_with_output().unwrap()).assert_done();
    }
    let folders: Vec<_> = std::fs::read_dir(place.path("reports")).unwrap().flatten().collect();
    assert_eq!(folders.len(), 2, "{folders:?}");
    for folder in folders {
        place.report_in(&word(&folder.path()));
    }
    assert_eq!(hub.transfers(WEIGHTS).len(), 1);
}

#[test]
fn a_catalog_holds_its_files_to_what_it_states_and_the_repository_itself_does_not() {
    let (hub, place) = (StandInHub::start(tiny_model(), vec![]), Place::new());
    let files = "license = \"MIT\"\nfiles = [{ name = \"model.safetensors\", bytes = 5 }]";
    let catalog = place.catalog("license = \"MIT\"", files);
    let outcome = place.run_with(&hub, &with("tiny", &["--catalog", &catalog]));
    outcome.assert_refused(&["the catalog states 5 bytes", "name the repository itself (me/tiny)"]);
    let args = with("me/tiny", &["--catalog", &catalog, "--scenario", "rag"]);
    place.run_with(&hub, &args).assert_done();
    assert_eq!(place.report()["models"][0]["weights"], "hub");
}

#[test]
fn a_gguf_in_unreadable_types_is_refused_with_the_files_that_can_be_read() {
    const TENSOR: &str = "blk.1.ffn_up.weight";
    const IQ4_XS: u32 = 23;
    let mut bytes = fixture_bytes("qwen3/model-q8_0.gguf");
    let name = bytes
        .windows(TENSOR.len())
        .position(|window| window == TENSOR.as_bytes())
        .expect("the tensor is there");
    // Behind the name: the number of dimensions (u32), two dimensions (u64 each), the type (u32).
    let kind = name + TENSOR.len() + 4 + 16;
    bytes[kind..kind + 4].copy_from_slice(&IQ4_XS.to_le_bytes());
    let mut files = tiny_model();
    files.push(HubFile::large("tiny-UD-Q4_K_XL.gguf", bytes));
    files.push(HubFile::large("tiny-Q8_0.gguf", fixture_bytes("qwen3/model-q8_0.gguf")));
    let (hub, place) = (StandInHub::start(files, vec![]), Place::new());
    place.run_with(&hub, &with("o/tiny-qwen3:tiny-UD-Q4_K_XL.gguf", &[])).assert_refused(&[
        TENSOR,
        "IQ4_XS",
        "files of o/tiny-qwen3",
        "tiny-Q8_0.gguf",
    ]);
}
