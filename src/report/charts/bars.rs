//! Stacked horizontal bars: one row a whole, one colour a part of it.

use plotters::prelude::*;

use super::axis::value_ticks;
use super::draw::DrawResult;
use super::palette;
use super::rows::{Area, Label, Rows, Strip};
use crate::units::span;

/// A chart of stacked bars.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    /// What it shows, in a few words.
    pub title: String,
    /// How to read it, in a sentence.
    pub caption: String,
    /// Parts in the order stacked.
    pub parts: Vec<Part>,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

/// What one colour is.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Name in the legend.
    pub name: &'static str,
    /// Index into the palette.
    pub look: usize,
}

/// One whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Its name.
    pub name: String,
    /// One per part, in ms; 0 for a part that it has not.
    pub lengths_ms: Vec<f64>,
    /// What is written at its end, in ms.
    pub total_ms: f64,
}

/// The chart as an `<svg>` element; `id` is unique on its page. Errors only if plotters refuses the drawing.
pub fn svg(chart: &Bars, id: &str) -> Result<String, String> {
    let sums = chart.bars.iter().map(|bar| bar.lengths_ms.iter().sum::<f64>());
    let longest = sums.clone().filter(|sum| sum.is_finite()).fold(0.0, f64::max);
    let (unit, axis) = if longest >= 10_000.0 { (1000.0, "Time [s]") } else { (1.0, "Time [ms]") };
    let label = |bar: &Bar| Label { name: bar.name.clone(), told: span(bar.total_ms) };
    let rows = Rows {
        title: &chart.title,
        description: description(chart),
        axis,
        ticks: value_ticks(sums.map(|sum| sum / unit)),
        labels: chart.bars.iter().map(label).collect(),
    };
    rows.svg(id, |area, at, strip| bar(area, &rows, chart, &chart.bars[at], &strip, unit))
}

fn bar<'a>(
    area: &Area<'a>,
    rows: &Rows,
    chart: &Bars,
    bar: &Bar,
    strip: &Strip,
    unit: f64,
) -> DrawResult<'a> {
    let mut end = 0.0;
    for (part, length) in chart.parts.iter().zip(&bar.lengths_ms) {
        let start = end;
        end += length / unit;
        let (left, right) = (rows.x(start), rows.x(end));
        if right > left {
            let corners = [(left, strip.top), (right, strip.bottom)];
            area.draw(&Rectangle::new(corners, palette::series(part.look).filled()))?;
        }
    }
    Ok(())
}

fn description(chart: &Bars) -> String {
    let of_bar = |bar: &Bar| {
        let parts = chart.parts.iter().zip(&bar.lengths_ms).filter(|(_, ms)| **ms > 0.0);
        let parts: Vec<String> = parts.map(|(part, ms)| format!("{} {}", part.name, span(*ms))).collect();
        format!("{}: {}, of which {}.", bar.name, span(bar.total_ms), parts.join(", "))
    };
    chart.bars.iter().map(of_bar).collect::<Vec<_>>().join(" ")
}

/// The colour of a part as a small `<svg>` for the legend.
pub fn swatch(part: &Part) -> String {
    format!(
        "<svg class=\"swatch\" viewBox=\"-14 -14 28 28\" aria-hidden=\"true\">\
         <rect x=\"-12\" y=\"-12\" width=\"24\" height=\"24\" fill=\"{}\"/></svg>",
        palette::series_hex(part.look)
    )
}
