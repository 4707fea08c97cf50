//! The hybrid by tool call: the model answers, or asks to search and answers in a second pass.
//!
//! What the first pass left in the cache stays: the next one goes on behind the call. A model that does nothing but
//! search is stopped after [`MOST_CALLS`].

use super::bench::{Bench, First};
use super::pipeline::Pipeline;
use super::rehearsal::Asked;
use super::timed::{ms, timed};
use crate::sample::case::Kind;
use crate::sample::{Sample, Stages};
use crate::tokenizer::chat::ToolCall;
use crate::tokenizer::tool_call::{ToolCallText, parse, search_call, search_query};
use crate::workload::with_tool::{CLOSES, Offer};

/// Searches that one question may lead to.
pub const MOST_CALLS: usize = 3;
/// Ids that a tool call may have.
const LONGEST_CALL: usize = 128;
/// Opens a tool call in every template of the family.
const OPENS: &str = "<tool_call>";

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The model.
    Model,
    /// Nobody: the question is made to be routed; the call is written for the model, and costs what it would.
    Forced,
    /// Nobody: the question is made not to be routed.
    ForcedNot,
}

/// What the hybrid did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Routed {
    /// The timed request.
    pub sample: Sample,
    /// Ids of the answer.
    pub output: Vec<u32>,
    /// Whether a tool call could not be read, and the text was taken for an answer.
    pub malformed: bool,
    /// Whether it did nothing but search, and was stopped: the sample's error says so.
    pub looped: bool,
}

/// A question on its way.
struct Journey<'j> {
    asked: &'j Asked,
    offer: Offer,
    decision: Decision,
    stages: Stages,
    routed: Routed,
    /// Ids that open and close a call.
    marks: Marks,
}

struct Marks {
    opens: Vec<u32>,
    closes: Vec<u32>,
}

/// Times one question through the hybrid. A failure ends the sample early and stands in its `error`.
pub fn ask(bench: &mut Bench<'_>, pipeline: &mut Pipeline<'_>, asked: &Asked, decision: Decision) -> Routed {
    let sample = Sample { question_id: Some(asked.id.clone()), ..Sample::default() };
    let offer = bench.builder.offer(&asked.text, asked.serial(Kind::Hybrid));
    let marks = Marks { opens: Vec::new(), closes: Vec::new() };
    let routed = Routed { sample, ..Routed::default() };
    let mut journey = Journey { asked, offer, decision, stages: Stages::default(), routed, marks };
    let outcome = journey.run(bench, pipeline);
    let mut routed = journey.routed;
    routed.sample.stages_ms = Some(journey.stages);
    routed.sample.error = outcome.err().map(|error| format!("{error:#}"));
    routed
}

