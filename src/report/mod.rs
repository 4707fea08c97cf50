//! The document, and every format it is shown in. Cannot start a run.
//!
//! A [`document::Document`] comes in, bytes go out. An [`Exporter`] sees nothing but the document, so
//! `ctxbench report` gives the same bytes years later. Only [`read`] and [`write`](mod@write) touch files.

use std::io::{self, Write};

use document::Document;

pub mod assemble;
pub mod card;
pub mod charts;
pub mod comparison;
pub mod comparison_table;
pub mod contrast;
pub mod csv;
pub mod definitions;
pub mod document;
pub mod during;
pub mod evidence;
pub mod experiment;
pub mod fits;
pub mod groups;
pub mod growth;
pub mod growth_table;
pub mod headline;
pub mod html;
pub mod json;
pub mod limits;
pub mod longest;
pub mod markdown;
pub mod notes;
pub mod pairs;
pub mod rag;
pub mod read;
pub mod roof;
pub mod start_up;
pub mod summarise;
pub mod table;
pub mod terminal;
pub mod theory;
pub mod write;

#[cfg(test)]
mod fixture;

/// Renders a document in one format. A pure function of the document: no clock, no files.
pub trait Exporter {
    /// Name on the command line and file extension, e.g. `md`.
    fn name(&self) -> &'static str;

    /// Writes the whole document.
    fn write(&self, document: &Document, out: &mut dyn Write) -> io::Result<()>;
}

/// Shown where a number is missing.
pub const NOT_AVAILABLE: &str = "n/a";

/// One line of text from elsewhere (a file, a hub, an error): control characters become spaces.
pub fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_becomes_one_harmless_line() {
        assert_eq!(one_line("a\u{1b}[31m\n  b\t"), "a [31m b");
    }
}
