//! The per-token trace: when the tokens of one representative request came, one chart per group.

use super::axis::Scale;
use super::{Axis, Chart, Point, Series};
use crate::report::document::{Case, Document};
use crate::report::groups::{Group, groups};
use crate::report::one_line;
use crate::sample::Sample;
use crate::units::tokens;

/// Lines that one chart can carry and still be read; also the number of looks.
const MOST_LINES: usize = 6;

/// One chart per model, weight type and device that has a trace.
pub fn charts(document: &Document) -> Vec<Chart> {
    groups(document).iter().filter_map(chart).collect()
}

fn chart(group: &Group) -> Option<Chart> {
    let traced: Vec<(&Case, &Sample)> =
        group.cases.iter().filter_map(|case| Some((*case, representative(case)?))).collect();
    let chosen = spread(traced.len());
    let line = |(look, at): (usize, &usize)| {
        let (case, sample) = traced[*at];
        Series { name: name(case), look, line: gaps(sample), ..Series::default() }
    };
    let series: Vec<Series> = chosen.iter().enumerate().map(line).collect();
    let left = match traced.len() - chosen.len() {
        0 => String::new(),
        left => format!(" {left} more cases are in the JSON."),
    };
    (!series.is_empty()).then(|| Chart {
        title: format!("Gap before each output token: {}", group.subject()),
        caption: format!(
            "One request per case, the one with the median TTFT. A level line is steady decoding.{left}"
        ),
        x: Axis { label: "Output token".into(), scale: Scale::Linear },
        y: Axis { label: "Gap [ms]".into(), scale: Scale::Linear },
        series,
    })
}

fn name(case: &Case) -> String {
    one_line(&format!("{} {}", case.scenario, tokens(case.depth_tokens.unwrap_or(case.context_tokens))))
}

/// The complete sample whose TTFT is the (lower) median, if it has a gap to show.
fn representative(case: &Case) -> Option<&Sample> {
    let first = |sample: &&Sample| sample.token_ready_ms.first().copied().unwrap_or(f64::INFINITY);
    let mut samples: Vec<&Sample> = case.samples.iter().filter(|sample| sample.is_complete()).collect();
    samples.sort_by(|a, b| first(a).total_cmp(&first(b)));
    let middle = samples.len().checked_sub(1)? / 2;
    samples.get(middle).copied().filter(|sample| sample.token_ready_ms.len() > 1)
}

/// Gap before output token 2, 3, …: the first token has a TTFT and no gap.
fn gaps(sample: &Sample) -> Vec<Point> {
    let numbered = sample.itl_ms().into_iter().enumerate();
    numbered.filter_map(|(i, gap)| Point::finite((i + 2) as f64, gap)).collect()
}

/// Indices of at most [`MOST_LINES`] of `count` things, first and last among them.
fn spread(count: usize) -> Vec<usize> {
    if count <= MOST_LINES {
        return (0..count).collect();
    }
    (0..MOST_LINES).map(|i| i * (count - 1) / (MOST_LINES - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_sample_with_the_median_ttft_is_shown() {
        let mut case = fixture::document().cases[0].clone();
        case.samples.truncate(3);
        for (sample, first) in case.samples.iter_mut().zip([30.0, 10.0, 20.0]) {
            sample.ttft_ms = Some(first);
            sample.token_ready_ms = vec![first, first + 5.0];
        }
        assert_eq!(representative(&case).unwrap().ttft_ms, Some(20.0));
        assert_eq!(gaps(representative(&case).unwrap()), [Point { x: 2.0, y: 5.0 }]);
        case.samples.clear();
        assert!(representative(&case).is_none());
    }

    #[test]
    fn many_cases_are_thinned_from_the_first_to_the_last() {
        assert_eq!(spread(3), [0, 1, 2]);
        let thinned = spread(15);
        assert_eq!((thinned.len(), thinned[0], thinned[MOST_LINES - 1]), (MOST_LINES, 0, 14));
    }
}
