//! `ctxbench compare` through the real program, on small reports that are made here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ctxbench::environment::{Environment, Tool};
use ctxbench::report::document::{Case, Document, ModelRecord, SCHEMA_VERSION, Summary, WeightsOrigin};
use ctxbench::report::experiment::Experiment;
use ctxbench::sample::Sample;
use ctxbench::verdict::validity::Validity;
use serde_json::Value;

/// Spread of the samples of every case: ± 1.5 %.
const SPREAD: [f64; 5] = [1.0, 1.01, 0.99, 1.015, 0.985];

fn sample(order: u32, prompt_tokens: u32, factor: f64) -> Sample {
    let prefill = f64::from(prompt_tokens) * factor;
    let ttft = prefill + 2.0 * factor;
    Sample {
        order,
        prompt_tokens,
        tokenize_ms: Some(factor),
        prefill_ms: Some(prefill),
        ttft_ms: Some(ttft),
        token_ready_ms: (0..4).map(|i| ttft + 10.0 * factor * f64::from(i)).collect(),
        ..Sample::default()
    }
}

fn case(tokens: u32, factor: f64) -> Case {
    let samples = SPREAD.iter().zip(0..).map(|(spread, order)| sample(order, tokens, factor * spread));
    Case {
        id: format!("qwen3-0.6b/q8_0/rag/{tokens}"),
        model: "qwen3-0.6b".into(),
        quantization: "q8_0".into(),
        dtype: "f32".into(),
        device: "cpu".into(),
        attention_path: "blocked-matmul".into(),
        scenario: "rag".into(),
        context_tokens: tokens,
        prompt_tokens: tokens,
        output_tokens: 4,
        depth_tokens: None,
        peak_memory_bytes: None,
        weights_bytes: None,
        samples: samples.collect(),
        warmups: 2,
        summary: Summary::default(),
        validity: Validity::default(),
        error: None,
        out_of_memory: false,
        card: None,
    }
}

/// A report of two cases whose times are `factor` times the usual ones.
fn document(factor: f64) -> Document {
    Document {
        experiment: Experiment::default(),
        schema_version: SCHEMA_VERSION,
        tool: Tool { version: "0.1.0".into(), git_commit: None, profile: "release".into(), features: vec![] },
        started_at: "2025-01-01T00:00:00Z".into(),
        command: vec!["ctxbench".into(), "run".into()],
        environment: Environment::default(),
        definitions: BTreeMap::new(),
        seed: 42,
        models: vec![ModelRecord {
            id: "qwen3-0.6b".into(),
            repo: None,
            revision: None,
            files: vec![],
            weights: WeightsOrigin::Random,
            parameters: 596_049_920,
            architecture: "qwen3".into(),
            max_positions: 40_960,
            kv_bytes_per_token: 114_688,
            tokenizer: "stand-in".into(),
            license: None,
        }],
        cases: vec![case(512, factor), case(2048, factor)],
        fits: vec![],
        left_out: vec![],
        longest_contexts: vec![],
        start_up: None,
        interrupted: false,
        validity: Validity::default(),
    }
}

/// A folder for one test's reports.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn write(&self, name: &str, document: &Document) -> PathBuf {
        self.write_text(name, &serde_json::to_string(document).expect("documents serialise"))
    }

    fn write_text(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a writable folder");
        std::fs::write(&path, text).expect("a writable folder");
        path
    }
}

fn compare(files: &[&Path], options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctxbench"));
    command.arg("compare").args(files).args(options).output().expect("the program starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON on stdout")
}

