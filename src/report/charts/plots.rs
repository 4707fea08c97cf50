//! The charts of numbers against context: TTFT, decode rate, prefill rate. One look per group.

use super::axis::Scale;
use super::{Axis, Chart, Median, Point, Series};
use crate::report::document::{Case, Document};
use crate::report::groups::{Group, groups};
use crate::sample::Sample;
use crate::stats::estimate::Estimate;
use crate::stats::fit::Law;

/// Pieces of a curved law: enough to look smooth, few enough that rounding to the grid does not show.
const CURVE_PIECES: u32 = 16;

/// A number of a case: what each sample says, and its summary.
#[derive(Clone, Copy)]
struct Metric {
    of_sample: fn(&Sample) -> Option<f64>,
    of_case: fn(&Case) -> Option<Estimate>,
}

const TTFT: Metric = Metric { of_sample: |s| s.ttft_ms, of_case: |c| c.summary.ttft_ms };
const DECODE: Metric =
    Metric { of_sample: Sample::decode_tokens_per_s, of_case: |c| c.summary.decode_tokens_per_s };
const PREFILL: Metric =
    Metric { of_sample: Sample::prefill_tokens_per_s, of_case: |c| c.summary.prefill_tokens_per_s };

/// The charts that this document has numbers for.
pub fn charts(document: &Document) -> Vec<Chart> {
    [ttft(document), decode(document), prefill(document)].into_iter().flatten().collect()
}

fn ttft(document: &Document) -> Option<Chart> {
    let of_group = |look: usize, group: &Group| {
        let mut series = series(look, group, TTFT, |case| case.scenario != "decode");
        series.line = group.fit.and_then(|fit| fit.ttft.as_ref()).map(curve).unwrap_or_default();
        series
    };
    let series = groups(document).iter().enumerate().map(|(look, group)| of_group(look, group)).collect();
    let caption = "Dots are single samples, markers their medians with intervals; lines are the fitted \
                   laws, drawn only over the range that was measured.";
    chart("Time to first token against context", caption, ("Context [tokens]", "TTFT [ms]"), series)
        .map(|chart| in_readable_unit(Chart { x: Axis { scale: Scale::Linear, ..chart.x }, ..chart }))
}

/// Milliseconds as seconds where a value is 20 s or more: the labels stay short.
pub(super) fn in_readable_unit(mut chart: Chart) -> Chart {
    if chart.points().all(|point| point.y < 20_000.0) {
        return chart;
    }
    chart.y.label = chart.y.label.replace("[ms]", "[s]");
    for series in &mut chart.series {
        let medians = series.medians.iter_mut();
        for median in medians {
            median.at.y /= 1000.0;
            median.interval = median.interval.map(|ends| ends.map(|y| y / 1000.0));
        }
        let points = series.samples.iter_mut().chain(&mut series.line).chain(&mut series.dashed);
        points.for_each(|point| point.y /= 1000.0);
    }
    chart
}

fn decode(document: &Document) -> Option<Chart> {
    let mut all = Vec::new();
    for (look, group) in groups(document).iter().enumerate() {
        all.push(joined(series(look, group, DECODE, |case| case.scenario != "decode")));
        let mut at_depth = joined(series(look, group, DECODE, |case| case.scenario == "decode"));
        at_depth.hollow = true;
        at_depth.name.push_str(", scenario decode");
        all.push(at_depth);
    }
    let caption = "Output tokens per second after the first, one request at a time. Higher is better. Outlined \
                   markers: decode alone, at that depth of the cache.";
    chart("Decode rate against context", caption, ("Context or depth [tokens]", "Decode [tokens/s]"), all)
}

fn prefill(document: &Document) -> Option<Chart> {
    let of_group = |(look, group)| joined(series(look, group, PREFILL, |case| case.scenario != "decode"));
    let all = groups(document).iter().enumerate().map(of_group).collect();
    let caption = "Prompt tokens per second in the forward pass over the prompt. Higher is better.";
    chart("Prefill rate against context", caption, ("Context [tokens]", "Prefill [tokens/s]"), all)
}

/// A chart of the series that hold something; `None` if none does.
fn chart(title: &str, caption: &str, labels: (&str, &str), mut series: Vec<Series>) -> Option<Chart> {
    series.retain(|series| !series.is_empty());
    let mut chart = Chart {
        title: title.into(),
        caption: caption.into(),
        x: Axis { label: labels.0.into(), scale: Scale::Linear },
        y: Axis { label: labels.1.into(), scale: Scale::Linear },
        series,
    };
    chart.x.scale = Scale::for_values(chart.points().map(|point| point.x));
    (!chart.series.is_empty()).then_some(chart)
}

