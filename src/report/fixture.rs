//! The synthetic document of `tests/golden`, for unit tests of the renderers.

use super::Exporter;
use super::document::Document;

/// The document of `tests/golden/two_models.json`. Its numbers are made up.
pub fn document() -> Document {
    serde_json::from_str(include_str!("../../tests/golden/two_models.json"))
        .expect("the fixture is a document")
}

/// The document of `tests/golden/rag.json`: a paired experiment. Its numbers are made up.
pub fn experiment() -> Document {
    serde_json::from_str(include_str!("../../tests/golden/rag.json")).expect("the fixture is a document")
}

/// What `exporter` makes of `document`.
pub fn render(exporter: &dyn Exporter, document: &Document) -> String {
    let mut out = Vec::new();
    exporter.write(document, &mut out).expect("memory takes every byte");
    String::from_utf8(out).expect("every format is UTF-8")
}
