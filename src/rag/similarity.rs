//! The hybrid by similarity: a question near enough to some chunk is retrieved for, another is asked alone.

use super::bench::Bench;
use super::pipeline::Pipeline;
use super::rehearsal::{Asked, code_at};
use super::request::first_id;
use super::timed::{ms, timed};
use crate::sample::case::Kind;
use crate::sample::{Sample, Stages};

/// Times one question: embed, search, and what follows from the best hit's similarity.
///
/// `alone` is the prompt of the question without passages, in hand as in arm `short`. A failure ends the sample
/// early and stands in its `error`.
pub fn ask(
    bench: &mut Bench<'_>,
    pipeline: &mut Pipeline<'_>,
    asked: &Asked,
    alone: &str,
    threshold: f64,
) -> Sample {
    let mut sample = Sample { question_id: Some(asked.id.clone()), ..Sample::default() };
    let mut stages = Stages::default();
    let outcome = timed_question(bench, pipeline, asked, (alone, threshold), (&mut stages, &mut sample));
    sample.stages_ms = Some(stages);
    sample.error = outcome.err().map(|error| format!("{error:#}"));
    sample
}

fn timed_question(
    bench: &mut Bench<'_>,
    pipeline: &mut Pipeline<'_>,
    asked: &Asked,
    (alone, threshold): (&str, f64),
    (stages, sample): (&mut Stages, &mut Sample),
) -> anyhow::Result<()> {
    let serial = asked.serial(Kind::Hybrid);
    bench.prepare(&[])?;
    let clock = bench.clock;
    let start = clock.now();
    let hits = pipeline.search(&asked.text, pipeline.candidates(asked.hits), clock, stages)?;
    let near = hits.first().is_some_and(|best| f64::from(best.score) >= threshold);
    sample.routed = Some(near);
    let text = if near {
        let found = pipeline.texts_of(&asked.text, hits, asked.hits, clock, stages)?;
        timed(clock, &mut stages.assemble, || {
            bench.builder.retrieved(&asked.text, &found.passages, serial, code_at(Kind::Hybrid))
        })?
        .text
    } else {
        alone.to_owned()
    };
    let in_hand = clock.now();
    let first = first_id(bench, &text, &[], in_hand, stages, sample)?;
    sample.rag_ttft_ms = Some(ms(first.ready - start));
    bench.rest(first, sample)
}
