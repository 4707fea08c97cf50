//! Embedders out of a hub: brought once, checked, found offline afterwards.

use std::path::Path;

use candle_core::Device;
use ctxbench::catalog::Catalog;
use ctxbench::hub::{Hub, HubOptions, Limits};
use ctxbench::retrieval::TextRole;
use ctxbench::retrieval::embedder::{EmbedderError, obtain};
use ctxbench::retrieval::rerank::CrossEncoder;

use super::stand_in_hub::{HubFile, StandInHub, sha256};
use super::{Silent, embedder, fixture, offline};

/// The files of a fixture, as a repository has them.
fn files(kind: &str) -> Vec<HubFile> {
    let read = |name: &str| std::fs::read(fixture(kind).join(name)).ok();
    let small = ["config.json", "tokenizer.json", "modules.json", "1_Pooling/config.json"]
        .into_iter()
        .chain(["sentence_bert_config.json", "config_sentence_transformers.json"])
        .filter_map(|name| Some(HubFile::small(name, read(name)?)));
    let weights = read("model.safetensors").expect("its weights");
    small.chain([HubFile::large("model.safetensors", weights)]).collect()
}

fn online(server: &StandInHub, cache: &Path) -> Hub {
    let (endpoint, cache) = (server.endpoint(), cache.display().to_string());
    let lookup = |name: &str| match name {
        "HF_ENDPOINT" => Some(endpoint.clone()),
        "HF_HUB_CACHE" => Some(cache.clone()),
        _ => None,
    };
    let options = HubOptions::from_lookup(&lookup).expect("the lookup names a cache");
    Hub::new(HubOptions { limits: Limits { tries: 1, ..Limits::default() }, ..options }).expect("a hub")
}

/// A catalog whose `tiny` is the fixture, with this hash of its weights.
fn catalog(folder: &Path, weights: &str) -> Catalog {
    let text = format!(
        r#"[[embedder]]
id = "tiny"
repo = "me/tiny"
license = "MIT"
dimensions = 48
max_tokens = 20
pooling = "first"
query_instruction = "Ask: "
files = [{{ name = "model.safetensors", sha256 = "{weights}" }}]
[embedder.shape.bert]
vocab_size = 500
hidden_size = 48
layers = 3
heads = 4
intermediate_size = 80
max_positions = 64
token_types = 2
layer_norm_eps = 1e-12
"#
    );
    let path = folder.join("own.toml");
    std::fs::write(&path, text).expect("a writable folder");
    Catalog::load(Some(&path)).expect("a catalog")
}

#[test]
fn a_repository_is_brought_with_its_settings_and_found_offline_afterwards() {
    let (server, cache) = (StandInHub::start(files("bert_first"), vec![]), tempfile::tempdir().unwrap());
    let catalog = Catalog::load(None).unwrap();
    let mut local = embedder(&fixture("bert_first"));
    let ids = local.tokenize("Who keeps the key?", TextRole::Query).unwrap();
    for hub in [online(&server, cache.path()), offline(cache.path())] {
        let mut brought = obtain("o/name", &catalog, &hub, &Device::Cpu, &mut Silent).unwrap();
        assert_eq!((brought.id(), brought.fingerprint()), ("o/name", local.fingerprint()));
        assert_eq!(brought.tokenize("Who keeps the key?", TextRole::Query).unwrap(), ids);
        let ids = std::slice::from_ref(&ids);
        assert_eq!(brought.embed(ids).unwrap(), local.embed(ids).unwrap());
    }
}

#[test]
fn an_id_takes_its_settings_from_the_catalog_and_its_hash_is_held() {
    let (server, cache) = (StandInHub::start(files("bert_mean"), vec![]), tempfile::tempdir().unwrap());
    let hub = online(&server, cache.path());
    let weights = sha256(&std::fs::read(fixture("bert_mean").join("model.safetensors")).unwrap());
    let right = catalog(cache.path(), &weights);
    let tiny = obtain("tiny", &right, &hub, &Device::Cpu, &mut Silent).unwrap();
    assert!(tiny.fingerprint().starts_with(&format!("{weights}/first/20/")), "{}", tiny.fingerprint());
    assert_eq!(tiny.tokenize(&"pump ".repeat(90), TextRole::Document).unwrap().len(), 20);
    assert_ne!(tiny.tokenize("a", TextRole::Query).unwrap(), tiny.tokenize("a", TextRole::Document).unwrap());
    let wrong = catalog(cache.path(), &"0".repeat(64));
    let error = obtain("tiny", &wrong, &hub, &Device::Cpu, &mut Silent).err().expect("another file");
    assert!(matches!(&error, EmbedderError::Catalog(_)), "{error:?}");
    assert!(error.to_string().contains("model.safetensors of me/tiny"), "{error}");
}

#[test]
fn a_hub_that_says_no_is_not_out_of_reach() {
    let server = StandInHub::start(vec![HubFile::small("config.json", "{}")], vec![]);
    let cache = tempfile::tempdir().unwrap();
    let hub = online(&server, cache.path());
    let catalog = Catalog::load(None).unwrap();
    let error = obtain("o/name", &catalog, &hub, &Device::Cpu, &mut Silent).err().expect("no weights");
    assert!(matches!(&error, EmbedderError::Hub(_)), "{error:?}");
}

#[test]
fn a_hub_that_is_gone_is_out_of_reach() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().display().to_string();
    let lookup = |name: &str| match name {
        "HF_ENDPOINT" => Some(endpoint.clone()),
        "HF_HUB_CACHE" => Some(folder.clone()),
        _ => None,
    };
    let hub = Hub::new(HubOptions::from_lookup(&lookup).unwrap()).unwrap();
    let catalog = Catalog::load(None).unwrap();
    let error = obtain("all-minilm-l6-v2", &catalog, &hub, &Device::Cpu, &mut Silent).err().expect("no hub");
    assert!(matches!(&error, EmbedderError::OutOfReach { .. }), "{error:?}");
}

#[test]
fn a_cross_encoder_comes_from_a_hub_too() {
    let (server, cache) = (StandInHub::start(files("cross_encoder"), vec![]), tempfile::tempdir().unwrap());
    for hub in [online(&server, cache.path()), offline(cache.path())] {
        assert!(CrossEncoder::obtain("o/cross", &hub, &Device::Cpu, &mut Silent).is_ok());
    }
}