fn series(look: usize, group: &Group, metric: Metric, wanted: fn(&Case) -> bool) -> Series {
    let mut series = Series { name: group.subject(), look, ..Series::default() };
    for case in group.cases.iter().filter(|case| wanted(case)) {
        let x = f64::from(case.depth_tokens.unwrap_or(case.context_tokens));
        let complete = case.samples.iter().filter(|sample| sample.is_complete());
        series.samples.extend(complete.filter_map(|sample| Point::finite(x, (metric.of_sample)(sample)?)));
        series.medians.extend((metric.of_case)(case).and_then(|estimate| median(x, estimate)));
    }
    series
}

fn median(x: f64, estimate: Estimate) -> Option<Median> {
    let interval = estimate.ci_low.zip(estimate.ci_high).map(|(low, high)| [low, high]);
    let interval = interval.filter(|ends| ends.iter().all(|y| y.is_finite()));
    Some(Median { at: Point::finite(x, estimate.median)?, interval })
}

/// A line through the medians, by rising context.
fn joined(mut series: Series) -> Series {
    series.line = series.medians.iter().map(|median| median.at).collect();
    series.line.sort_by(|a, b| a.x.total_cmp(&b.x));
    series
}

/// The law over its measured range, never outside.
fn curve(law: &Law) -> Vec<Point> {
    let [low, high] = law.range_tokens.map(f64::from);
    let pieces = if law.coefficients.len() > 2 { CURVE_PIECES } else { 1 };
    let at = |i: u32| low + (high - low) * f64::from(i) / f64::from(pieces);
    let value = |n: f64| law.coefficients.iter().rev().fold(0.0, |sum, c| sum * n + c.value);
    (0..=pieces).map(at).filter_map(|n| Point::finite(n, value(n))).filter(|p| p.y >= 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_law_is_drawn_inside_its_measured_range_only() {
        let document = fixture::document();
        let law = document.fits[0].ttft.as_ref().unwrap();
        let points = curve(law);
        let [low, high] = law.range_tokens.map(f64::from);
        assert_eq!((points[0].x, points.last().unwrap().x), (low, high));
        let expected = law.coefficients[0].value
            + law.coefficients[1].value * high
            + law.coefficients.get(2).map_or(0.0, |c| c.value) * high * high;
        assert!((points.last().unwrap().y - expected).abs() < 1e-6 * expected);
    }

    #[test]
    fn every_complete_sample_is_a_dot_and_a_failed_case_is_none() {
        let document = fixture::document();
        let chart = ttft(&document).unwrap();
        let dots: usize = chart.series.iter().map(|series| series.samples.len()).sum();
        let with_ttft = |s: &&Sample| s.is_complete() && s.ttft_ms.is_some();
        let complete: usize = document
            .cases
            .iter()
            .filter(|case| case.scenario != "decode")
            .map(|case| case.samples.iter().filter(with_ttft).count())
            .sum();
        assert_eq!(dots, complete);
    }

    #[test]
    fn long_times_are_shown_in_seconds() {
        let chart = ttft(&fixture::document()).unwrap();
        assert!(chart.y.label.ends_with("[ms]"));
        let mut long = chart.clone();
        long.series[0].medians[0] = Median { at: Point { x: 64.0, y: 25_000.0 }, interval: Some([2e4, 3e4]) };
        let long = in_readable_unit(long);
        assert_eq!((long.y.label.as_str(), long.series[0].medians[0].at.y), ("TTFT [s]", 25.0));
        assert_eq!(long.series[0].medians[0].interval, Some([20.0, 30.0]));
        assert_eq!(long.series[0].samples[0].y, chart.series[0].samples[0].y / 1000.0);
    }

    #[test]
    fn a_group_keeps_its_look_in_every_chart() {
        let document = fixture::document();
        for chart in charts(&document) {
            for series in &chart.series {
                let group = groups(&document).iter().position(|g| series.name.starts_with(&g.subject()));
                assert_eq!(group, Some(series.look), "{}", series.name);
            }
        }
    }

    #[test]
    fn a_document_without_cases_has_no_charts() {
        let mut document = fixture::document();
        document.cases.clear();
        assert!(charts(&document).is_empty());
    }
}