impl Journey<'_> {
    fn run(&mut self, bench: &mut Bench<'_>, pipeline: &mut Pipeline<'_>) -> anyhow::Result<()> {
        let text = bench.builder.offered(&self.offer)?;
        let [opens, closes] = [bench.tokenizer.encode(OPENS)?, bench.tokenizer.encode(CLOSES)?];
        self.marks = Marks { opens, closes };
        let written = self.forced_call(bench)?;
        bench.prepare(&[])?;
        let start = bench.clock.now();
        let mut first = self.pass(bench, &[], &text, start)?;
        for _ in 0..MOST_CALLS {
            let call = match (self.decision, &written) {
                (Decision::Forced, Some(ids)) if self.routed.sample.routed.is_none() => {
                    self.write(bench, ids)?;
                    Some(search_call(&self.asked.text))
                }
                (Decision::Model, _) => self.generate(bench, first)?,
                _ => None,
            };
            let Some(call) = call else { return self.answer(bench, first, start) };
            first = self.search(bench, pipeline, &call)?;
        }
        if self.decision == Decision::Model && self.generate(bench, first)?.is_some() {
            self.routed.looped = true;
            anyhow::bail!("the model asked to search {MOST_CALLS} times and again, and did not answer");
        }
        self.answer(bench, first, start)
    }

    /// The ids of the call that a forced model is made to write.
    fn forced_call(&self, bench: &Bench<'_>) -> anyhow::Result<Option<Vec<u32>>> {
        if self.decision != Decision::Forced {
            return Ok(None);
        }
        let text = bench.builder.written_call(&self.offer, &search_call(&self.asked.text))?;
        Ok(Some(bench.tokenizer.encode(&text)?))
    }

    /// Runs `unfed` ids and a text behind what is in the cache, and samples.
    fn pass(
        &mut self,
        bench: &mut Bench<'_>,
        unfed: &[u32],
        text: &str,
        in_hand: std::time::Duration,
    ) -> anyhow::Result<First> {
        let clock = bench.clock;
        let ids = timed(clock, &mut self.stages.tokenize, || {
            bench.tokenizer.encode(text).map(|ids| [unfed, &ids].concat())
        })?;
        timed(clock, &mut self.stages.prefill, || {
            bench.check_room(bench.engine.depth() + ids.len(), "this question with the tool on offer")?;
            bench.engine.prefill(&ids)
        })?;
        let id = timed(clock, &mut self.stages.first_token, || bench.engine.sample())?;
        let first = First { in_hand, ready: clock.now(), id };
        self.routed.sample.prompt_tokens = bench.engine.depth() as u32;
        Ok(first)
    }

    /// Decodes until a call is complete, the output is, or there is no sign of a call.
    fn generate(&mut self, bench: &mut Bench<'_>, first: First) -> anyhow::Result<Option<ToolCall>> {
        let clock = bench.clock;
        let Self { stages, routed, marks, .. } = self;
        let (open, close) = (&marks.opens[..], &marks.closes[..]);
        let ids = &mut routed.output;
        let ready = &mut routed.sample.token_ready_ms;
        (ids.clear(), ready.clear());
        ids.push(first.id);
        ready.push(ms(first.ready - first.in_hand));
        let mut opened = ids.ends_with(open);
        let mut decoding = None;
        loop {
            let most = if opened { LONGEST_CALL } else { bench.output_tokens as usize };
            if ids.len() >= most || (opened && ids.ends_with(close)) {
                break;
            }
            let last = ids[ids.len() - 1];
            ids.push(timed(clock, &mut decoding, || bench.engine.decode(last))?);
            ready.push(ms(clock.now() - first.in_hand));
            opened |= ids.ends_with(open);
        }
        if !opened {
            return Ok(None);
        }
        match parse(&bench.tokenizer.decode(ids)?) {
            ToolCallText::Call { function, .. } if search_query(&function).is_ok() => {
                stages.route = Some(stages.route.unwrap_or(0.0) + decoding.unwrap_or(0.0));
                Ok(Some(ToolCall { function }))
            }
            _ => {
                routed.malformed = true;
                Ok(None)
            }
        }
    }

    /// Decodes what a forced model is made to write.
    fn write(&mut self, bench: &mut Bench<'_>, ids: &[u32]) -> anyhow::Result<()> {
        timed(bench.clock, &mut self.stages.route, || {
            ids.iter().try_for_each(|id| bench.engine.decode(*id).map(drop))
        })
    }

    /// What the first pass took is the price of the decision.
    fn fold_into_route(&mut self) {
        let Stages { route, tokenize, prefill, first_token, .. } = &mut self.stages;
        let spent: f64 = [tokenize, prefill, first_token].into_iter().filter_map(Option::take).sum();
        *route = Some(route.unwrap_or(0.0) + spent);
    }

    fn search(
        &mut self,
        bench: &mut Bench<'_>,
        pipeline: &mut Pipeline<'_>,
        call: &ToolCall,
    ) -> anyhow::Result<First> {
        let clock = bench.clock;
        self.fold_into_route();
        self.routed.sample.routed = Some(true);
        self.routed.sample.token_ready_ms.clear();
        // The last id of a generated call was sampled and not run; a forced call was run whole.
        let generated = std::mem::take(&mut self.routed.output);
        let query = search_query(&call.function).unwrap_or(&self.asked.text);
        let found = pipeline.find(query, self.asked.hits, clock, &mut self.stages)?;
        let next = timed(clock, &mut self.stages.assemble, || {
            bench.builder.continued(&mut self.offer, call, &found.passages)
        })?;
        let in_hand = clock.now();
        match generated.last() {
            Some(unfed) => self.pass(bench, &[*unfed], &[next.end_of_turn, next.text].concat(), in_hand),
            None => self.pass(bench, &[], &next.text, in_hand),
        }
    }

    /// The answer's ids, of which a deciding model has generated some or all.
    fn answer(
        &mut self,
        bench: &mut Bench<'_>,
        first: First,
        start: std::time::Duration,
    ) -> anyhow::Result<()> {
        let sample = &mut self.routed.sample;
        sample.routed = Some(sample.routed.unwrap_or(false));
        sample.rag_ttft_ms = Some(ms(first.ready - start));
        sample.tokenize_ms = self.stages.tokenize;
        sample.prefill_ms = self.stages.prefill;
        match sample.token_ready_ms.is_empty() {
            true => bench.rest(first, sample),
            false => {
                sample.ttft_ms = sample.token_ready_ms.first().copied();
                Ok(())
            }
        }
    }
}
