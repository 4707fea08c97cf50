//! Parts of the page that only a document of `ctxbench rag` has: verdict cards, sections, their figures.

use super::views::{Figure, LegendEntry, TableView, figure, table_view};
use crate::report::charts::{bars, differences, mix, waterfall};
use crate::report::document::Document;
use crate::report::headline::{self, Headline, Sentence};
use crate::report::rag::{self, verdicts};
use crate::verdict::claims::Outcome;

/// A claim with its verdict.
pub(super) struct CardView {
    pub(super) class: &'static str,
    pub(super) outcome: &'static str,
    pub(super) card: verdicts::Card,
}

pub(super) struct SectionView {
    pub(super) heading: &'static str,
    pub(super) hint: String,
    pub(super) grid: Option<TableView>,
    pub(super) lines: Vec<String>,
}

pub(super) fn claim(card: verdicts::Card) -> CardView {
    let class = match card.outcome {
        Outcome::Supported => "yes",
        Outcome::NotSupported => "no",
        Outcome::NotTestable => "open",
    };
    let outcome = verdicts::outcome_name(card.outcome);
    let (number, rule, reason) = (card.number.as_deref().map(glued), glued(&card.rule), glued(&card.reason));
    CardView { class, outcome, card: verdicts::Card { number, rule, reason, ..card } }
}

pub(super) fn section(section: rag::Section) -> SectionView {
    let grid = section.grid.as_ref().map(|grid| table_view(section.heading, grid));
    let lines = section.lines.iter().map(|line| glued(line)).collect();
    SectionView { heading: section.heading, hint: glued(&section.hint), grid, lines }
}

/// Numbers that no line break parts from their unit.
fn glued(text: &str) -> String {
    let units = [" %", " ms", " = ", " s ", " s,", " s)", " tokens"];
    units
        .iter()
        .fold(text.to_owned(), |text, unit| text.replace(unit, &unit.replacen(' ', "\u{a0}", 1)))
        .replace("\u{a0}= ", "\u{a0}=\u{a0}")
}

/// Sentences as they are, or glued where the document is an experiment's.
pub(super) fn headlines(document: &Document) -> Vec<Headline> {
    let mut headlines = headline::headlines(document);
    if rag::is_experiment(document) {
        for sentence in headlines.iter_mut().flat_map(|headline| &mut headline.sentences) {
            *sentence = Sentence::new(glued(&sentence.before), glued(&sentence.key), glued(&sentence.after));
        }
    }
    headlines
}

/// Waterfalls, differences, then the charts against a quantity.
pub(super) fn figures(document: &Document) -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    for (at, chart) in waterfall::charts(document).into_iter().enumerate() {
        let svg = bars::svg(&chart, &format!("waterfall-{at}"))?;
        let entry = |part: &bars::Part| LegendEntry { swatch: bars::swatch(part), name: part.name.into() };
        let legend = chart.parts.iter().map(entry).collect();
        figures.push(Figure { title: chart.title, caption: chart.caption, svg, legend });
    }
    if let Some(chart) = differences::chart(document) {
        let svg = differences::svg(&chart, "differences")?;
        figures.push(Figure { title: chart.title, caption: chart.caption, svg, legend: Vec::new() });
    }
    let charts = mix::charts(document).into_iter().enumerate().map(figure);
    figures.extend(charts.collect::<Result<Vec<_>, _>>()?);
    Ok(figures)
}
