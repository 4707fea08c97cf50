//! One self-contained page: opens offline, asks for nothing, prints well.
//!
//! Everything is formatted here; the template in `templates/` only places it, and escapes it.

mod experiment;
mod views;

use std::io::{self, Write};

use askama::Template;

use super::charts::{growth, palette, plots, roof, trace};
use super::document::{Document, ModelRecord};
use super::growth_table::{self, Laws};
use super::headline::{self, Headline};
use super::rag::{self, verdicts};
use super::table::{self, Grid, status_name};
use super::{Exporter, NOT_AVAILABLE, notes, one_line};
use crate::units::bytes;
use crate::verdict::validity::Status;
use experiment::{CardView, SectionView};
use views::{Figure, TableView, figure, table_view};

/// One self-contained page with plots.
#[derive(Clone, Copy, Debug)]
pub struct Html;

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    title: String,
    run_line: String,
    headlines: Vec<Headline>,
    limits: Vec<String>,
    status: &'static str,
    status_class: &'static str,
    notes: Vec<NoteView>,
    hint: String,
    claims_heading: &'static str,
    claims_hint: String,
    claims: Vec<CardView>,
    not_tested: Vec<String>,
    sections: Vec<SectionView>,
    behind_results: Vec<SectionView>,
    experiment_figures: Vec<Figure>,
    results: TableView,
    growth: TableView,
    growth_heading: &'static str,
    growth_hint: &'static str,
    laws: Vec<Laws>,
    figures: Vec<Figure>,
    failures: Vec<String>,
    left_out: Vec<String>,
    environment: Vec<(&'static str, String)>,
    models: Vec<ModelView>,
    definitions: Vec<(String, String)>,
    command: String,
    dark_css: String,
}

struct NoteView {
    class: &'static str,
    label: String,
    text: String,
}

struct ModelView {
    id: String,
    provenance: String,
    files: Vec<FileView>,
}

struct FileView {
    name: String,
    size: String,
    sha256: String,
}

impl Exporter for Html {
    fn name(&self) -> &'static str {
        "html"
    }

    fn write(&self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        let page = Page::new(document)?.render().map_err(io::Error::other)?;
        out.write_all(page.as_bytes())
    }
}

impl Page {
    fn new(document: &Document) -> io::Result<Self> {
        let (figures, experiment_figures) = match rag::is_experiment(document) {
            true => (Ok(Vec::new()), experiment::figures(document)),
            false => (figures(document), Ok(Vec::new())),
        };
        Ok(Self {
            title: headline::title(document),
            run_line: run_line(document),
            headlines: experiment::headlines(document),
            limits: headline::limits(document),
            status: status_name(document.validity.status),
            status_class: status_class(document.validity.status),
            notes: notes::notes(document).iter().map(note).collect(),
            hint: table::hint(document),
            results: table_view("Table of results", &table::grid(document)),
            growth: table_view(
                "Table of growth",
                &Grid::new(growth_table::COLUMNS, growth_table::rows(document)),
            ),
            growth_heading: growth_table::HEADING,
            growth_hint: growth_table::HINT,
            laws: growth_table::laws(document),
            figures: figures.map_err(io::Error::other)?,
            experiment_figures: experiment_figures.map_err(io::Error::other)?,
            claims_heading: verdicts::HEADING,
            claims_hint: verdicts::hint(document),
            claims: verdicts::cards(document).into_iter().map(experiment::claim).collect(),
            not_tested: verdicts::not_tested(document),
            sections: rag::sections(document).into_iter().map(experiment::section).collect(),
            behind_results: rag::behind_results(document).into_iter().map(experiment::section).collect(),
            failures: notes::failures(document),
            left_out: notes::left_out(document),
            environment: notes::environment(document),
            models: document.models.iter().map(model).collect(),
            definitions: document.definitions.iter().map(|(k, v)| (one_line(k), one_line(v))).collect(),
            command: notes::command(document),
            dark_css: palette::dark_css(),
        })
    }
}

fn run_line(document: &Document) -> String {
    let models: Vec<&str> = document.models.iter().map(|model| model.id.as_str()).collect();
    one_line(&format!(
        "ctxbench {}, {}, started {}",
        document.tool.version,
        models.join(", "),
        document.started_at
    ))
}

fn status_class(status: Status) -> &'static str {
    match status {
        Status::Valid => "valid",
        Status::Caveat => "caveat",
        Status::Invalid => "invalid",
    }
}

fn note(note: &notes::Note) -> NoteView {
    let line = note.line();
    let label = note.label();
    let text = line.strip_prefix(&label).unwrap_or(&line).trim_start_matches(": ").to_owned();
    NoteView { class: status_class(note.status), label, text }
}

fn figures(document: &Document) -> Result<Vec<Figure>, String> {
    let mut first = plots::charts(document);
    // Two charts fill a row: those of prefill and decode under the roof stand side by side.
    let others = first.split_off(first.len().min(2));
    let charts = [first, roof::charts(document), others, growth::charts(document), trace::charts(document)];
    charts.into_iter().flatten().enumerate().map(figure).collect()
}

fn model(model: &ModelRecord) -> ModelView {
    let file = |file: &super::document::FileRecord| FileView {
        name: one_line(&file.name),
        size: bytes(file.bytes),
        sha256: one_line(file.sha256.as_deref().unwrap_or(NOT_AVAILABLE)),
    };
    ModelView {
        id: one_line(&model.id),
        provenance: notes::provenance(model),
        files: model.files.iter().map(file).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_page_asks_for_nothing_outside_itself() {
        let page = fixture::render(&Html, &fixture::document());
        for outside in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(outside), "the page holds '{outside}'");
        }
    }

    #[test]
    fn text_from_elsewhere_is_escaped_everywhere() {
        let evil = "<img src=x onerror=alert(1)>";
        for document in [fixture::document(), fixture::experiment()] {
            let json = fixture::render(&crate::report::json::Json, &document);
            let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
            poison(&mut value, evil);
            let document: Document = serde_json::from_value(value).unwrap();
            let page = fixture::render(&Html, &document);
            assert!(page.contains("img src=x"), "the text itself is shown");
            assert!(!page.contains("<img"), "and never as markup");
        }
    }

    /// Puts `evil` into every string but the few that are enums.
    fn poison(value: &mut serde_json::Value, evil: &str) {
        match value {
            serde_json::Value::String(text) => *text = evil.into(),
            serde_json::Value::Array(items) => items.iter_mut().for_each(|item| poison(item, evil)),
            serde_json::Value::Object(map) => {
                let enums = ["status", "weights", "kind"];
                map.iter_mut()
                    .filter(|(key, _)| !enums.contains(&key.as_str()))
                    .for_each(|(_, v)| poison(v, evil));
            }
            _ => {}
        }
    }

    #[test]
    fn an_empty_document_still_makes_a_page() {
        let mut document = fixture::document();
        document.cases.clear();
        document.models.clear();
        document.fits.clear();
        assert!(fixture::render(&Html, &document).contains("holds no case"));
    }
}
