//! A graphics card through the program: the driver's library is one of ours, made by the C compiler that builds need
//! anyway, and found where the loader is told to look.
#![cfg(target_os = "linux")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// A folder with a `libnvidia-ml.so.1` that knows one made-up card.
fn driver(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/nvml/nvml.c");
    let library = folder.join("libnvidia-ml.so.1");
    let status = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(status.expect("there is a C compiler").success());
    folder.into()
}

fn ctxbench(args: &[&str], libraries: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ctxbench"))
        .args(args)
        .env("LD_LIBRARY_PATH", libraries)
        .output()
        .expect("the program starts")
}

fn doctor(libraries: &Path) -> Value {
    let output = ctxbench(&["doctor", "--offline", "--format", "json"], libraries);
    assert!(output.status.success(), "{}", common::text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON document")
}

#[test]
fn doctor_tells_the_card_as_its_driver_does_and_how_to_build_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let libraries = driver(folder.path());
    let found = doctor(&libraries);
    let (identity, state) = (&found["cards"][0]["identity"], &found["cards"][0]["state"]);
    for (field, value) in [
        ("name", json!("NVIDIA Example 9")),
        ("uuid", json!("GPU-example")),
        ("driver_version", json!("580.99.01")),
        ("cuda_version", json!("13.0")),
        ("compute_capability", json!("9.0")),
        ("memory_total_bytes", json!(80_u64 << 30)),
        ("sm_clock_max_mhz", json!(1980)),
        ("memory_clock_max_mhz", json!(2619)),
        ("power_limit_w", Value::Null),
    ] {
        assert_eq!(identity[field], value, "{field}");
    }
    for (field, value) in [
        ("memory_used_bytes", json!(6_u64 << 30)),
        ("memory_free_bytes", json!(74_u64 << 30)),
        ("sm_clock_mhz", json!(345)),
        ("memory_clock_mhz", json!(1593)),
        ("throttle_reasons", json!(["power_cap", "hardware_slowdown"])),
        ("power_w", json!(71.5)),
        ("temperature_c", Value::Null),
        ("energy_j", json!(1234.567)),
        ("processes", json!([{ "pid": 4321, "memory_bytes": 5_u64 << 30 }])),
    ] {
        assert_eq!(state[field], value, "{field}");
    }
    assert!(identity["unread"]["power_limit_w"].as_str().unwrap().contains("not available on the target"));
    assert!(state["unread"]["temperature_c"].as_str().unwrap().contains("nvmlDeviceGetTemperature"));
    assert_eq!(found["accelerators"][0]["name"], "NVIDIA Example 9");
    assert_eq!(found["cards_unread"], Value::Null);

    let text = common::text(&ctxbench(&["doctor", "--offline"], &libraries).stdout);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let built = if cfg!(feature = "cuda") { "usable with --device" } else { "--features cuda" };
    for part in [
        "NVIDIA Example 9",
        "CUDA up to 13.0, compute capability 9.0",
        "74.0 GiB free",
        "SM clock 345 MHz",
        "clocks held down by the power limit, a slowdown by hardware",
        "power n/a",
        "card 0 is in use by 1 other processes",
        "card 0 is slowed down: a slowdown by hardware",
        built,
    ] {
        assert!(words.contains(part), "'{part}' is not in {text}");
    }
}

#[test]
fn without_a_driver_there_is_no_card_and_the_reason_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("libnvidia-ml.so.1"), "this is no library").unwrap();
    let found = doctor(folder.path());
    assert_eq!(found["cards"], json!([]));
    let why = found["cards_unread"].as_str().expect("the reason");
    assert!(why.starts_with("the driver's library (NVML, libnvidia-ml.so.1) could not be asked: "), "{why}");
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_card_that_this_build_cannot_use_is_refused_with_the_build_that_can() {
    let folder = tempfile::tempdir().unwrap();
    let output = ctxbench(&["run", "--device", "cuda"], &driver(folder.path()));
    let said = common::text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cargo build --release --features cuda"), "{said}");
}
