//! `ctxbench doctor` through the program. Measured rates are only asked to exist and to be possible.

use std::process::{Command, Output};

use serde_json::Value;

fn doctor(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctxbench"));
    command.args(["doctor", "--offline"]).args(args);
    for name in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS", "HF_ENDPOINT", "HF_HUB_OFFLINE"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).output().expect("the program starts")
}

fn json(variables: &[(&str, &str)]) -> Value {
    let output = doctor(&["--format", "json"], variables);
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
    for kind in ["f32", "q8_0"] {
        let rate = environment["matmul_flops_per_s"][kind].as_f64().expect("the rate was measured");
        assert!((1e7..1e16).contains(&rate), "{kind}: {rate}");
    }
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
fn the_text_fits_eighty_columns_and_says_what_to_do_about_a_debug_build() {
    let output = doctor(&[], &[("HF_ENDPOINT", "http://127.0.0.1:9")]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(text.contains("http://127.0.0.1:9 (offline)"), "{text}");
    assert_eq!(text.contains("cargo build --release"), cfg!(debug_assertions), "{text}");
}

#[test]
fn an_empty_cache_folder_is_said_to_be_made_later() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap();
    let found = json(&[("HF_HOME", home), ("HF_HUB_CACHE", "")]);
    assert_eq!(found["hub"]["cache"], format!("{home}/hub"));
    assert_eq!(
        (&found["hub"]["cache_exists"], &found["hub"]["reachable"]),
        (&Value::from(false), &Value::Null)
    );
}
