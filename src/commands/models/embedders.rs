//! The short table of embedders under that of models.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};

use crate::catalog::embedder::Embedder;
use crate::units;

/// Writes the table, if there is anything to write.
pub(super) fn write(out: &mut dyn Write, embedders: &[Embedder], footnotes: &[&str]) -> io::Result<()> {
    if embedders.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    for line in table(embedders, footnotes).to_string().lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out, "\nEmbedders turn a text into a vector, for retrieval: `fetch` takes them, `run` not.")
}

fn table(embedders: &[Embedder], footnotes: &[&str]) -> Table {
    let mut table = Table::new();
    let head = ["embedder", "size", "file", "numbers", "max tokens", "pooling", "licence", "see"];
    table.load_style(presets::NOTHING).set_header(head);
    for embedder in embedders {
        table.add_row(row(embedder, footnotes));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if (1..5).contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn row(embedder: &Embedder, footnotes: &[&str]) -> [String; 8] {
    [
        embedder.id.clone(),
        format!("{}M", units::significant(embedder.shape.parameters() as f64 / 1e6)),
        embedder.weight_file_bytes().map_or("n/a".into(), units::bytes),
        embedder.dimensions.to_string(),
        units::thousands(embedder.max_tokens as i64),
        embedder.pooling.name().into(),
        embedder.license.clone(),
        super::table::marks(&embedder.unverified, footnotes),
    ]
}
