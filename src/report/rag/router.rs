//! The router, the mix of routed and unrouted questions against plain RAG, and the answers of each arm.

use super::super::document::Document;
use super::super::experiment::{AnswerRecord, Crossing, Mix, RouterRecord};
use super::super::table::{Column, Grid, number, number_or_missing, text};
use super::super::{NOT_AVAILABLE, one_line};
use super::{Section, arm_name};
use crate::units::{significant, span};

const MIX: &[Column<Mix>] = &[
    number("Routed", "%", 0, |mix| significant(100.0 * mix.r)),
    number("TTFT mean", "ms", 1, |mix| number_or_missing(mix.ttft_ms_mean)),
    number("TTFT p50", "ms", 0, |mix| number_or_missing(mix.ttft_ms_p50)),
    number("TTFT p95", "ms", 0, |mix| number_or_missing(mix.ttft_ms_p95)),
    number("Prefilled", "tokens/question", 2, |mix| number_or_missing(mix.prompt_tokens_mean)),
    number("Box", "s/1,000 questions", 0, |mix| number_or_missing(mix.box_seconds_per_1k)),
];

/// The router and its mixes; `None` where no hybrid ran.
pub fn section(document: &Document) -> Option<Section> {
    let router = document.experiment.router.as_ref()?;
    let mut lines = vec![decisions(router)];
    lines.extend(router.crossings.iter().map(crossing));
    Some(Section {
        heading: "The hybrid: a router decides whether to retrieve",
        hint: format!(
            "What a stream of questions takes if the share in the first column is routed to retrieval, drawn from {} \
             routed and {} unrouted requests. A percentile that the counts do not support is {NOT_AVAILABLE}.",
            router.routed_samples, router.unrouted_samples
        ),
        grid: (!router.mix.is_empty()).then(|| Grid::of(MIX, &router.mix)),
        lines,
    })
}

fn decisions(router: &RouterRecord) -> String {
    let percent =
        |share: Option<f64>| share.map_or(NOT_AVAILABLE.into(), |s| format!("{} %", significant(100.0 * s)));
    let who = match router.kind.as_str() {
        "tool_call" => "The model decides, by calling a search tool.".to_owned(),
        "similarity" => format!(
            "A router before the model decides: it retrieves from a similarity of {} on.",
            number_or_missing(router.threshold)
        ),
        "forced" => {
            return "Routing was forced: the shares are chosen, and say nothing of how well a router decides.".into();
        }
        other => format!("Router: {}.", one_line(other)),
    };
    format!(
        "{who} Of the questions that it routed, {} needed the handbook (precision); of those that needed it, {} were \
         routed (recall); judged on {} questions.",
        percent(router.precision),
        percent(router.recall),
        router.judged
    ) + &malformed(router.malformed_calls)
}

fn malformed(calls: u32) -> String {
    match calls {
        0 => String::new(),
        n => format!(" Tool calls that could not be read, and were taken for answers: {n}."),
    }
}

/// What a key of [`Mix`] is called.
pub fn metric_name(metric: &str) -> String {
    match metric {
        "ttft_ms_mean" => "Mean TTFT".into(),
        "ttft_ms_p50" => "TTFT p50".into(),
        "ttft_ms_p95" => "TTFT p95".into(),
        "box_seconds_per_1k" => "Box time".into(),
        "prompt_tokens_mean" => "Prefilled tokens".into(),
        other => one_line(other),
    }
}

fn crossing(crossing: &Crossing) -> String {
    let metric = metric_name(&crossing.metric);
    let plain = match crossing.metric.as_str() {
        "box_seconds_per_1k" => format!("{} s per 1,000 questions", significant(crossing.plain_rag)),
        "prompt_tokens_mean" => format!("{} per question", significant(crossing.plain_rag)),
        _ => span(crossing.plain_rag),
    };
    let (here, beyond) = if crossing.below_at_zero { ("below", "above") } else { ("above", "below") };
    match crossing.r {
        Some(r) => format!(
            "{metric}: the mix lies {here} plain RAG ({plain}) up to {} % routed, and {beyond} it from there.",
            significant(100.0 * r)
        ),
        None => format!("{metric}: the mix lies {here} plain RAG ({plain}) at every share."),
    }
}

const ANSWERS: &[Column<AnswerRecord>] = &[
    text("Arm", 0, |a| match a.scenario.as_str() {
        "short" => "Question alone (closed book)".into(),
        other => arm_name(other),
    }),
    number("n", "questions", 0, |a| a.n.to_string()),
    number("Right", "", 0, |a| a.correct.to_string()),
    number("Exact", "", 1, |a| a.exact.to_string()),
    number("Accuracy", "%", 0, |a| number_or_missing(a.accuracy.map(|x| 100.0 * x))),
    number("Interval", "%", 0, |a| match (a.ci_low, a.ci_high) {
        (Some(low), Some(high)) => format!("[{}, {}]", significant(100.0 * low), significant(100.0 * high)),
        _ => NOT_AVAILABLE.into(),
    }),
];

/// Scores of answers; `None` where none were scored.
pub fn answers(document: &Document) -> Option<Section> {
    let answers = &document.experiment.answers;
    (!answers.is_empty()).then(|| Section {
        heading: "Answers",
        hint: "Held-out paraphrases of questions with a known answer. Right: an accepted wording is in the answer, after \
               normalisation. Exact: the answer is nothing else."
            .into(),
        grid: Some(Grid::of(ANSWERS, answers)),
        lines: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_forced_router_is_not_praised_for_its_choices() {
        let mut document = fixture::experiment();
        document.experiment.router.as_mut().unwrap().kind = "forced".into();
        let lines = section(&document).unwrap().lines;
        assert!(lines[0].starts_with("Routing was forced") && !lines[0].contains("precision"), "{lines:?}");
    }

    #[test]
    fn a_crossing_says_on_which_side_the_mix_lies() {
        let of = |r, below_at_zero| {
            crossing(&Crossing { metric: "ttft_ms_p95".into(), plain_rag: 4_060.0, r, below_at_zero })
        };
        assert_eq!(
            of(Some(0.05), true),
            "TTFT p95: the mix lies below plain RAG (4.06 s) up to 5.00 % routed, and above it from there."
        );
        assert!(of(None, false).contains("lies above plain RAG (4.06 s) at every share"));
    }
}
