//! `ctxbench report` through the real program, and the schema of what it reads.

mod common;

use std::process::{Command, Stdio};
use std::sync::Once;

use common::{assert_golden, ctxbench, golden, text};
use ctxbench::report::Exporter;
use ctxbench::report::json::Json;
use ctxbench::report::terminal::Terminal;

/// Path of the fixture; with `UPDATE_GOLDEN=1` it is written before any test reads it.
fn fixture() -> String {
    static CHECKED: Once = Once::new();
    CHECKED.call_once(|| assert_golden("two_models.json", &written(&Json)));
    golden("two_models.json").to_str().expect("the path is UTF-8").to_owned()
}

fn rendered(format: &str) -> String {
    let output = ctxbench(&["report", &fixture(), "--format", format]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn written(exporter: &dyn Exporter) -> String {
    let mut out = Vec::new();
    exporter.write(&common::synthetic::document(), &mut out).expect("memory takes every byte");
    text(&out)
}

/// A run on a card as the program renders it again.
fn on_a_card(format: &str) -> String {
    let mut document = common::synthetic::document();
    common::card::put_on_a_card(&mut document);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("report.json");
    let mut json = Vec::new();
    Json.write(&document, &mut json).expect("memory takes every byte");
    std::fs::write(&file, &json).expect("the file can be written");
    let output = ctxbench(&["report", file.to_str().expect("the path is UTF-8"), "--format", format]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(format != "json" || output.stdout == json, "json comes back byte for byte");
    text(&output.stdout)
}

#[test]
fn every_format_shows_the_card_its_energy_and_the_longest_context() {
    assert_golden("on_a_card.md", &on_a_card("md"));
    on_a_card("json");
    for format in ["md", "html", "terminal"] {
        let shown = on_a_card(format);
        let mut parts = vec![
            "drew 61.5 W before",
            "The card while each case ran",
            "power limit",
            "The longest context that ran",
            "24,576",
        ];
        if format != "terminal" {
            parts.extend(["Card before", "61.5 W", "Card, not told", "power_limit_w: not supported"]);
        }
        for part in parts {
            assert!(shown.contains(part), "'{part}' is not in {format}: {shown}");
        }
    }
}

#[test]
fn the_fixture_is_what_its_builder_makes() {
    assert_eq!(std::fs::read_to_string(fixture()).unwrap(), written(&Json));
}

#[test]
fn json_comes_back_byte_for_byte() {
    assert_eq!(rendered("json"), std::fs::read_to_string(fixture()).unwrap());
}

#[test]
fn markdown_shows_missing_rates_as_not_available() {
    let markdown = rendered("md");
    assert!(markdown.contains("| synthetic-7b | q8_0 | rag | 2,048 | 0 | n/a | n/a | n/a |"), "{markdown}");
    assert_golden("two_models.md", &markdown);
}

#[test]
fn csv_has_one_row_a_sample() {
    assert_golden("two_models.csv", &rendered("csv"));
}

#[test]
fn the_page_is_one_file_with_its_charts() {
    let page = rendered("html");
    assert!(
        page.matches("<svg viewBox=\"0 0").count() >= 4,
        "{} charts",
        page.matches("<svg viewBox").count()
    );
    assert_golden("two_models.html", &page);
}

#[test]
fn the_table_on_a_pipe_has_the_standard_width() {
    let table = rendered("terminal");
    assert_eq!(table, written(&Terminal::default()));
    assert_golden("two_models.txt", &table);
}

#[test]
fn a_folder_stands_for_the_report_in_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture(), folder.path().join("report.json")).unwrap();
    let output = ctxbench(&["report", folder.path().to_str().unwrap(), "--format", "md"]);
    assert_eq!(text(&output.stdout), rendered("md"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for format in ["terminal", "json", "md", "html", "csv"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ctxbench"))
            .args(["report", &fixture(), "--format", format])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{format}: {}", text(&output.stderr));
    }
}

#[test]
fn what_cannot_be_read_ends_in_a_sentence_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.json");
    std::fs::write(&file, "{\"schema_version\": 1}").unwrap();
    for path in [folder.path().join("absent.json"), folder.path().to_owned(), file] {
        let output = ctxbench(&["report", path.to_str().unwrap()]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(path.to_str().unwrap()), "{stderr}");
        assert!(!stderr.contains("panicked") && output.stdout.is_empty(), "{stderr}");
    }
}

/// The folders in `reports/` are real runs: what their JSON renders to now is what lies beside it.
#[test]
fn the_published_runs_render_to_the_files_beside_them() {
    for (run, formats) in [("example", &["json", "md", "html", "csv"][..]), (PAIR, &["json", "md", "html"])] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("reports").join(run);
        for format in formats {
            let output = ctxbench(&["report", &folder.to_string_lossy(), "--format", format]);
            assert!(output.status.success(), "{}", text(&output.stderr));
            let file = folder.join(format!("report.{format}"));
            assert_golden(&file.to_string_lossy(), &text(&output.stdout));
        }
    }
}

const PAIR: &str = "qwen3-against-qwen3.5";

#[test]
fn the_published_pair_is_a_release_run_of_attention_against_a_hybrid() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("reports").join(PAIR);
    let document = ctxbench::report::document::Document::read(&folder).expect("the run reads");
    assert_eq!((document.tool.profile.as_str(), document.interrupted), ("release", false));
    let models: Vec<&str> = document.models.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(models, ["qwen3-0.6b", "qwen3.5-0.8b"]);
    for tokens in [512, 1024, 2048, 4096, 8192, 16_384] {
        let there = document.cases.iter().filter(|case| case.context_tokens == tokens);
        assert_eq!(there.filter(|case| case.samples.len() >= 3 && case.error.is_none()).count(), 2);
    }
}

#[test]
fn the_example_is_a_release_run_of_three_weight_types_to_four_thousand_tokens() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/example");
    let document = ctxbench::report::document::Document::read(&folder).expect("the example reads");
    assert_eq!(document.tool.profile, "release");
    assert!(!document.interrupted && document.left_out.is_empty(), "{:?}", document.left_out);
    let weights: std::collections::BTreeSet<_> =
        document.cases.iter().map(|case| &case.quantization).collect();
    assert_eq!(weights.len(), 3, "{weights:?}");
    for case in &document.cases {
        assert!(case.error.is_none() && case.samples.len() >= 3, "{}: {:?}", case.id, case.error);
    }
    assert!(document.cases.iter().any(|case| case.scenario == "rag" && case.context_tokens == 4096));
}
