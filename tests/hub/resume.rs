//! Transfers that break off, and two programs at once.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::place::{Outcome, Place, REPO, model_files};
use crate::stand_in_hub::{Does, Fault, HubFile, Place as At, Server, StandInHub};

const WEIGHTS: &str = "model.safetensors";

fn content(does: Does) -> Vec<Fault> {
    vec![Fault::once(At::Content(WEIGHTS), does)]
}

fn weights() -> HubFile {
    model_files().remove(3)
}

/// Fetches with one fault, which must be overcome; gives back the `Range` of each transfer.
fn ranges(place: &Place, faults: Vec<Fault>) -> Vec<Option<String>> {
    let hub = StandInHub::start(model_files(), faults);
    place.fetch(&hub, &[REPO]).assert_done();
    assert_eq!(fs::read(place.pointer(WEIGHTS)).expect("it was fetched"), weights().content);
    assert!(!place.partial(&weights()).exists());
    place.assert_nothing_bad();
    hub.transfers(WEIGHTS).iter().map(|seen| seen.header("range").map(Into::into)).collect()
}

fn from(byte: usize) -> Option<String> {
    Some(format!("bytes={byte}-"))
}

#[test]
fn a_body_that_breaks_off_is_resumed_by_range() {
    assert_eq!(ranges(&Place::new(), content(Does::Cut(300_000))), [None, from(300_000)]);
}

#[test]
fn a_chunked_body_that_ends_early_is_resumed_by_range() {
    assert_eq!(ranges(&Place::new(), content(Does::CutChunked(5))), [None, from(5)]);
}

#[test]
fn what_an_earlier_run_left_is_gone_on_with() {
    let place = Place::new();
    fs::create_dir_all(place.repo().join("blobs")).unwrap();
    fs::write(place.partial(&weights()), &weights().content[..700_000]).unwrap();
    assert_eq!(ranges(&place, vec![]), [from(700_000)]);
}

#[test]
fn a_wrong_beginning_is_found_out_and_the_file_fetched_whole() {
    let place = Place::new();
    fs::create_dir_all(place.repo().join("blobs")).unwrap();
    fs::write(place.partial(&weights()), vec![b'x'; 700_000]).unwrap();
    assert_eq!(ranges(&place, vec![]), [from(700_000), None]);
}

#[test]
fn a_beginning_longer_than_the_file_is_not_used_even_after_a_fault() {
    let place = Place::new();
    fs::create_dir_all(place.repo().join("blobs")).unwrap();
    fs::write(place.partial(&weights()), vec![b'x'; 3 << 20]).unwrap();
    assert_eq!(ranges(&place, content(Does::Answer(503, &[]))), [None, None]);
}

#[test]
fn a_server_that_ignores_ranges_sends_the_whole_file() {
    let place = Place::new();
    fs::create_dir_all(place.repo().join("blobs")).unwrap();
    fs::write(place.partial(&weights()), vec![b'x'; 700_000]).unwrap();
    assert_eq!(ranges(&place, content(Does::IgnoreRange)), [from(700_000)]);
}

#[test]
fn a_part_that_was_not_asked_for_is_not_used() {
    let place = Place::new();
    fs::create_dir_all(place.repo().join("blobs")).unwrap();
    fs::write(place.partial(&weights()), &weights().content[..700_000]).unwrap();
    assert_eq!(ranges(&place, content(Does::WrongRange)), [from(700_000), None]);
}

#[test]
fn a_program_that_was_killed_is_gone_on_from() {
    let (hub, place) = (StandInHub::start(model_files(), content(Does::Hold(500_000))), Place::new());
    let mut child = place.command(&hub, &[REPO]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    hub.wait_for(|seen| seen.server == Server::Storage);
    while fs::metadata(place.partial(&weights())).map_or(0, |data| data.len()) < 500_000 {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    place.assert_absent(&weights());
    place.fetch(&hub, &[REPO]).assert_done();
    assert_eq!(hub.transfers(WEIGHTS)[1].header("range"), from(500_000).as_deref());
    assert_eq!(fs::read(place.pointer(WEIGHTS)).unwrap(), weights().content);
    place.assert_nothing_bad();
}

#[test]
fn of_two_programs_at_once_one_fetches_and_the_other_waits_for_it() {
    let (hub, place) = (StandInHub::start(model_files(), content(Does::Hold(1000))), Place::new());
    let start = || {
        let mut command = place.command(&hub, &[REPO]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let first = start();
    hub.wait_for(|seen| seen.server == Server::Storage);
    let mut second = start();
    let mut lines = BufReader::new(second.stderr.take().unwrap()).lines();
    let waiting = lines.find(|line| line.as_ref().unwrap().contains("another process is fetching it"));
    assert!(waiting.is_some());
    hub.release();
    let first = Outcome::of(first.wait_with_output().unwrap());
    let second = Outcome::of(second.wait_with_output().unwrap());
    assert_eq!(first.assert_done().stdout, second.assert_done().stdout);
    assert_eq!(hub.transfers(WEIGHTS).len(), 1);
    place.assert_nothing_bad();
}
