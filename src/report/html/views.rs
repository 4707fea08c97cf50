//! Parts of the page that a document of either command has: tables and figures, formatted for the template.

use crate::report::NOT_AVAILABLE;
use crate::report::charts::{Chart, Series, draw};
use crate::report::table::{Grid, Head};

/// A table, as far as the page is concerned.
pub(super) struct TableView {
    pub(super) label: &'static str,
    pub(super) head: Vec<HeadView>,
    pub(super) rows: Vec<RowView>,
}

pub(super) struct HeadView {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) class: &'static str,
}

pub(super) struct RowView {
    pub(super) class: &'static str,
    pub(super) cells: Vec<CellView>,
}

pub(super) struct CellView {
    pub(super) text: String,
    pub(super) class: &'static str,
}

pub(super) struct Figure {
    pub(super) title: String,
    pub(super) caption: String,
    /// Markup made by [`draw::svg`], which escapes what it holds.
    pub(super) svg: String,
    pub(super) legend: Vec<LegendEntry>,
}

pub(super) struct LegendEntry {
    /// Markup made by [`draw::swatch`]; holds no text.
    pub(super) swatch: String,
    pub(super) name: String,
}

/// Where the leading cells change, a band begins.
pub(super) fn table_view(label: &'static str, grid: &Grid) -> TableView {
    let (columns, rows) = (&grid.heads, &grid.rows);
    let begins = |at: usize| at > 0 && rows[at][..grid.band_cells] != rows[at - 1][..grid.band_cells];
    let row = |(at, row): (usize, &Vec<String>)| RowView {
        class: if begins(at) { "band" } else { "" },
        cells: columns.iter().zip(row).map(|(column, text)| cell(column.numeric, text)).collect(),
    };
    let head = |column: &Head| HeadView {
        name: column.name,
        unit: column.unit,
        class: if column.numeric { "num" } else { "" },
    };
    TableView {
        label,
        head: columns.iter().map(head).collect(),
        rows: rows.iter().enumerate().map(row).collect(),
    }
}

fn cell(numeric: bool, text: &str) -> CellView {
    let class = match (text, numeric) {
        ("VALID", false) => "stamp valid",
        ("CAVEAT", false) => "stamp caveat",
        ("INVALID" | "FAILED", false) => "stamp invalid",
        (_, true) if text.starts_with(NOT_AVAILABLE) => "num missing",
        (_, true) => "num",
        _ => "",
    };
    CellView { text: text.into(), class }
}

pub(super) fn figure((at, chart): (usize, Chart)) -> Result<Figure, String> {
    let svg = draw::svg(&chart, &format!("chart-{at}"))?;
    let entry = |series: &Series| LegendEntry { swatch: draw::swatch(series), name: series.name.clone() };
    let legend = chart.series.iter().map(entry).collect();
    Ok(Figure { title: chart.title, caption: chart.caption, svg, legend })
}
