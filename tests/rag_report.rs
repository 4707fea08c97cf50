//! Reports of `ctxbench rag` in every format, from a made-up experiment.

mod common;

use std::sync::Once;

use common::rag::document;
use common::{assert_golden, ctxbench, golden, text};
use ctxbench::report::Exporter;
use ctxbench::report::json::Json;
use ctxbench::report::terminal::Terminal;

/// Path of the fixture; with `UPDATE_GOLDEN=1` it is written before any test reads it.
fn fixture() -> String {
    static CHECKED: Once = Once::new();
    CHECKED.call_once(|| assert_golden("rag.json", &written(&Json)));
    golden("rag.json").to_str().expect("the path is UTF-8").to_owned()
}

fn written(exporter: &dyn Exporter) -> String {
    let mut out = Vec::new();
    exporter.write(&document(), &mut out).expect("memory takes every byte");
    text(&out)
}

fn rendered(format: &str) -> String {
    let output = ctxbench(&["report", &fixture(), "--format", format]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn json_comes_back_byte_for_byte_with_the_keys_that_others_rely_on() {
    let json = rendered("json");
    assert_eq!(json, std::fs::read_to_string(fixture()).unwrap());
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    for pointer in [
        "/retrieval/recall_at_10",
        "/retrieval/embed_tokens_per_s",
        "/pairs/0/difference/ci_low",
        "/pairs/0/ratio/n",
        "/router/mix/0/ttft_ms_p50",
        "/verdicts/0/status",
        "/cases/2/samples/0/stages_ms/embed",
        "/cases/2/samples/0/question_id",
        "/cases/2/summary/rag_ttft_ms/median",
    ] {
        assert!(value.pointer(pointer).is_some_and(|v| !v.is_null()), "{pointer}");
    }
    assert!(value.pointer("/cases/0/samples/0/stages_ms/embed").is_some_and(|v| v.is_null()));
    assert!(value.pointer("/router/mix/0/ttft_ms_p95").is_some_and(|v| v.is_null()));
}

#[test]
fn the_first_lines_answer_what_rag_adds_and_of_what() {
    let lines = rendered("md");
    let at = |what: &str| lines.find(what).unwrap_or_else(|| panic!("no '{what}' in\n{lines}"));
    assert!(at("To the first token RAG takes **3.") < at("% is the long prompt"));
    assert!(at("% is the long prompt") < at("**Supported: RAG is slower to the first token.**"));
    assert!(at("**Supported: ") < at("## Paired differences"));
    assert!(at("## Paired differences") < at("## Where the time to the first token goes"));
    assert!(at("## Not tested") < at("## Environment"));
    assert_golden("rag.md", &lines);
}

#[test]
fn the_page_has_its_charts_and_asks_for_nothing() {
    let page = rendered("html");
    assert_eq!(page.matches("<svg viewBox=\"0 0").count(), 5, "two waterfalls, differences, TTFT, mix");
    for outside in ["http:", "https:", "src=", "href=", "url(", "<script"] {
        assert!(!page.contains(outside), "the page holds '{outside}'");
    }
    assert_eq!(page.matches("<article class=\"claim ").count(), 8);
    assert_golden("rag.html", &page);
}

#[test]
fn the_terminal_shows_verdicts_before_tables_at_any_width() {
    for width in [80, 120] {
        let shown = written(&Terminal { width });
        let widest = shown.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width.into(), "{widest} > {width}\n{shown}");
        assert_golden(&format!("rag_{width}.txt"), &shown);
    }
}

#[test]
fn csv_has_the_stages_of_each_sample() {
    let csv = rendered("csv");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let headers = reader.headers().unwrap().clone();
    let at =
        |name: &str| headers.iter().position(|h| h == name).unwrap_or_else(|| panic!("no column {name}"));
    let (embed, scenario) = (at("embed_ms"), at("scenario"));
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 72);
    for row in rows {
        let retrieves =
            row[scenario].starts_with("rag") || &row[scenario] == "hybrid" && &row[at("routed")] == "true";
        assert_eq!(!row[embed].is_empty(), retrieves, "{row:?}");
    }
}
