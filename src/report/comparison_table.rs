//! A comparison as a table for people. A pure function of [`ComparisonReport`].

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};

use super::comparison::{Candidate, CasePair, ComparisonReport, MetricPair};
use crate::stats::estimate::{Interval, LEVEL};
use crate::units;

/// Writes one table per candidate, what could not be compared, and how to read it.
pub fn write(report: &ComparisonReport, out: &mut dyn Write) -> io::Result<()> {
    for candidate in &report.candidates {
        writeln!(out, "baseline:  {}\ncandidate: {}\n", report.baseline, candidate.report)?;
        write_candidate(candidate, out)?;
    }
    write_reading(report, out)?;
    write_failures(report, out)
}

fn write_candidate(candidate: &Candidate, out: &mut dyn Write) -> io::Result<()> {
    if candidate.cases.is_empty() {
        writeln!(out, "No case is in both reports, so nothing could be compared.")?;
    } else {
        writeln!(out, "{}", table(&candidate.cases).trim_fmt())?;
    }
    for case in &candidate.cases {
        for note in &case.differs {
            writeln!(out, "note: {}: {note}", case.id)?;
        }
        if case.metrics.is_empty() {
            writeln!(out, "note: {}: one of the two has no complete sample", case.id)?;
        }
    }
    for id in &candidate.only_in_baseline {
        writeln!(out, "only in the baseline: {id}")?;
    }
    for id in &candidate.only_in_candidate {
        writeln!(out, "only in the candidate: {id}")?;
    }
    writeln!(out)
}

fn table(cases: &[CasePair]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["case", "metric", "baseline", "candidate", "ratio", "interval", "verdict"]);
    for case in cases {
        let mark = if case.differs.is_empty() { "" } else { " (see note)" };
        for metric in &case.metrics {
            table.add_row(row(&case.id, metric, mark));
        }
    }
    for column in table.column_iter_mut().skip(2).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn row(case: &str, metric: &MetricPair, mark: &str) -> [String; 7] {
    let median = |value: f64, n: u32| format!("{} (n={n})", units::significant(value));
    let missing = || "n/a".to_string();
    [
        case.into(),
        metric.metric.into(),
        median(metric.baseline_median, metric.baseline_n),
        median(metric.candidate_median, metric.candidate_n),
        metric.ratio.map_or_else(missing, |ratio| format!("{:.3}", ratio.value)),
        metric.ratio.map_or_else(missing, interval),
        metric.verdict.map_or("too few samples", |verdict| verdict.words()).to_string() + mark,
    ]
}

/// `1.150 to 1.254`, with the level where it is not 95 %.
fn interval(ratio: Interval) -> String {
    let ends = format!("{:.3} to {:.3}", ratio.low, ratio.high);
    if ratio.level < LEVEL { format!("{ends} ({:.0} %)", 100.0 * ratio.level) } else { ends }
}

fn write_reading(report: &ComparisonReport, out: &mut dyn Write) -> io::Result<()> {
    let verdicts = report.verdicts();
    writeln!(
        out,
        "How to read this: the ratio is candidate / baseline of the medians; its interval holds the true\n\
         ratio in 95 % of cases, or as many as stand behind it. A difference is shown where the interval\n\
         leaves out 1. {verdicts} ratios were judged: of 20 equal ones, one or two show a difference by chance."
    )
}

fn write_failures(report: &ComparisonReport, out: &mut dyn Write) -> io::Result<()> {
    let Some(share) = report.fail_above else {
        return Ok(());
    };
    let percent = units::significant(100.0 * share);
    if report.failures.is_empty() {
        return writeln!(out, "\nNo case is shown to be slower by more than {percent} %.");
    }
    writeln!(out, "\nShown to be slower by more than {percent} %:")?;
    for failure in &report.failures {
        let (case, metric) = (&failure.case, failure.metric);
        writeln!(
            out,
            "  {case} {metric}: ratio {:.3}, interval {}, in {}",
            failure.ratio.value,
            interval(failure.ratio),
            failure.report
        )?;
    }
    Ok(())
}
