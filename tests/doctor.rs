//! `ctxbench doctor` through the program. Measured rates are only asked to exist and to be possible.

mod stand_in_hub;

use std::net::TcpListener;
use std::process::{Command, Output};

use serde_json::Value;
use stand_in_hub::StandInHub;

fn doctor(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctxbench"));
    command.arg("doctor").args(args);
    for name in
        ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS", "HF_ENDPOINT", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]
    {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).output().expect("the program starts")
}

fn json(variables: &[(&str, &str)]) -> Value {
    json_of(doctor(&["--offline", "--format", "json"], variables))
}

fn json_of(output: Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON document")
}

#[test]
fn the_box_is_described_and_measured() {
    let found = json(&[]);
    assert_eq!(found["tool"]["version"], env!("CARGO_PKG_VERSION"));
    let environment = &found["environment"];
    let bandwidth = environment["memory_bandwidth_bytes_per_s"].as_f64().expect("bandwidth was measured");
    assert!((1e8..1e13).contains(&bandwidth), "{bandwidth}");
    for kind in ["f32", "int8"] {
        let rate = environment["matmul_flops_per_s"][kind].as_f64().expect("the rate was measured");
        assert!((1e7..1e16).contains(&rate), "{kind}: {rate}");
    }
    assert!(environment["cpu_isa"].is_string());
    let read = found["implied"]["decode_read_bytes"].as_f64().unwrap();
    let floor = found["implied"]["tpot_floor_ms"].as_f64().unwrap();
    assert!((floor - 1000.0 * read / bandwidth).abs() < 1e-9 * floor);
}

#[test]
fn one_number_of_threads_is_settled_for_both_pools() {
    // With CANDLE_NUM_THREADS alone the program has to start itself again on any box with more cores.
    assert_eq!(json(&[("CANDLE_NUM_THREADS", "1")])["environment"]["threads"], 1);
    let both = [("RAYON_NUM_THREADS", "2"), ("CANDLE_NUM_THREADS", "1")];
    assert_eq!(json(&both)["environment"]["threads"], 2);
}

#[test]
fn the_text_fits_eighty_columns_and_says_what_to_do_about_a_hub_that_does_not_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener); // now nothing listens there
    let output = doctor(&[], &[("HF_ENDPOINT", &endpoint)]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(&format!("{endpoint} (does not answer: could not reach")), "{text}");
    let remedy = "the hub did not answer: could not reach";
    assert!(words.contains(remedy) && words.contains("check the network and HF_ENDPOINT"), "{text}");
    assert_eq!(text.contains("cargo build --release"), cfg!(debug_assertions), "{text}");
}

#[test]
fn a_hub_that_answers_is_asked_once_and_none_is_asked_offline() {
    let hub = StandInHub::start(vec![], vec![]);
    let folder = tempfile::tempdir().unwrap();
    let (home, endpoint) = (folder.path().to_str().unwrap(), hub.endpoint());
    let variables = [("HF_ENDPOINT", endpoint.as_str()), ("HF_HOME", home), ("HF_HUB_CACHE", "")];
    let found = json_of(doctor(&["--format", "json"], &variables));
    assert_eq!((&found["hub"]["reachable"], &found["hub"]["reason"]), (&Value::from(true), &Value::Null));
    assert_eq!(found["hub"]["cache"], format!("{home}/hub"));
    assert_eq!(found["hub"]["cache_exists"], false);
    assert_eq!(found["hub"]["cache_free_bytes"].as_u64().is_some(), cfg!(unix));
    assert_eq!(hub.requests().len(), 1);

    hub.forget();
    let found = &json(&variables)["hub"];
    assert_eq!((&found["endpoint"], &found["offline"]), (&endpoint.into(), &Value::from(true)));
    assert_eq!((&found["reachable"], &found["reason"]), (&Value::Null, &"offline".into()));
    assert!(hub.requests().is_empty());
}
