//! `ctxbench fetch` against a stand-in hub on loopback: what it brings, what it refuses, what it leaves behind.

mod stand_in_hub;

#[path = "hub/catalog.rs"]
mod catalog;
#[path = "hub/faults.rs"]
mod faults;
#[path = "hub/library.rs"]
mod library;
#[path = "hub/place.rs"]
mod place;
#[path = "hub/resume.rs"]
mod resume;

use std::fs;
use std::path::Path;

use place::{Place, REPO, model_files};
use stand_in_hub::{COMMIT, HubFile, Server, StandInHub, sha256};

const TOKEN: &str = "hf_token_that_must_stay_secret";

#[test]
fn a_model_is_fetched_and_each_file_is_named_with_its_size_and_hash() {
    let (hub, place) = (StandInHub::start(model_files(), vec![]), Place::new());
    let outcome = place.fetch(&hub, &[REPO]);
    outcome.assert_done();
    let mut expected = String::new();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let file = model_files().into_iter().find(|file| file.name == name).unwrap();
        assert_eq!(fs::read(place.pointer(name)).unwrap(), file.content);
        let path = place.pointer(name);
        let line = format!("{}\t{}\t{}\n", path.display(), file.content.len(), sha256(&file.content));
        expected.push_str(&line);
    }
    assert_eq!(outcome.stdout, expected);
    for word in [COMMIT, "3 files", "1.00 MiB", "free at", "licence: apache-2.0"] {
        assert!(outcome.stderr.contains(word), "'{word}' is not in {}", outcome.stderr);
    }
    place.assert_nothing_bad();
}

#[test]
fn the_cache_is_laid_out_as_python_does_it() {
    let mut files = model_files();
    files.push(HubFile::large("sub dir/m.gguf", "GGUF"));
    let (hub, place) = (StandInHub::start(files.clone(), vec![]), Place::new());
    place.fetch(&hub, &[REPO]).assert_done();
    place.fetch(&hub, &[&format!("{REPO}:sub dir/m.gguf")]).assert_done();
    for file in files.iter().filter(|file| place.blob(file).exists()) {
        let climb = "../".repeat(2 + file.name.matches('/').count());
        let target = fs::read_link(place.pointer(&file.name)).unwrap();
        assert_eq!(target, Path::new(&format!("{climb}blobs/{}", file.digest())));
        let lock = format!(".locks/models--o--name/{}.lock", file.digest());
        assert!(place.cache().join(lock).exists());
    }
    assert_eq!(fs::read_to_string(place.repo().join("refs/main")).unwrap(), COMMIT);
    assert!(fs::read_dir(place.repo().join("snapshots")).unwrap().count() == 1);
    assert!(!place.pointer("pytorch_model.bin").exists() && !place.pointer("README.md").exists());
}

#[test]
fn a_second_run_transfers_nothing_and_a_pinned_one_asks_nothing() {
    let (hub, place) = (StandInHub::start(model_files(), vec![]), Place::new());
    let first = place.fetch(&hub, &[REPO]);
    hub.forget();
    let second = place.fetch(&hub, &[REPO]);
    assert_eq!((second.assert_done().stdout.as_str(), second.code), (first.stdout.as_str(), Some(0)));
    assert_eq!(hub.requests().len(), 1, "only the commit of main is asked for");
    hub.forget();
    place.fetch(&hub, &[&format!("{REPO}@{COMMIT}")]).assert_done();
    assert_eq!(hub.requests().len(), 0);
}

#[test]
fn offline_uses_the_cache_and_makes_no_request() {
    let (hub, place) = (StandInHub::start(model_files(), vec![]), Place::new());
    let words = ["not in the cache", "drop --offline"];
    place.fetch(&hub, &[REPO, "--offline"]).assert_refused(&words);
    let online = place.fetch(&hub, &[REPO]);
    hub.forget();
    assert_eq!(place.fetch(&hub, &[REPO, "--offline"]).assert_done().stdout, online.stdout);
    let mut by_variable = place.command(&hub, &[REPO]);
    let output = by_variable.env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert_eq!(place::Outcome::of(output).assert_done().stdout, online.stdout);
    place.fetch(&hub, &["o/other", "--offline"]).assert_refused(&words);
    assert_eq!(hub.requests().len(), 0);
}

#[test]
fn offline_serves_and_checks_what_another_program_cached() {
    let (hub, place) = (StandInHub::start(model_files(), vec![]), Place::new());
    let online = place.fetch(&hub, &[REPO]);
    fs::remove_dir_all(place.repo().join(".ctxbench")).unwrap();
    assert_eq!(place.fetch(&hub, &[REPO, "--offline"]).assert_done().stdout, online.stdout);
    fs::write(place.blob(&model_files()[1]), "[]").unwrap();
    fs::remove_dir_all(place.repo().join(".ctxbench")).unwrap();
    place.fetch(&hub, &[REPO, "--offline"]).assert_refused(&["is not the file", "drop --offline"]);
}

