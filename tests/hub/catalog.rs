//! `ctxbench fetch` of catalog entries: their repository, revision, licence, sizes and hashes.

use std::fs;

use crate::place::{Outcome, Place, REPO, model_files};
use crate::stand_in_hub::{COMMIT, Does, Fault, HubFile, Place as At, StandInHub, sha256};

/// `ctxbench fetch ARGS --catalog FILE`, where the file has one entry, `tiny`, with these lines in it.
fn fetch(place: &Place, hub: &StandInHub, lines: &str, args: &[&str]) -> Outcome {
    let entry = format!(
        r#"[[model]]
id = "tiny"
repo = "{REPO}"
license = "MIT"
{lines}
[model.shape]
architecture = "qwen3"
vocab_size = 512
hidden_size = 64
layers = 4
heads = 4
kv_heads = 2
head_dim = 16
intermediate_size = 128
rope_theta = 1e6
rms_norm_eps = 1e-6
max_positions = 4096
tie_embeddings = true

[[model.gguf]]
repo = "{REPO}"
file = "tiny.gguf"
quantization = "Q8_0"
bytes = 5
"#
    );
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), entry).expect("it can be written");
    let path = file.path().to_str().expect("its path is text");
    place.fetch(hub, &[args, &["--catalog", path]].concat())
}

/// As the entry states them.
fn files(config: &HubFile, weights: &HubFile) -> String {
    let one = |file: &HubFile| {
        let (bytes, hash) = (file.content.len(), sha256(&file.content));
        format!("{{ name = \"{}\", bytes = {bytes}, sha256 = \"{hash}\" }}", file.name)
    };
    format!("files = [{}, {}]", one(config), one(weights))
}

#[test]
fn an_entry_names_repository_revision_and_the_licence_the_hub_does_not() {
    let pin = "fedcba98".repeat(5);
    let pinned = format!("revision = \"{pin}\"");
    let silent = format!(r#"{{"id":"{REPO}","sha":"{COMMIT}"}}"#);
    let hub = StandInHub::start(model_files(), vec![Fault::once(At::Info, Does::Say(silent))]);
    let place = Place::new();
    let outcome = fetch(&place, &hub, &pinned, &["tiny"]);
    assert!(outcome.assert_done().stderr.contains("licence: MIT, by the catalog"), "{}", outcome.stderr);
    assert!(hub.requests()[0].target.contains(&format!("{REPO}/revision/{pin}")), "{:?}", hub.requests()[0]);
    assert!(place.pointer("model.safetensors").exists());

    let known = fetch(&Place::new(), &hub, "", &["TINY"]);
    assert!(known.assert_done().stderr.contains("licence: apache-2.0\n"), "{}", known.stderr);
}

#[test]
fn files_are_held_against_what_the_entry_states() {
    let [config, _, _, weights, _] = model_files().try_into().expect("five files");
    let (hub, place) = (StandInHub::start(model_files(), vec![]), Place::new());
    fetch(&place, &hub, &files(&config, &weights), &["tiny"]).assert_done();

    let longer = HubFile { content: [&weights.content[..], b"x"].concat(), ..weights.clone() };
    let other = HubFile { content: weights.content.iter().map(|byte| byte ^ 1).collect(), ..weights.clone() };
    for (stated, words) in [
        (longer, ["a size of 1048576 bytes", "states 1048577 bytes"].map(String::from)),
        (other.clone(), [&weights, &other].map(|file| sha256(&file.content))),
    ] {
        let place = Place::new();
        hub.forget();
        let remedy = ["model.safetensors of o/name", "the repository has changed", "--catalog"];
        let refused = fetch(&place, &hub, &files(&config, &stated), &["tiny"]);
        refused.assert_refused(&[&remedy[..], &[&words[0], &words[1]]].concat());
        assert!(hub.transfers("model.safetensors").is_empty(), "it was known before the transfer");
        place.assert_absent(&weights);
    }
}

#[test]
fn a_small_file_is_held_against_its_stated_hash_once_it_is_there() {
    let [config, _, _, weights, _] = model_files().try_into().expect("five files");
    let same_length = HubFile::small("config.json", r#"{"model_type":"qwen2"}"#);
    let (hub, place) = (StandInHub::start(model_files(), vec![]), Place::new());
    let refused = fetch(&place, &hub, &files(&same_length, &weights), &["tiny"]);
    refused.assert_refused(&["config.json of o/name", "SHA-256", &sha256(&config.content)]);
}

#[test]
fn a_gguf_file_of_the_catalog_has_its_stated_size() {
    let with = |content: &str| StandInHub::start(vec![HubFile::large("tiny.gguf", content)], vec![]);
    let name = format!("{REPO}:tiny.gguf");
    fetch(&Place::new(), &with("GGUF."), "", &[&name]).assert_done();
    let words = ["tiny.gguf of o/name has a size of 6 bytes", "states 5 bytes", "has changed"];
    fetch(&Place::new(), &with("GGUF.."), "", &[&name]).assert_refused(&words);
    // Of a revision that is named, the catalog says nothing.
    let other = format!("{REPO}@v2:tiny.gguf");
    fetch(&Place::new(), &with("GGUF.."), "", &[&other]).assert_done();
}

#[test]
fn an_embedder_is_fetched_and_checked_like_a_model() {
    let (hub, place) = (StandInHub::start(model_files(), vec![]), Place::new());
    let weights = &model_files()[3];
    let entry = |bytes: usize| {
        format!(
            r#"[[embedder]]
id = "vectors"
repo = "{REPO}"
license = "MIT"
dimensions = 8
max_tokens = 16
pooling = "mean"
files = [{{ name = "{}", bytes = {bytes} }}]
[embedder.shape.bert]
vocab_size = 100
hidden_size = 8
layers = 2
heads = 2
intermediate_size = 16
max_positions = 16
token_types = 2
layer_norm_eps = 1e-12
"#,
            weights.name
        )
    };
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = file.path().to_str().expect("its path is text");
    fs::write(path, entry(weights.content.len() + 1)).expect("it can be written");
    place
        .fetch(&hub, &["vectors", "--catalog", path])
        .assert_refused(&[&weights.name, "but the catalog states"]);
    assert!(hub.transfers(&weights.name).is_empty());
    fs::write(path, entry(weights.content.len())).expect("it can be written");
    let outcome = place.fetch(&hub, &["Vectors", "--catalog", path]);
    assert_eq!(outcome.assert_done().stdout.lines().count(), 3);
    place.assert_nothing_bad();
}
