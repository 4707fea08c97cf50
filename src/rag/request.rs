//! The timed requests of the arms without a router. Nothing happens between two clock reads but the work.

use super::bench::{Bench, First};
use super::pipeline::Pipeline;
use super::rehearsal::{Asked, code_at, common};
use super::timed::{ms, timed};
use crate::sample::case::Kind;
use crate::sample::{Sample, Stages};

/// Times a prompt that is in hand: `short` and `padded`.
///
/// A failure ends the sample early and stands in its `error`; what was timed before stays.
pub fn in_hand(bench: &mut Bench<'_>, asked: &Asked, text: &str) -> Sample {
    let mut sample = Sample { question_id: Some(asked.id.clone()), ..Sample::default() };
    let mut stages = Stages::default();
    let outcome = timed_in_hand(bench, text, &mut stages, &mut sample);
    finish(sample, stages, outcome)
}

fn timed_in_hand(
    bench: &mut Bench<'_>,
    text: &str,
    stages: &mut Stages,
    sample: &mut Sample,
) -> anyhow::Result<()> {
    bench.prepare(&[])?;
    let start = bench.clock.now();
    let first = first_id(bench, text, &[], start, stages, sample)?;
    sample.rag_ttft_ms = Some(ms(first.ready - start));
    bench.rest(first, sample)
}

/// Times the whole pipeline for a question, with `cached` ids in the cache at its start.
///
/// A failure ends the sample early and stands in its `error`; what was timed before stays.
pub fn through_pipeline(
    bench: &mut Bench<'_>,
    pipeline: &mut Pipeline<'_>,
    asked: &Asked,
    kind: Kind,
    cached: &[u32],
) -> Sample {
    let mut sample = Sample { question_id: Some(asked.id.clone()), ..Sample::default() };
    let mut stages = Stages::default();
    let outcome = timed_pipeline(bench, pipeline, asked, kind, cached, (&mut stages, &mut sample));
    finish(sample, stages, outcome)
}

fn timed_pipeline(
    bench: &mut Bench<'_>,
    pipeline: &mut Pipeline<'_>,
    asked: &Asked,
    kind: Kind,
    cached: &[u32],
    (stages, sample): (&mut Stages, &mut Sample),
) -> anyhow::Result<()> {
    let serial = asked.serial(kind);
    bench.prepare(cached)?;
    let clock = bench.clock;
    let start = clock.now();
    let found = pipeline.find(&asked.text, asked.hits, clock, stages)?;
    let prompt = timed(clock, &mut stages.assemble, || {
        bench.builder.retrieved(&asked.text, &found.passages, serial, code_at(kind))
    })?;
    let in_hand = clock.now();
    let first = first_id(bench, &prompt.text, cached, in_hand, stages, sample)?;
    sample.rag_ttft_ms = Some(ms(first.ready - start));
    bench.rest(first, sample)
}

/// Text to the first id on the host.
pub(super) fn first_id(
    bench: &mut Bench<'_>,
    text: &str,
    cached: &[u32],
    in_hand: std::time::Duration,
    stages: &mut Stages,
    sample: &mut Sample,
) -> anyhow::Result<First> {
    let clock = bench.clock;
    let ids = timed(clock, &mut stages.tokenize, || bench.tokenizer.encode(text))?;
    sample.prompt_tokens = ids.len() as u32;
    sample.tokenize_ms = stages.tokenize;
    timed(clock, &mut stages.prefill, || {
        bench.check_room(ids.len(), "this prompt")?;
        let same = common(&ids, cached);
        anyhow::ensure!(
            same == cached.len(),
            "only {same} of the {} cached tokens begin this prompt, so the cache cannot be reused; \
             retrieval gave other passages than before, as if the store had changed",
            cached.len()
        );
        bench.prefill_behind(&ids, same)
    })?;
    sample.prefill_ms = stages.prefill;
    let id = timed(clock, &mut stages.first_token, || bench.engine.sample())?;
    Ok(First { in_hand, ready: clock.now(), id })
}

fn finish(mut sample: Sample, stages: Stages, outcome: anyhow::Result<()>) -> Sample {
    sample.stages_ms = Some(stages);
    sample.error = outcome.err().map(|error| format!("{error:#}"));
    sample
}
