//! Paired differences of the time to the first token, as dots with whiskers beside a line at zero.

use plotters::prelude::*;

use super::axis::signed_ticks;
use super::draw::DrawResult;
use super::palette;
use super::rows::{Area, Label, Rows, Strip};
use crate::report::document::Document;
use crate::report::experiment::Pair;
use crate::report::rag::pairs::{in_order, what};
use crate::stats::paired::Paired;
use crate::units::{span, thousands};

/// A chart of differences.
#[derive(Clone, Debug, PartialEq)]
pub struct Differences {
    /// What it shows, in a few words.
    pub title: String,
    /// How to read it, in a sentence.
    pub caption: String,
    /// From top to bottom.
    pub rows: Vec<Difference>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Its name.
    pub name: String,
    /// In ms.
    pub of: Paired,
}

/// The chart; `None` where no difference of a TTFT was measured.
pub fn chart(document: &Document) -> Option<Differences> {
    let of_ttft = |pair: &&Pair| pair.metric == "rag_ttft_ms" || pair.metric == "ttft_ms";
    let pairs: Vec<&Pair> = in_order(document).into_iter().filter(of_ttft).collect();
    let mut lengths: Vec<Option<u32>> = pairs.iter().map(|pair| pair.context_tokens).collect();
    lengths.sort_unstable();
    lengths.dedup();
    let row = |pair: &&Pair| {
        let length = pair.context_tokens.filter(|_| lengths.len() > 1);
        let length = length.map_or(String::new(), |n| format!(", {} tokens", thousands(n.into())));
        let of = pair.difference.filter(|p| p.median.is_finite())?;
        Some(Difference { name: format!("{}{length}", what(pair)), of })
    };
    let rows: Vec<Difference> = pairs.iter().filter_map(row).collect();
    (!rows.is_empty()).then(|| Differences {
        title: "What each difference between two arms comes to".into(),
        caption: "Paired differences of the time to the first token, with intervals. Right of zero: slower. Left: faster. \
                  A whisker across zero shows no difference."
            .into(),
        rows,
    })
}

/// The chart as an `<svg>` element; `id` is unique on its page. Errors only if plotters refuses the drawing.
pub fn svg(chart: &Differences, id: &str) -> Result<String, String> {
    let ends = chart.rows.iter().flat_map(|row| [row.of.ci_low, Some(row.of.median), row.of.ci_high]);
    let ends: Vec<f64> = ends.flatten().filter(|ms| ms.is_finite()).collect();
    let long = ends.iter().any(|ms| ms.abs() >= 10_000.0);
    let (unit, axis) = if long { (1000.0, "Difference [s]") } else { (1.0, "Difference [ms]") };
    let label = |row: &Difference| Label { name: row.name.clone(), told: signed(row.of.median) };
    let rows = Rows {
        title: &chart.title,
        description: description(chart),
        axis,
        ticks: signed_ticks(ends.iter().map(|ms| ms / unit)),
        labels: chart.rows.iter().map(label).collect(),
    };
    rows.svg(id, |area, at, strip| whisker(area, &rows, chart.rows[at].of, &strip, unit))
}

fn signed(ms: f64) -> String {
    if ms > 0.0 { format!("+{}", span(ms)) } else { span(ms) }
}

fn whisker<'a>(area: &Area<'a>, rows: &Rows, of: Paired, strip: &Strip, unit: f64) -> DrawResult<'a> {
    let (middle, color) = ((strip.top + strip.bottom) / 2, palette::series(0));
    if let Some((low, high)) = of.ci_low.zip(of.ci_high) {
        let (left, right) = (rows.x(low / unit), rows.x(high / unit));
        let bar = |x: i32| PathElement::new([(x, middle - 11), (x, middle + 11)], color.stroke_width(4));
        area.draw(&PathElement::new([(left, middle), (right, middle)], color.stroke_width(4)))?;
        area.draw(&bar(left))?;
        area.draw(&bar(right))?;
    }
    let corners: Vec<(i32, i32)> =
        palette::shape(0).iter().map(|(x, y)| (rows.x(of.median / unit) + x, middle + y)).collect();
    area.draw(&Polygon::new(corners, color.filled()))
}

fn description(chart: &Differences) -> String {
    let of_row = |row: &Difference| {
        let interval = row.of.ci_low.zip(row.of.ci_high);
        let interval =
            interval.map_or(String::new(), |(low, high)| format!(" ({} to {})", span(low), span(high)));
        format!("{}: {}{interval}.", row.name, signed(row.of.median))
    };
    chart.rows.iter().map(of_row).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn differences_of_the_first_token_are_rows_and_those_of_other_times_are_not() {
        let chart = chart(&fixture::experiment()).unwrap();
        let names: Vec<&str> = chart.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names[..2], ["What RAG adds to the first token", "Context tax: the long prompt"]);
        assert_eq!(names.len(), 7);
        let drawn = svg(&chart, "d").unwrap();
        assert!(drawn.contains("What RAG adds to the first token: +3.91 s (3.90 s to 3.93 s)."), "{drawn}");
    }

    #[test]
    fn a_difference_of_nothing_and_one_without_an_interval_draw() {
        let row =
            |median| Difference { name: "<b>".into(), of: Paired { n: 1, median, ..Paired::default() } };
        for median in [0.0, -5.0, 1e9] {
            let chart = Differences { title: "t".into(), caption: "c".into(), rows: vec![row(median)] };
            let drawn = svg(&chart, "d").unwrap();
            assert!(!drawn.contains("<b>"), "{drawn}");
        }
    }
}
