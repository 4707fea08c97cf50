//! The timed regions. Nothing happens between two clock reads but the work.

use std::time::Duration;

use crate::clock::Clock;
use crate::engine::Engine;
use crate::sample::Sample;

/// Turns text into ids.
pub type Encode<'a> = &'a dyn Fn(&str) -> anyhow::Result<Vec<u32>>;

/// Times one request from an empty cache: tokenise, prefill, then `output_tokens` ids.
///
/// A failure ends the sample early and stands in its `error`; what was timed before stays.
pub fn request(
    engine: &mut dyn Engine,
    encode: Encode<'_>,
    clock: &dyn Clock,
    text: &str,
    output_tokens: u32,
) -> Sample {
    let mut sample = empty(output_tokens);
    let outcome = timed_request(engine, encode, clock, text, output_tokens, &mut sample);
    sample.error = outcome.err().map(|error| format!("{error:#}"));
    sample
}

fn timed_request(
    engine: &mut dyn Engine,
    encode: Encode<'_>,
    clock: &dyn Clock,
    text: &str,
    output_tokens: u32,
    sample: &mut Sample,
) -> anyhow::Result<()> {
    engine.reset()?;
    let start = clock.now();
    let ids = encode(text)?;
    let encoded = clock.now();
    sample.prompt_tokens = ids.len() as u32;
    sample.tokenize_ms = Some(ms(encoded - start));
    engine.prefill(&ids)?;
    let prefilled = clock.now();
    let first = engine.sample()?;
    let ready = clock.now();
    sample.prefill_ms = Some(ms(prefilled - encoded));
    sample.ttft_ms = Some(ms(ready - start));
    sample.token_ready_ms.push(ms(ready - start));
    decode(engine, clock, start, first, output_tokens, sample)
}

/// Fills the cache with `ids` and marks it, for [`decode_at_depth`]; returns the time of the prefill.
pub fn fill(engine: &mut dyn Engine, clock: &dyn Clock, ids: &[u32]) -> anyhow::Result<Duration> {
    engine.reset()?;
    let start = clock.now();
    if !ids.is_empty() {
        engine.prefill(ids)?;
    }
    let took = clock.now() - start;
    engine.mark()?;
    Ok(took)
}

/// Times `output_tokens` decode steps from the mark that [`fill`] made at `depth` tokens.
///
/// `token_ready_ms` counts from the start of the first step; there is no prefill and no TTFT.
pub fn decode_at_depth(engine: &mut dyn Engine, clock: &dyn Clock, depth: u32, output_tokens: u32) -> Sample {
    let mut sample = empty(output_tokens);
    sample.prompt_tokens = depth;
    let outcome = engine.rewind().and_then(|()| {
        let start = clock.now();
        decode(engine, clock, start, FIRST_ID, output_tokens, &mut sample)
    });
    sample.error = outcome.err().map(|error| format!("{error:#}"));
    sample
}

/// The id that decode at a depth starts from: any will do, since its value does not change the work.
const FIRST_ID: u32 = 1;

fn decode(
    engine: &mut dyn Engine,
    clock: &dyn Clock,
    start: Duration,
    mut id: u32,
    output_tokens: u32,
    sample: &mut Sample,
) -> anyhow::Result<()> {
    while sample.token_ready_ms.len() < output_tokens as usize {
        id = engine.decode(id)?;
        sample.token_ready_ms.push(ms(clock.now() - start));
    }
    Ok(())
}

fn empty(output_tokens: u32) -> Sample {
    Sample { token_ready_ms: Vec::with_capacity(output_tokens as usize), ..Sample::default() }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
