//! What a run writes, and where: files, stdout, stderr.

use std::fs;

use crate::place::{Outcome, Place, SMALL, fixture, samples, word};

fn with<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &SMALL[..]].concat()
}

fn rendered(place: &Place, format: &str) -> String {
    let output = place.command(&["report", "out", "--format", format]).output().expect("the program starts");
    Outcome::of(output).assert_done().stdout.clone()
}

#[test]
fn every_format_is_written_and_rendered_again_to_the_byte() {
    let place = Place::new();
    let folder = word(&fixture("qwen3"));
    let outcome = place.run(&with(&[&folder, "--format", "terminal,json,md,html,csv", "--scenario", "rag"]));
    outcome.assert_done();
    place.report();
    for format in ["json", "md", "html", "csv"] {
        let written = fs::read_to_string(place.path("out").join(format!("report.{format}"))).unwrap();
        assert!(!written.is_empty() && written == rendered(&place, format), "{format}");
    }
    assert_eq!(outcome.stdout, rendered(&place, "terminal"));
    assert!(outcome.stderr.contains("report: out") && !outcome.stdout.contains("report: out"));
    assert_eq!(fs::read_dir(place.path("out")).unwrap().count(), 4, "nothing else is left there");
}

#[test]
fn without_the_terminal_format_stdout_stays_empty_and_quiet_silences_the_rest() {
    let place = Place::new();
    let folder = word(&fixture("qwen3"));
    let outcome = place.run(&with(&[&folder, "--format", "csv,html", "--scenario", "rag", "-q"]));
    assert_eq!((outcome.assert_done().stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    let mut names: Vec<_> =
        fs::read_dir(place.path("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["report.csv", "report.html", "report.json"]);
    let rows = fs::read_to_string(place.path("out/report.csv")).unwrap().lines().count();
    assert_eq!(rows, 1 + samples(&place.report()));
}

#[test]
fn an_output_that_cannot_be_written_is_found_before_anything_is_measured() {
    let place = Place::new();
    let folder = word(&fixture("qwen3"));
    place.file("taken", "a file");
    let mut unwritable = vec!["taken", "taken/below"];
    if cfg!(target_os = "linux") {
        unwritable.push("/proc/none");
    }
    for output in unwritable {
        let outcome = place.run(&with(&[&folder, "--output", output]));
        outcome.assert_refused(&["the output folder", output, "cannot be written", "--output DIR"]);
    }
    assert_eq!(fs::read_to_string(place.path("taken")).unwrap(), "a file");
}

#[test]
fn an_older_result_stays_until_there_is_a_newer_one() {
    let place = Place::new();
    place.file("out/report.json", "older");
    place.run(&with(&["no-such-model"])).assert_refused(&["not in the catalog"]);
    assert_eq!(fs::read_to_string(place.path("out/report.json")).unwrap(), "older");
}
