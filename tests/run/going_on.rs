//! Runs that are stopped, by Ctrl-C or by force, and go on.
#![cfg(unix)]

use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::place::{Outcome, Place, codes, fixture, ids, list, samples, word};

/// Starts a run and returns once its first block of samples is saved.
fn started(place: &Place, runs: &str) -> Child {
    let folder = word(&fixture("qwen3"));
    let words =
        [folder.as_str(), "--runs", runs, "--context", "64,512", "--output-tokens", "32", "--threads", "1"];
    let mut command = place.run_command(&words);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    while !place.path("out/report.json").exists() {
        let ended = child.try_wait().expect("the child can be asked");
        assert!(ended.is_none(), "it ended before it saved anything: {ended:?}");
        std::thread::yield_now();
    }
    child
}

fn send(child: &Child, signal: &str) {
    let kill = format!("kill -{signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("there is a shell").success());
}

fn ended(child: Child) -> Outcome {
    Outcome::of(child.wait_with_output().expect("the child ends"))
}

fn orders(report: &Value) -> Vec<u64> {
    let samples = list(&report["cases"]).iter().flat_map(|case| list(&case["samples"]));
    let mut orders: Vec<u64> = samples.filter_map(|sample| sample["order"].as_u64()).collect();
    orders.sort();
    orders
}

#[test]
fn an_interrupted_run_reports_what_it_has_and_goes_on_to_its_end() {
    let place = Place::new();
    let child = started(&place, "150");
    send(&child, "INT");
    let outcome = ended(child);
    assert!(outcome.assert_done().stderr.contains("what was measured is kept"), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("interrupted"), "{}", outcome.stdout);
    let report = place.report();
    assert_eq!(report["interrupted"], true);
    assert!(codes(&report).contains(&"interrupted"));
    let taken = samples(&report);
    assert!((1..450).contains(&taken), "{taken}");
    let kept: Vec<Value> = list(&report["cases"]).to_vec();

    let resume = place.command(&["run", "--resume", "out"]).output().unwrap();
    Outcome::of(resume).assert_done();
    let whole = place.report();
    assert_eq!((whole["interrupted"].as_bool(), samples(&whole)), (Some(false), 450));
    assert!(!codes(&whole).contains(&"interrupted"));
    assert_eq!((&whole["command"], &whole["started_at"]), (&report["command"], &report["started_at"]));
    assert_eq!((&whole["start_up"], report["start_up"].is_object()), (&report["start_up"], true));
    assert_eq!(orders(&whole), (0..450).collect::<Vec<u64>>());
    for case in kept {
        let now = list(&whole["cases"]).iter().find(|now| now["id"] == case["id"]).expect("it is there");
        assert!(list(&now["samples"]).starts_with(list(&case["samples"])), "{}", case["id"]);
    }
    // Nothing is left to do, and nothing is lost by asking.
    Outcome::of(place.command(&["run", "--resume", "out"]).output().unwrap()).assert_done();
    assert_eq!(place.report()["cases"].as_array().map(Vec::len), whole["cases"].as_array().map(Vec::len));
}

#[test]
fn a_killed_run_leaves_the_report_of_its_last_block() {
    let place = Place::new();
    let mut child = started(&place, "100000");
    child.kill().unwrap();
    child.wait().unwrap();
    let report = place.report();
    assert_eq!(report["interrupted"], true);
    assert!(samples(&report) >= 1);
    assert!(!ids(&report).is_empty());
}

#[test]
fn a_run_stopped_before_its_first_sample_says_so() {
    let place = Place::new();
    fs::create_dir(place.path("out")).unwrap();
    let outcome = Outcome::of(place.command(&["run", "--resume", "out"]).output().unwrap());
    outcome.assert_refused(&["out", "report.json"]);
    place.file("out/report.json", "{\"schema_version\": 1");
    let outcome = Outcome::of(place.command(&["run", "--resume", "out"]).output().unwrap());
    outcome.assert_refused(&["report.json"]);
}

#[test]
fn a_run_that_goes_on_takes_no_other_plan() {
    let place = Place::new();
    for more in
        [&["--runs", "9"][..], &["--dry-run"], &["--context", "64"], &["--seed", "7"], &["qwen3-0.6b"]]
    {
        let output = place.command(&[&["run", "--resume", "out"], more].concat()).output().unwrap();
        let outcome = Outcome::of(output);
        outcome.assert_refused(&["cannot be used with", "--resume"]);
    }
}