#[test]
fn equal_reports_show_no_difference() {
    let folder = Folder::new();
    let (a, b) = (folder.write("a.json", &document(1.0)), folder.write("b.json", &document(1.0)));
    let output = compare(&[&a, &b], &["--fail-above", "5%"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(text.matches("no difference shown").count(), 10, "{text}");
    assert!(!text.contains("slower  ") && text.contains("No case is shown to be slower by more than 5.00 %"));
}

#[test]
fn a_slower_report_fails_only_where_a_threshold_is_set() {
    let folder = Folder::new();
    let (a, b) = (folder.write("a.json", &document(1.0)), folder.write("b.json", &document(1.2)));
    let without = compare(&[&a, &b], &[]);
    assert_eq!(without.status.code(), Some(0));
    assert!(!stdout(&without).contains("no difference shown"), "{}", stdout(&without));
    let with = compare(&[&a, &b], &["--fail-above", "5%"]);
    assert_eq!(with.status.code(), Some(1));
    let text = stdout(&with);
    assert!(
        text.contains(
            "Shown to be slower by more than 5.00 %:\n  qwen3-0.6b/q8_0/rag/512 ttft_ms: ratio 1.200"
        ),
        "{text}"
    );
    let beyond = compare(&[&a, &b], &["--fail-above", "25%"]);
    assert_eq!(beyond.status.code(), Some(0), "{}", stdout(&beyond));
    let swapped = compare(&[&b, &a], &["--fail-above", "5%"]);
    assert_eq!(swapped.status.code(), Some(0));
    assert_eq!(stdout(&swapped).matches(" faster").count(), 10, "{}", stdout(&swapped));
}

#[test]
fn json_holds_ratios_intervals_and_failures() {
    let folder = Folder::new();
    let (a, b) = (folder.write("a.json", &document(1.0)), folder.write("b.json", &document(1.2)));
    let output = compare(&[&a, &b], &["--format", "json", "--fail-above", "5"]);
    let report = json(&output);
    assert_eq!(output.status.code(), Some(1));
    let metrics = &report["candidates"][0]["cases"][1]["metrics"];
    assert_eq!((&metrics[0]["metric"], &metrics[0]["verdict"]), (&"ttft_ms".into(), &"slower".into()));
    let ratio = &metrics[0]["ratio"];
    let [value, low, high] = ["value", "low", "high"].map(|key| ratio[key].as_f64().expect("a number"));
    assert!((value - 1.2).abs() < 1e-9 && low < 1.2 && low > 1.15 && high > 1.2 && high < 1.25, "{ratio}");
    assert_eq!(metrics[4]["metric"], "decode_tokens_per_s");
    assert!((metrics[4]["ratio"]["value"].as_f64().expect("a number") - 1.0 / 1.2).abs() < 1e-9);
    assert_eq!(metrics[4]["verdict"], "slower");
    // ttft_ms, prefill_ms and tpot_ms of two cases; rates do not count twice
    assert_eq!(report["failures"].as_array().map(Vec::len), Some(6));
    assert_eq!((&report["fail_above"], &report["schema_version"]), (&0.05.into(), &1.into()));
}

#[test]
fn cases_in_only_one_report_are_named() {
    let folder = Folder::new();
    let mut fewer = document(1.0);
    fewer.cases.remove(1);
    fewer.cases.push(case(4096, 1.0));
    let (a, b) = (folder.write("a.json", &document(1.0)), folder.write("b.json", &fewer));
    let text = stdout(&compare(&[&a, &b], &[]));
    assert!(text.contains("only in the baseline: qwen3-0.6b/q8_0/rag/2048"), "{text}");
    assert!(text.contains("only in the candidate: qwen3-0.6b/q8_0/rag/4096"), "{text}");
}

#[test]
fn a_threshold_that_can_judge_nothing_is_an_error_and_not_a_pass() {
    let folder = Folder::new();
    let mut other = document(1.0);
    other.cases = vec![case(4096, 1.0)];
    let (a, b) = (folder.write("a.json", &document(1.0)), folder.write("b.json", &other));
    assert_eq!(compare(&[&a, &b], &[]).status.code(), Some(0));
    let gate = compare(&[&a, &b], &["--fail-above", "5%"]);
    assert_eq!(gate.status.code(), Some(2));
    assert!(stderr(&gate).contains("--fail-above could judge nothing"), "{}", stderr(&gate));
}

#[test]
fn pairs_that_differ_in_more_than_time_are_stamped() {
    let folder = Folder::new();
    let mut other = document(1.0);
    other.models[0].weights = WeightsOrigin::Hub;
    other.cases[0].output_tokens = 64;
    other.cases[1].device = "cuda:0".into();
    other.cases[1].validity.add(ctxbench::verdict::reasons::debug_build());
    let (a, b) = (folder.write("a.json", &document(1.0)), folder.write("b.json", &other));
    let text = stdout(&compare(&[&a, &b], &[]));
    for note in [
        "note: qwen3-0.6b/q8_0/rag/512: output tokens: 4 against 64",
        "note: qwen3-0.6b/q8_0/rag/512: weights: random against hub",
        "note: qwen3-0.6b/q8_0/rag/2048: device: cpu against cuda:0",
        "note: qwen3-0.6b/q8_0/rag/2048: candidate is INVALID: debug_build",
    ] {
        assert!(text.contains(note), "{note} is not in\n{text}");
    }
    assert_eq!(text.matches("(see note)").count(), 10, "{text}");
}

#[test]
fn too_few_samples_have_no_ratio_and_failed_ones_do_not_count() {
    let folder = Folder::new();
    let mut few = document(1.2);
    few.cases[0].samples.truncate(2);
    for sample in &mut few.cases[1].samples {
        *sample = Sample { error: Some("the device went away".into()), ..Sample::default() };
    }
    few.cases[1].error = Some("every request failed".into());
    let (a, b) = (folder.write("a.json", &document(1.0)), folder.write("b.json", &few));
    let text = stdout(&compare(&[&a, &b], &[]));
    assert_eq!(text.matches("too few samples").count(), 5, "{text}");
    assert!(text.contains("n/a") && text.contains("one of the two has no complete sample"), "{text}");
    assert!(text.contains("candidate failed: every request failed"), "{text}");
}

#[test]
fn three_reports_share_one_baseline_and_folders_will_do() {
    let folder = Folder::new();
    folder.write("one/report.json", &document(1.0));
    folder.write("two/report.json", &document(1.0));
    folder.write("three/report.json", &document(1.3));
    let [one, two, three] = ["one", "two", "three"].map(|name| folder.0.path().join(name));
    let output = compare(&[&one, &two, &three], &["--format", "json", "--fail-above", "5%"]);
    let report = json(&output);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(report["baseline"], one.display().to_string());
    assert_eq!(report["candidates"].as_array().map(Vec::len), Some(2));
    let blamed = report["failures"].as_array().expect("a list").iter();
    assert!(blamed.into_iter().all(|failure| failure["report"] == three.display().to_string()));
}

#[test]
fn files_that_are_no_reports_end_in_a_sentence() {
    let folder = Folder::new();
    let good = folder.write("good.json", &document(1.0));
    let whole = std::fs::read_to_string(&good).expect("just written");
    let cases = [
        (folder.write_text("cut.json", &whole[..whole.len() / 2]), "is not JSON"),
        (folder.write_text("other.json", "{\"a\": 1}"), "is JSON but not a report of ctxbench"),
        (folder.write_text("old.json", &whole.replacen(":1,", ":0,", 1)), "has schema version 0"),
        (folder.0.path().join("gone.json"), "there is no report at"),
        (folder.0.path().to_path_buf(), "holds no report.json"),
    ];
    for (path, sentence) in cases {
        let output = compare(&[&good, &path], &[]);
        assert_eq!(output.status.code(), Some(2), "{}", path.display());
        let said = stderr(&output);
        assert!(said.contains(sentence) && said.contains(&path.display().to_string()), "{said}");
        assert!(stdout(&output).is_empty());
    }
}

#[test]
fn a_wrong_percentage_and_a_lonely_report_are_refused() {
    let folder = Folder::new();
    let a = folder.write("a.json", &document(1.0));
    let output = compare(&[&a, &a], &["--fail-above", "much"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("'much' is not a percentage of 0 or more; write 5%"),
        "{}",
        stderr(&output)
    );
    assert_eq!(compare(&[&a], &[]).status.code(), Some(2));
}
