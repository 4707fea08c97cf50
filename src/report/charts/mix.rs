//! Charts of an experiment against a quantity: TTFT against what retrieval adds to the prompt, and the routed mix
//! against its share.

use super::axis::Scale;
use super::plots::in_readable_unit;
use super::{Axis, Chart, Median, Point, Series};
use crate::report::document::{Case, Document};
use crate::report::experiment::Mix;
use crate::report::rag::arm_name;
use crate::report::rag::router::metric_name;
use crate::sample::Sample;
use crate::stats::percentile::median;

/// Both charts, where there is something to draw.
pub fn charts(document: &Document) -> Vec<Chart> {
    [against_retrieved(document), against_share(document)].into_iter().flatten().collect()
}

/// TTFT of short, padded and rag against the tokens that retrieval adds.
fn against_retrieved(document: &Document) -> Option<Chart> {
    crate::report::rag::is_experiment(document).then_some(())?;
    let short = document.cases.iter().find(|case| case.scenario == "short");
    let alone = short.and_then(tokens).unwrap_or(0.0);
    let arms = [("short", 5), ("padded", 0), ("rag", 1)];
    let mut series: Vec<Series> = arms
        .iter()
        .map(|(scenario, look)| arm(document, scenario, *look, alone))
        .filter(|series| !series.is_empty())
        .collect();
    let start = series.first().filter(|_| short.is_some()).and_then(|s| s.medians.first()).map(|m| m.at);
    for series in series.iter_mut().skip(1) {
        series.line = start.into_iter().chain(series.medians.iter().map(|median| median.at)).collect();
    }
    (series.len() > 1).then(|| {
        in_readable_unit(Chart {
            title: "Time to first token against what retrieval adds".into(),
            caption: "Dots are single requests, markers medians with intervals; lines only join them to the question alone. \
                      Where the two lines lie on each other, the length of the prompt is all that RAG costs."
                .into(),
            x: Axis { label: "Prompt tokens beyond the question alone".into(), scale: Scale::Linear },
            y: Axis { label: "TTFT from the question in hand [ms]".into(), scale: Scale::Linear },
            series,
        })
    })
}

fn tokens(case: &Case) -> Option<f64> {
    median(&case.samples.iter().map(|sample| f64::from(sample.prompt_tokens)).collect::<Vec<_>>())
}

fn ttft(sample: &Sample) -> Option<f64> {
    sample.rag_ttft_ms.or(sample.ttft_ms).filter(|_| sample.is_complete())
}

fn arm(document: &Document, scenario: &str, look: usize, alone: f64) -> Series {
    let mut series = Series { name: arm_name(scenario), look, ..Series::default() };
    for case in document.cases.iter().filter(|case| case.scenario == scenario) {
        let beyond = |tokens: f64| (tokens - alone).max(0.0);
        let dot = |s: &Sample| Point::finite(beyond(s.prompt_tokens.into()), ttft(s)?);
        series.samples.extend(case.samples.iter().filter_map(dot));
        let estimate = case.summary.rag_ttft_ms.or(case.summary.ttft_ms);
        let at = estimate.zip(tokens(case)).and_then(|(e, n)| Point::finite(beyond(n), e.median));
        let interval = estimate.and_then(|e| Some([e.ci_low?, e.ci_high?]));
        series.medians.extend(at.map(|at| Median { at, interval }));
    }
    series.medians.sort_by(|a, b| a.at.x.total_cmp(&b.at.x));
    series
}

/// What is drawn of a mix: its key, its look, and the number.
struct Curve {
    metric: &'static str,
    look: usize,
    of: fn(&Mix) -> Option<f64>,
}

const CURVES: [Curve; 3] = [
    Curve { metric: "ttft_ms_p50", look: 0, of: |mix| mix.ttft_ms_p50 },
    Curve { metric: "ttft_ms_mean", look: 2, of: |mix| mix.ttft_ms_mean },
    Curve { metric: "ttft_ms_p95", look: 1, of: |mix| mix.ttft_ms_p95 },
];

/// TTFT of the mix against the routed share, with plain RAG as broken lines and the crossings marked.
fn against_share(document: &Document) -> Option<Chart> {
    let router = document.experiment.router.as_ref()?;
    let curve = |curve: &Curve| {
        let line: Vec<Point> =
            router.mix.iter().filter_map(|mix| Point::finite(mix.r, (curve.of)(mix)?)).collect();
        let crossings = router.crossings.iter().filter(|crossing| crossing.metric == curve.metric);
        let plain = crossings.clone().find_map(|crossing| Point::finite(0.0, crossing.plain_rag));
        let at = |c: &crate::report::experiment::Crossing| Point::finite(c.r?, c.plain_rag);
        Series {
            name: format!("{} of the mix", metric_name(curve.metric)),
            look: curve.look,
            medians: crossings.filter_map(at).map(|at| Median { at, interval: None }).collect(),
            line,
            dashed: plain.map_or(Vec::new(), |p| vec![p, Point { x: 1.0, ..p }]),
            ..Series::default()
        }
    };
    let series: Vec<Series> = CURVES.iter().map(curve).filter(|series| series.line.len() > 1).collect();
    (!series.is_empty()).then(|| {
        in_readable_unit(Chart {
            title: "The hybrid against the share of routed questions".into(),
            caption: "Lines are the mix; broken lines of the same colour are plain RAG; a marker is where they cross. Left of \
                      it the mix is the faster one, if its line begins below."
                .into(),
            x: Axis { label: "Questions routed to retrieval".into(), scale: Scale::Share },
            y: Axis { label: "TTFT from the question in hand [ms]".into(), scale: Scale::Linear },
            series,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::experiment::Crossing;
    use crate::report::fixture;

    #[test]
    fn a_curve_that_the_counts_do_not_support_is_not_drawn_and_one_that_they_do_is() {
        let mut document = fixture::experiment();
        let names = |document: &Document| -> Vec<String> {
            against_share(document).unwrap().series.into_iter().map(|series| series.name).collect()
        };
        assert_eq!(names(&document), ["TTFT p50 of the mix", "Mean TTFT of the mix"]);
        let router = document.experiment.router.as_mut().unwrap();
        router.mix.iter_mut().for_each(|mix| mix.ttft_ms_p95 = Some(4_700.0));
        let metric = "ttft_ms_p95".to_owned();
        router.crossings.push(Crossing { metric, plain_rag: 4_100.0, r: Some(0.05), below_at_zero: true });
        let chart = against_share(&document).unwrap();
        let p95 = chart.series.last().unwrap();
        assert_eq!((p95.line.len(), p95.medians[0].at.x, p95.dashed[1].x), (11, 0.05, 1.0));
        crate::report::charts::draw::svg(&chart, "mix").unwrap();
    }

    #[test]
    fn padded_and_rag_stand_at_the_same_length_beyond_the_question() {
        let chart = against_retrieved(&fixture::experiment()).unwrap();
        let at: Vec<f64> = chart.series.iter().map(|series| series.medians[0].at.x).collect();
        assert_eq!(at, [0.0, 1851.0, 1851.0]);
        assert!(against_retrieved(&fixture::document()).is_none());
    }
}
