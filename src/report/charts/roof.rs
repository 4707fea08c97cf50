//! The charts of what was reached under what the box allows, by length of context.
//!
//! A point near its broken line tells of the box, one far below it of the software.

use super::axis::Scale;
use super::{Axis, Chart, Median, Point, Series};
use crate::report::document::{Case, Document};
use crate::report::groups::{Group, groups};
use crate::report::growth::Phase;
use crate::report::notes::peak_text;
use crate::report::roof::{self, Reached, Roof, reached};
use crate::stats::estimate::Estimate;
use crate::units::significant;

/// Pieces of a limit: enough to look smooth.
const CURVE_PIECES: u32 = 32;

/// Room beside the outermost lengths, as a factor: a limit is drawn a little further than it was tried.
const BEYOND: f64 = 1.15;

/// An arm, what the box allows it, and what it reached.
struct Arm {
    look: usize,
    subject: String,
    roof: Roof,
    reached: Vec<Reached>,
}

/// One chart per phase that an arm was measured in on a box whose limits were.
pub fn charts(document: &Document) -> Vec<Chart> {
    [Phase::Prefill, Phase::Decode].into_iter().filter_map(|phase| chart(document, phase)).collect()
}

fn chart(document: &Document, phase: Phase) -> Option<Chart> {
    let groups = groups(document);
    let arms = groups.iter().enumerate().filter_map(|(look, group)| arm(document, phase, look, group));
    let arms: Vec<Arm> = arms.collect();
    let tokens = || arms.iter().flat_map(|arm| &arm.reached).map(|at| at.tokens.max(1.0));
    let (low, high) = (tokens().fold(f64::INFINITY, f64::min), tokens().fold(0.0, f64::max));
    let range = [low / BEYOND, high * BEYOND];
    let [title, x, y] = match phase {
        Phase::Prefill => {
            ["Prefill under the limit of this box (dashed)", "Context [tokens]", "Prefill [tokens/s]"]
        }
        Phase::Decode => {
            ["Decode under the limit of this box (dashed)", "Tokens in the cache", "Decode [tokens/s]"]
        }
    };
    (!arms.is_empty()).then(|| Chart {
        title: title.into(),
        caption: caption(document, phase),
        x: Axis { label: x.into(), scale: Scale::Log2 },
        y: Axis { label: y.into(), scale: Scale::Linear },
        series: arms.iter().flat_map(|arm| [measured(arm), limit(arm, phase, range)]).collect(),
    })
}

fn arm(document: &Document, phase: Phase, look: usize, group: &Group) -> Option<Arm> {
    let roof = roof::roof(document, group.fit?)?;
    let cases: Vec<&Case> = group.cases.clone();
    let reached = reached(&roof, phase, &cases);
    (!reached.is_empty()).then(|| Arm { look, subject: group.subject(), roof, reached })
}

fn measured(arm: &Arm) -> Series {
    let medians: Vec<Median> = arm.reached.iter().filter_map(median).collect();
    Series {
        name: format!("{}: {} of its limit", arm.subject, shares(&arm.reached)),
        look: arm.look,
        line: medians.iter().map(|median| median.at).collect(),
        medians,
        ..Series::default()
    }
}

fn median(at: &Reached) -> Option<Median> {
    let estimate = Estimate::of(&at.rates)?;
    let interval = estimate.ci_low.zip(estimate.ci_high).map(|(low, high)| [low, high]);
    Some(Median { at: Point::finite(at.tokens, estimate.median)?, interval })
}

/// The least and the most of its limit that an arm reached at any length.
fn shares(reached: &[Reached]) -> String {
    let shares: Vec<f64> = reached.iter().filter_map(Reached::share).map(|share| 100.0 * share).collect();
    let least = shares.iter().copied().fold(f64::INFINITY, f64::min).round();
    let most = shares.iter().copied().fold(0.0, f64::max).round();
    if least == most { format!("{most:.0} %") } else { format!("{least:.0} to {most:.0} %") }
}

fn limit(arm: &Arm, phase: Phase, [low, high]: [f64; 2]) -> Series {
    let at = |piece: u32| {
        let tokens = low * (high / low).powf(f64::from(piece) / f64::from(CURVE_PIECES));
        Point::finite(tokens, arm.roof.tokens_per_s(phase, tokens)?)
    };
    Series {
        name: format!("{}: limit", arm.subject),
        look: arm.look,
        dashed: (0..=CURVE_PIECES).filter_map(at).collect(),
        ..Series::default()
    }
}

fn caption(document: &Document, phase: Phase) -> String {
    let environment = &document.environment;
    let rates = &environment.matmul_flops_per_s;
    let peak = |name: &str| rates.get(name).map(|rate| peak_text(name, *rate));
    let from = match phase {
        Phase::Prefill => {
            let peaks: Vec<String> = ["int8", "bf16", "f32"].into_iter().filter_map(peak).collect();
            let peaks = peaks.join(", ");
            format!("matrices at the measured peak of their type, attention at that of f32 ({peaks})")
        }
        Phase::Decode => {
            let rate = environment.memory_bandwidth_bytes_per_s;
            let rate = rate.map_or(String::new(), |rate| format!(" ({} GB/s)", significant(rate / 1e9)));
            format!("weights and the cache of that depth, read once a token at the measured bandwidth{rate}")
        }
    };
    format!(
        "Markers are medians with intervals. Broken lines: {from}. Far below its line an arm is held back by \
         software, close to it by this box."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn every_point_lies_where_it_was_measured_and_the_limit_spans_them_all() {
        let document = fixture::document();
        let charts = charts(&document);
        assert_eq!(charts.len(), 2, "prefill and decode");
        let (points, limit) = (&charts[0].series[0], &charts[0].series[1]);
        let case = document.cases.iter().find(|case| case.prompt_tokens == 512).unwrap();
        let rate = case.summary.prefill_tokens_per_s.unwrap().median;
        let at = points.medians.iter().find(|median| median.at.x == 512.0).unwrap();
        assert!((at.at.y - rate).abs() < 1e-3 * rate, "{at:?} {rate}");
        let (first, last) = (limit.dashed[0], limit.dashed[limit.dashed.len() - 1]);
        assert!(points.medians.iter().all(|m| first.x < m.at.x && m.at.x < last.x));
        assert!(points.name.ends_with("% of its limit") && limit.medians.is_empty(), "{}", points.name);
    }

    #[test]
    fn a_box_that_was_not_measured_has_no_roof() {
        let mut document = fixture::document();
        document.fits[0].roof = None;
        document.environment.memory_bandwidth_bytes_per_s = None;
        assert!(charts(&document).is_empty());
    }
}