#[test]
fn the_token_goes_to_the_hub_alone_and_is_never_printed() {
    let (hub, place) = (StandInHub::start(model_files(), vec![]), Place::new());
    let output = place.command(&hub, &[REPO, "-vv"]).env("HF_TOKEN", TOKEN).output().unwrap();
    let outcome = place::Outcome::of(output);
    outcome.assert_done();
    let (mut to_hub, mut to_storage) = (0, 0);
    for seen in hub.requests() {
        match seen.server {
            Server::Hub => {
                to_hub += 1;
                assert_eq!(seen.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
            }
            Server::Storage => {
                to_storage += 1;
                assert!(!format!("{seen:?}").contains(TOKEN), "{seen:?}");
            }
        }
    }
    assert!(to_hub > 0 && to_storage > 0);
    assert!(!format!("{outcome:?}").contains(TOKEN));
}

#[test]
fn a_renamed_repository_is_followed_by_its_relative_redirect() {
    let (hub, place) = (StandInHub::start(model_files(), vec![]), Place::new());
    place.fetch(&hub, &["old/name"]).assert_done();
    let renamed = place.cache().join("models--old--name/snapshots").join(COMMIT).join("model.safetensors");
    assert_eq!(fs::read(renamed).unwrap(), model_files()[3].content);
}

#[test]
fn shards_are_taken_as_the_index_names_them_over_pages_of_the_list() {
    let index = r#"{"metadata":{},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}}"#;
    let files = vec![
        HubFile::small("config.json", "{}"),
        HubFile::small("model.safetensors.index.json", index),
        HubFile::large("m-1.safetensors", "one"),
        HubFile::large("m-2.safetensors", "two"),
        HubFile::large("m-3.safetensors", "not in the index"),
    ];
    let (hub, place) = (StandInHub::start(files, vec![]), Place::new());
    hub.set_page(2);
    assert_eq!(place.fetch(&hub, &[REPO]).assert_done().stdout.lines().count(), 4);
    assert_eq!(fs::read(place.pointer("m-2.safetensors")).unwrap(), b"two");
    assert!(!place.pointer("m-3.safetensors").exists());
    assert_eq!(hub.requests().iter().filter(|seen| seen.target.contains("/tree/")).count(), 3);
}

#[test]
fn files_at_hand_are_imported_if_they_are_the_right_ones() {
    let (hub, place) = (StandInHub::start(model_files(), vec![]), Place::new());
    let folder = tempfile::tempdir().unwrap();
    let import = [REPO, "--from", folder.path().to_str().unwrap()];
    let weights = &model_files()[3];
    fs::write(folder.path().join("config.json"), &model_files()[0].content).unwrap();
    place.fetch(&hub, &import).assert_refused(&["model.safetensors is not there", "--from"]);
    let mut other = weights.content.clone();
    other[5] ^= 1;
    fs::write(folder.path().join("model.safetensors"), other).unwrap();
    place.fetch(&hub, &import).assert_refused(&["is not the file", "SHA-256"]);
    place.assert_absent(weights);
    assert!(!place.partial(weights).exists());
    fs::write(folder.path().join("model.safetensors"), &weights.content).unwrap();
    assert_eq!(place.fetch(&hub, &import).assert_done().stdout.lines().count(), 2);
    assert!(hub.transfers("model.safetensors").is_empty() && hub.transfers("config.json").is_empty());
    place.assert_nothing_bad();
}

#[test]
fn loopback_is_reached_without_the_proxy() {
    let (hub, place) = (StandInHub::start(model_files(), vec![]), Place::new());
    let mut command = place.command(&hub, &[REPO]);
    let output =
        command.env("HTTP_PROXY", "http://127.0.0.1:9").env("ALL_PROXY", "http://127.0.0.1:9").output();
    place::Outcome::of(output.unwrap()).assert_done();
}

#[test]
fn quiet_says_nothing_but_the_result() {
    let (hub, place) = (StandInHub::start(model_files(), vec![]), Place::new());
    let outcome = place.fetch(&hub, &[REPO, "-q"]);
    assert_eq!((outcome.assert_done().stderr.as_str(), outcome.stdout.lines().count()), ("", 3));
}

#[test]
fn what_needs_no_fetching_or_does_not_exist_is_said() {
    let (hub, place) = (StandInHub::start(model_files(), vec![]), Place::new());
    place.fetch(&hub, &["./m.gguf"]).assert_refused(&["nothing to fetch", "owner/name"]);
    place.fetch(&hub, &["qwen3-06b"]).assert_refused(&["did you mean qwen3-0.6b", "owner/name"]);
    place
        .fetch(&hub, &[&format!("{REPO}:x.gguf")])
        .assert_refused(&["has no file 'x.gguf'", "check the name"]);
    place.fetch(&hub, &["o/name@../../x"]).assert_refused(&["not a usable revision"]);
}
