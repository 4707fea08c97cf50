//! One test for each thing a hub does wrong: exit code, a sentence with a remedy, and a clean cache.

use std::fs;

use crate::place::{Outcome, Place, REPO, model_files};
use crate::stand_in_hub::{Does, Fault, HubFile, Place as At, StandInHub};

const WEIGHTS: &str = "model.safetensors";

fn weights() -> HubFile {
    model_files().remove(3)
}

/// Fetches from a hub with this fault at all times; `words` must be in the error, and nothing bad in the cache.
#[track_caller]
fn refused(at: At, does: Does, words: &[&str]) -> (Place, Outcome) {
    let place = Place::new();
    let hub = StandInHub::start(model_files(), vec![Fault::always(at, does)]);
    let outcome = place.fetch(&hub, &[REPO]);
    outcome.assert_refused(words);
    assert!(!outcome.stderr.contains("body of an error"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("secret-of-the-storage"), "{}", outcome.stderr);
    place.assert_absent(&weights());
    place.assert_nothing_bad();
    (place, outcome)
}

#[test]
fn an_unknown_repository() {
    let not_found = Does::Answer(404, &[("X-Error-Code", "RepoNotFound")]);
    refused(At::Info, not_found, &["no model 'o/name'", "check the name"]);
    // Without a token, the public hub says 401 of what does not exist.
    let hidden = Does::Answer(401, &[("X-Error-Code", "RepoNotFound")]);
    refused(At::Info, hidden, &["no model 'o/name'", "set HF_TOKEN if it is private"]);
    refused(At::Info, Does::Answer(401, &[]), &["private or does not exist", "set HF_TOKEN"]);
}

#[test]
fn an_unknown_revision() {
    let place = Place::new();
    let fault = Fault::always(At::Info, Does::Answer(404, &[("X-Error-Code", "RevisionNotFound")]));
    let hub = StandInHub::start(model_files(), vec![fault]);
    let outcome = place.fetch(&hub, &["o/name@v9"]);
    outcome.assert_refused(&["no revision 'v9'", "leave it out"]);
}

#[test]
fn a_file_that_is_gone() {
    let gone = Does::Answer(404, &[("X-Error-Code", "EntryNotFound")]);
    refused(At::Resolve(WEIGHTS), gone, &["no file 'model.safetensors'", "another revision"]);
}

#[test]
fn a_gated_repository() {
    let gated = Does::Answer(401, &[("X-Error-Code", "GatedRepo")]);
    refused(At::Resolve(WEIGHTS), gated, &["is gated", "accept its terms", "HF_TOKEN"]);
    let hub = StandInHub::start(
        model_files(),
        vec![Fault::always(At::Resolve(WEIGHTS), Does::Answer(403, &[("X-Error-Code", "GatedRepo")]))],
    );
    let output = Place::new().command(&hub, &[REPO]).env("HF_TOKEN", "hf_mine").output().unwrap();
    let outcome = Outcome::of(output);
    outcome.assert_refused(&["is gated", "no access yet", "accept its terms"]);
    assert!(!outcome.stderr.contains("hf_mine"));
}

#[test]
fn a_refused_token_that_the_server_echoes() {
    let fault = Fault::always(At::Info, Does::Answer(403, &[("X-Error-Message", "no hf_mine here")]));
    let hub = StandInHub::start(model_files(), vec![fault]);
    let output = Place::new().command(&hub, &[REPO]).env("HF_TOKEN", "hf_mine").output().unwrap();
    let outcome = Outcome::of(output);
    outcome.assert_refused(&["forbids access to o/name", "no <token> here", "what HF_TOKEN may read"]);
    assert!(!outcome.stderr.contains("hf_mine"));
}

#[test]
fn too_many_requests() {
    let limited = Does::Answer(429, &[("Retry-After", "3600")]);
    let words = ["too many requests", "come back in 1h", "set HF_TOKEN"];
    refused(At::Info, limited.clone(), &words);
    refused(At::Resolve(WEIGHTS), limited, &words);
}

#[test]
fn a_fault_of_the_server() {
    refused(At::Content(WEIGHTS), Does::Answer(503, &[]), &["status 503", "again later"]);
}

#[test]
fn a_fault_that_passes_is_overcome() {
    let faults = vec![
        Fault::once(At::Info, Does::Answer(502, &[])),
        Fault::once(At::Content(WEIGHTS), Does::Answer(429, &[("Retry-After", "0")])),
    ];
    let (hub, place) = (StandInHub::start(model_files(), faults), Place::new());
    let outcome = place.fetch(&hub, &[REPO]);
    assert!(outcome.assert_done().stderr.contains("trying again in"), "{}", outcome.stderr);
    assert_eq!(fs::read(place.pointer(WEIGHTS)).unwrap(), weights().content);
}

#[test]
fn a_storage_that_refuses_the_signature() {
    refused(
        At::Content(WEIGHTS),
        Does::Answer(403, &[]),
        &["storage", "refused the download", "fresh address"],
    );
}

#[test]
fn a_body_that_always_breaks_off_at_once() {
    refused(At::Content(WEIGHTS), Does::Cut(0), &["broke off at 0 B of 1.00 MiB", "goes on there"]);
}

#[test]
fn a_body_longer_than_listed() {
    for does in [Does::Longer(7), Does::LongerChunked(7)] {
        let (place, _) = refused(At::Content(WEIGHTS), does, &["but the repository lists 1048576", "proxy"]);
        assert!(!place.partial(&weights()).exists());
    }
}

#[test]
fn the_right_length_with_other_bytes() {
    let (place, _) = refused(At::Content(WEIGHTS), Does::Corrupt, &["is not the file", "SHA-256", "proxy"]);
    assert!(!place.partial(&weights()).exists());
    refused(At::Content("config.json"), Does::Corrupt, &["config.json from", "git id", "proxy"]);
}

#[test]
fn a_login_page_instead_of_a_hub() {
    let page = Does::Say("<html>please log in</html>".into());
    refused(At::Info, page.clone(), &["does not answer like a hub", "login page"]);
    refused(At::Tree, page, &["does not answer like a hub", "login page"]);
    let strange = Does::Say(r#"{"sha":"../../../etc/passwd"}"#.into());
    refused(At::Info, strange, &["names no commit", "HF_ENDPOINT"]);
}

#[test]
fn a_file_name_that_leaves_its_folder() {
    let id = "0".repeat(40);
    for name in ["../../evil", "/etc/evil", "a\\\\..\\\\evil"] {
        let list = format!(r#"[{{"type":"file","path":"{name}","size":1,"oid":"{id}"}}]"#);
        refused(At::Tree, Does::Say(list), &["not a usable file name", "'..'"]);
    }
    let list = r#"[{"type":"file","path":"config.json","size":1,"oid":"../../evil"}]"#;
    refused(At::Tree, Does::Say(list.into()), &["without a usable hash"]);
}

#[test]
fn redirects_that_lead_nowhere() {
    let circle = Does::Answer(302, &[("Location", "/o/name/resolve/x/model.safetensors")]);
    refused(At::Resolve(WEIGHTS), circle, &["redirects", "too many in a row"]);
    refused(At::Resolve(WEIGHTS), Does::Answer(302, &[]), &["redirects", "no address"]);
    let file = Does::Answer(302, &[("Location", "ftp://elsewhere/file")]);
    refused(At::Resolve(WEIGHTS), file, &["redirects", "not http or https"]);
}

#[test]
fn a_hub_that_is_not_there() {
    let (hub, place) = (StandInHub::start(vec![], vec![]), Place::new());
    let output = place.command(&hub, &[REPO]).env("HF_ENDPOINT", "http://127.0.0.1:1").output().unwrap();
    Outcome::of(output).assert_refused(&["could not reach 127.0.0.1:1", "check the network", "--offline"]);
    let output = place.command(&hub, &[REPO]).env("HF_ENDPOINT", "http://me:pass@h").output().unwrap();
    let outcome = Outcome::of(output);
    outcome.assert_refused(&["HF_ENDPOINT is not usable", "use HF_TOKEN instead"]);
    assert!(!outcome.stderr.contains("pass@"));
}

#[test]
fn a_disk_too_small_for_the_listing() {
    let mut files = model_files();
    files[3].listed_bytes = Some(1 << 60);
    let (hub, place) = (StandInHub::start(files, vec![]), Place::new());
    place.fetch(&hub, &[REPO]).assert_refused(&["is full", "still to come", "HF_HUB_CACHE"]);
    assert!(hub.transfers(WEIGHTS).is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_on_the_way() {
    let (hub, place) = (StandInHub::start(model_files(), vec![]), Place::new());
    fs::create_dir_all(place.repo().join("blobs")).unwrap();
    std::os::unix::fs::symlink("/dev/full", place.partial(&weights())).unwrap();
    place.fetch(&hub, &[REPO]).assert_refused(&["is full", "free some space"]);
    place.assert_absent(&weights());
}

#[test]
fn a_bad_file_in_the_cache_is_named_deleted_and_fetched_again() {
    let (hub, place) = (StandInHub::start(model_files(), vec![]), Place::new());
    place.fetch(&hub, &[REPO]).assert_done();
    for bad in [vec![0; 1 << 20], b"short".to_vec()] {
        fs::write(place.blob(&weights()), bad).unwrap();
        let outcome = place.fetch(&hub, &[REPO]);
        assert!(outcome.assert_done().stderr.contains(&place.blob(&weights()).display().to_string()));
        assert!(outcome.stderr.contains("is bad"), "{}", outcome.stderr);
        assert_eq!(fs::read(place.pointer(WEIGHTS)).unwrap(), weights().content);
        place.assert_nothing_bad();
    }
}

#[test]
fn a_cache_that_cannot_be_written() {
    let (hub, place) = (StandInHub::start(model_files(), vec![]), Place::new());
    fs::write(place.cache(), "a file where the folder should be").unwrap();
    place.fetch(&hub, &[REPO]).assert_refused(&["could not", "set HF_HUB_CACHE"]);
}
