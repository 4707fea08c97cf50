//! A temporary home for a run, the program in it, and what every report of it must keep.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::stand_in_hub::{HubFile, StandInHub};

/// Three samples, a short context, few output tokens; one thread, since two wait for each other on a busy box.
pub const SMALL: [&str; 8] = ["--runs", "3", "--context", "64", "--output-tokens", "4", "--threads", "1"];

/// The reference fixture of that architecture.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A file of a fixture.
pub fn fixture_bytes(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).expect("the fixture is there")
}

/// A path as an argument.
pub fn word(path: &Path) -> String {
    path.to_str().expect("the path is UTF-8").to_owned()
}

/// A repository with a whole small model: weights, tokenizer, chat template.
pub fn tiny_model() -> Vec<HubFile> {
    vec![
        HubFile::small("config.json", fixture_bytes("qwen3/config.json")),
        HubFile::small("tokenizer.json", fixture_bytes("tiny-tokenizer/tokenizer.json")),
        HubFile::small("tokenizer_config.json", fixture_bytes("tiny-tokenizer/tokenizer_config.json")),
        HubFile::small("README.md", "a model"),
        HubFile::large("model.safetensors", fixture_bytes("qwen3/model.safetensors")),
    ]
}

/// A folder and cache of its own.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder can be made") }
    }

    /// A path inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file inside, as an argument.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it is inside")).expect("a folder can be made");
        fs::write(&path, content).expect("a file can be written");
        word(&path)
    }

    /// A catalog with one model, id `tiny`, in which `from` is replaced by `to`.
    pub fn catalog(&self, from: &str, to: &str) -> String {
        let entry = r#"[[model]]
id = "tiny"
repo = "me/tiny"
license = "MIT"
[model.shape]
architecture = "qwen3"
vocab_size = 512
hidden_size = 64
layers = 2
heads = 4
kv_heads = 2
head_dim = 16
intermediate_size = 128
rope_theta = 1e6
rms_norm_eps = 1e-6
max_positions = 4096
tie_embeddings = true
"#;
        self.file("catalog.toml", entry.replace(from, to))
    }

    /// `ctxbench ARGS` inside this place, with nothing of this process's environment and no hub.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ctxbench"));
        command.args(args).env_clear().stdin(Stdio::null()).current_dir(self.folder.path());
        command.env("HF_ENDPOINT", "http://127.0.0.1:1").env("HF_HUB_CACHE", self.path("cache"));
        command.env("HOME", self.folder.path());
        command
    }

    /// `ctxbench run ARGS`, into `out` unless they name another folder.
    pub fn run(&self, args: &[&str]) -> Outcome {
        Outcome::of(self.run_command(args).output().expect("the program starts"))
    }

    /// The same, not started.
    pub fn run_command(&self, args: &[&str]) -> Command {
        let output: &[&str] = if args.contains(&"--output") { &[] } else { &["--output", "out"] };
        self.command(&[&["run"], output, args].concat())
    }

    /// The same with a hub to ask.
    pub fn run_with(&self, hub: &StandInHub, args: &[&str]) -> Outcome {
        let mut command = self.run_command(args);
        Outcome::of(command.env("HF_ENDPOINT", hub.endpoint()).output().expect("the program starts"))
    }

    /// The report under `folder`, held against the schema and against itself.
    #[track_caller]
    pub fn report_in(&self, folder: &str) -> Value {
        let text = fs::read_to_string(self.path(folder).join("report.json")).expect("a report was written");
        let report: Value = serde_json::from_str(&text).expect("a report is JSON");
        assert_sound(&report);
        report
    }

    /// The report of [`Self::run`].
    #[track_caller]
    pub fn report(&self) -> Value {
        self.report_in("out")
    }
}

/// What holds of every report, whatever was measured.
#[track_caller]
fn assert_sound(report: &Value) {
    assert_valid(report);
    let mut orders = BTreeSet::new();
    for case in list(&report["cases"]) {
        for sample in list(&case["samples"]) {
            assert!(orders.insert(sample["order"].as_u64()), "an order is there twice");
            assert_eq!(sample["prompt_tokens"], case["context_tokens"], "{}", case["id"]);
            assert_times_fit(case, sample);
        }
    }
}

/// A report is what the schema says.
#[track_caller]
pub fn assert_valid(report: &Value) {
    let schema = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/schema.json"));
    let schema: Value = serde_json::from_slice(&schema.expect("the schema is there")).expect("it is JSON");
    let validator = jsonschema::draft202012::new(&schema).expect("the schema is a schema");
    let errors: Vec<String> = validator.iter_errors(report).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

/// The parts of a sample against its whole.
#[track_caller]
fn assert_times_fit(case: &Value, sample: &Value) {
    assert!(sample["error"].is_null(), "{sample}");
    let ready: Vec<f64> = list(&sample["token_ready_ms"]).iter().filter_map(Value::as_f64).collect();
    assert_eq!(Some(ready.len() as u64), case["output_tokens"].as_u64());
    assert!(ready.is_sorted());
    if case["scenario"] == "decode" {
        assert!(sample["ttft_ms"].is_null() && sample["prefill_ms"].is_null());
        return;
    }
    let ms = |key: &str| sample[key].as_f64().expect("a time");
    assert_eq!(ready[0], ms("ttft_ms"));
    assert!(ms("tokenize_ms") > 0.0 && ms("prefill_ms") > 0.0);
    assert!(ms("ttft_ms") >= ms("tokenize_ms") + ms("prefill_ms") - 1e-6, "{sample}");
}

/// A list, or nothing.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Codes of the reasons in a stamp.
pub fn codes(stamped: &Value) -> Vec<&str> {
    list(&stamped["validity"]["reasons"]).iter().filter_map(|reason| reason["code"].as_str()).collect()
}

/// Ids of the cases, in order.
pub fn ids(report: &Value) -> Vec<&str> {
    list(&report["cases"]).iter().filter_map(|case| case["id"].as_str()).collect()
}

/// The different orders in which blocks of one sample a case went through the cases.
pub fn turns(report: &Value) -> BTreeSet<Vec<usize>> {
    let cases = list(&report["cases"]).iter().enumerate();
    let mut taken: Vec<(Option<u64>, usize)> = cases
        .flat_map(|(at, case)| list(&case["samples"]).iter().map(move |s| (s["order"].as_u64(), at)))
        .collect();
    taken.sort();
    taken
        .chunks(list(&report["cases"]).len())
        .map(|block| block.iter().map(|(_, case)| *case).collect())
        .collect()
}

/// How many samples all cases have.
pub fn samples(report: &Value) -> usize {
    list(&report["cases"]).iter().map(|case| list(&case["samples"]).len()).sum()
}

/// How the program ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    pub fn assert_done(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// It could not run, said all of `words` in an error, and printed no result.
    #[track_caller]
    pub fn assert_refused(&self, words: &[&str]) -> &Self {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert_eq!(self.stdout, "");
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        let error = self.stderr.split("error: ").nth(1).unwrap_or_default();
        for word in words {
            assert!(error.contains(word), "'{word}' is not in: {}", self.stderr);
        }
        self
    }
}
