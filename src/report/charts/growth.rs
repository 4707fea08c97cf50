//! The charts of the growth law: measured time of one token against context, beside what counting predicts.

use super::axis::Scale;
use super::{Axis, Chart, Median, Point, Series};
use crate::report::document::Document;
use crate::report::groups::{Group, groups};
use crate::report::growth::{Measured, Phase, measured};
use crate::report::theory::Theory;
use crate::stats::estimate::Estimate;

/// Pieces of a counted curve: enough to look smooth.
const CURVE_PIECES: u32 = 16;

/// One chart per phase that an arm was counted and measured in.
pub fn charts(document: &Document) -> Vec<Chart> {
    [Phase::Prefill, Phase::Decode].into_iter().filter_map(|phase| chart(document, phase)).collect()
}

fn chart(document: &Document, phase: Phase) -> Option<Chart> {
    let of_group = |(look, group): (usize, &Group)| {
        let theory = group.fit?.theory.as_ref()?;
        series(phase, look, group, theory).filter(|series| !series.is_empty())
    };
    let series: Vec<Series> = groups(document).iter().enumerate().filter_map(of_group).collect();
    let [title, x, y, counted] = match phase {
        Phase::Prefill => ["Growth of prefill", "Context [tokens]", "Prefill per prompt token [ms]", "FLOPs"],
        Phase::Decode => ["Growth of a decode step", "Depth [tokens]", "Time per output token [ms]", "bytes"],
    };
    (!series.is_empty()).then(|| Chart {
        title: format!("{title}: measured, and counted (dashed)"),
        caption: format!(
            "Markers are medians with intervals. Each dashed line is what the time would do from the shortest \
             length on if it were proportional to the counted {counted}; a level line costs nothing more."
        ),
        x: Axis { label: x.into(), scale: Scale::Linear },
        y: Axis { label: y.into(), scale: Scale::Linear },
        series,
    })
}

/// `None` for fewer than two lengths: one shows no growth.
fn series(phase: Phase, look: usize, group: &Group, theory: &Theory) -> Option<Series> {
    let measured = measured(phase, &group.cases);
    let medians: Vec<Median> = measured.iter().filter_map(median).collect();
    let line: Vec<Point> = medians.iter().map(|median| median.at).collect();
    (line.len() > 1).then(|| Series {
        name: group.subject(),
        look,
        dashed: counted(phase, theory, &measured, &line),
        medians,
        line,
        ..Series::default()
    })
}

fn median(at: &Measured) -> Option<Median> {
    let estimate = Estimate::of(&at.ms_per_token)?;
    Some(Median {
        at: Point::finite(f64::from(at.tokens), estimate.median)?,
        interval: estimate.ci_low.zip(estimate.ci_high).map(|(low, high)| [low, high]),
    })
}

/// Counted work over the measured range, scaled to meet the first median.
fn counted(phase: Phase, theory: &Theory, measured: &[Measured], line: &[Point]) -> Vec<Point> {
    let ([first, .., last], Some(start)) = (measured, line.first()) else { return Vec::new() };
    let Some(base) = theory.token_cost(phase, first.counted_tokens) else { return Vec::new() };
    let at = |i: u32| {
        let share = f64::from(i) / f64::from(CURVE_PIECES);
        let between = |low: f64, high: f64| low + (high - low) * share;
        let tokens = between(first.counted_tokens as f64, last.counted_tokens as f64).round() as u64;
        let cost = theory.token_cost(phase, tokens)?;
        Point::finite(between(first.tokens.into(), last.tokens.into()), start.y * cost / base)
    };
    (0..=CURVE_PIECES).filter_map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_counted_line_starts_at_the_first_median_and_ends_with_the_measured_range() {
        let document = fixture::document();
        let charts = charts(&document);
        let series = &charts[0].series[0];
        let (first, last) = (series.line[0], series.line[series.line.len() - 1]);
        let dashed = &series.dashed;
        assert_eq!((dashed[0].x, dashed[0].y), (first.x, first.y));
        let end = dashed[dashed.len() - 1];
        let theory = document.fits[0].theory.as_ref().unwrap();
        let counted = theory.prefill[theory.prefill.len() - 1].growth.unwrap().counted;
        assert_eq!(end.x, last.x);
        assert!((end.y - first.y * counted).abs() < 1e-9 * end.y, "{end:?}");
    }

    #[test]
    fn an_arm_that_was_not_counted_has_no_line() {
        let mut document = fixture::document();
        assert_eq!(charts(&document)[0].series.len(), 1, "of three arms one was counted");
        document.fits[0].theory = None;
        assert!(charts(&document).is_empty());
    }
}
