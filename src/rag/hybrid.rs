//! The hybrid by tool call: the model answers, or asks to search and answers in a second pass.
//!
//! The first pass keeps its place in the cache: the next one goes on from it. A model that does nothing but
//! search is stopped after [`MOST_CALLS`].

use super::bench::{Bench, First};
use super::pipeline::Pipeline;
use super::rehearsal::{Asked, common};
use super::timed::{ms, timed};
use crate::sample::case::Kind;
use crate::sample::{Sample, Stages};
use crate::tokenizer::chat::{Function, ToolCall};
use crate::tokenizer::tool_call::{self, ToolCallText};
use crate::workload::with_tool::Offer;

/// Searches that one question may lead to.
pub const MOST_CALLS: usize = 3;
/// Ids that a tool call may have.
const LONGEST_CALL: usize = 128;
/// Opens a tool call in every template of the family.
const OPENS: &str = "<tool_call>";
/// Closes it.
const CLOSES: &str = "</tool_call>";

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
    /// Ids in the cache up to the mark.
    marked: Vec<u32>,
    /// Ids of the first prompt that the second begins with too; a template may drop what opens the answer.
    lasting: usize,
}

/// Times one question through the hybrid. A failure ends the sample early and stands in its `error`.
pub fn ask(bench: &mut Bench<'_>, pipeline: &mut Pipeline<'_>, asked: &Asked, decision: Decision) -> Routed {
    let sample = Sample { question_id: Some(asked.id.clone()), ..Sample::default() };
    let offer = bench.builder.offer(&asked.text, asked.serial(Kind::Hybrid));
    let routed = Routed { sample, ..Routed::default() };
    let mut journey =
        Journey { asked, offer, decision, stages: Stages::default(), routed, marked: Vec::new(), lasting: 0 };
    let outcome = journey.run(bench, pipeline);
    let mut routed = journey.routed;
    routed.sample.stages_ms = Some(journey.stages);
    routed.sample.error = outcome.err().map(|error| format!("{error:#}"));
    routed
}

impl Journey<'_> {
    fn run(&mut self, bench: &mut Bench<'_>, pipeline: &mut Pipeline<'_>) -> anyhow::Result<()> {
        let text = bench.builder.offered(&self.offer)?;
        let open = bench.tokenizer.encode(OPENS)?;
        let close = bench.tokenizer.encode(CLOSES)?;
        let written = self.forced_call(bench)?;
        self.lasting = self.lasting_ids(bench, &text)?;
        bench.prepare(&[])?;
        let start = bench.clock.now();
        let mut first = self.pass(bench, &text, start)?;
        for _ in 0..MOST_CALLS {
            let call = match (self.decision, &written) {
                (Decision::Forced, Some(ids)) if self.routed.sample.routed.is_none() => {
                    self.write(bench, ids)?;
                    Some(forced(&self.asked.text))
                }
                (Decision::Model, _) => self.generate(bench, first, &open, &close)?,
                _ => None,
            };
            let Some(call) = call else { return self.answer(bench, first, start) };
            self.routed.sample.routed = Some(true);
            self.routed.output.clear();
            self.routed.sample.token_ready_ms.clear();
            self.fold_into_route();
            first = self.search(bench, pipeline, &call)?;
        }
        if self.decision == Decision::Model && self.generate(bench, first, &open, &close)?.is_some() {
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
        let text = bench.builder.written_call(&self.offer, &forced(&self.asked.text))?;
        Ok(Some(bench.tokenizer.encode(&text)?))
    }

    /// How much of the first prompt a second one keeps, found by writing one.
    fn lasting_ids(&self, bench: &Bench<'_>, text: &str) -> anyhow::Result<usize> {
        let second = bench.builder.answered(&mut self.offer.clone(), &forced(&self.asked.text), &[])?;
        Ok(common(&bench.tokenizer.encode(text)?, &bench.tokenizer.encode(&second)?))
    }

    /// Runs a prompt behind what the cache shares with it, and samples.
    fn pass(
        &mut self,
        bench: &mut Bench<'_>,
        text: &str,
        in_hand: std::time::Duration,
    ) -> anyhow::Result<First> {
        let clock = bench.clock;
        let ids = timed(clock, &mut self.stages.tokenize, || bench.tokenizer.encode(text))?;
        bench.check_room(ids.len(), "this question with the tool on offer")?;
        timed(clock, &mut self.stages.prefill, || run_behind(bench, &ids, &self.marked, self.lasting))?;
        self.routed.sample.prompt_tokens = ids.len() as u32;
        self.lasting = self.lasting.min(ids.len());
        self.marked = ids[..self.lasting].to_vec();
        let id = timed(clock, &mut self.stages.first_token, || bench.engine.sample())?;
        Ok(First { in_hand, ready: clock.now(), id })
    }

    /// Decodes until a call is complete, the output is, or there is no sign of a call.
    fn generate(
        &mut self,
        bench: &mut Bench<'_>,
        first: First,
        open: &[u32],
        close: &[u32],
    ) -> anyhow::Result<Option<ToolCall>> {
        let clock = bench.clock;
        let Self { stages, routed, .. } = self;
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
        stages.route = Some(stages.route.unwrap_or(0.0) + decoding.unwrap_or(0.0));
        match tool_call::parse(&bench.tokenizer.decode(ids)?) {
            ToolCallText::Call { function, .. } => Ok(Some(ToolCall { function })),
            ToolCallText::Absent | ToolCallText::Malformed { .. } => {
                routed.malformed = true;
                stages.route = None;
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
        let query = query_of(&call.function).unwrap_or(&self.asked.text);
        let found = pipeline.find(query, self.asked.hits, clock, &mut self.stages)?;
        let text = timed(clock, &mut self.stages.assemble, || {
            bench.builder.answered(&mut self.offer, call, &found.passages)
        })?;
        let in_hand = clock.now();
        self.pass(bench, &text, in_hand)
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

/// Runs `ids` behind the mark, which stands behind `marked`; where nothing is marked yet, or it does not fit, from
/// an empty cache, with a mark behind the first `lasting`.
fn run_behind(bench: &mut Bench<'_>, ids: &[u32], marked: &[u32], lasting: usize) -> anyhow::Result<()> {
    if !marked.is_empty() && marked.len() < ids.len() && ids.starts_with(marked) {
        return bench.prefill_behind(ids, marked.len());
    }
    bench.engine.reset()?;
    let (first, rest) = ids.split_at(lasting.min(ids.len()));
    if !first.is_empty() {
        bench.engine.prefill(first)?;
        bench.engine.mark()?;
    }
    if rest.is_empty() { Ok(()) } else { bench.engine.prefill(rest) }
}

fn forced(question: &str) -> ToolCall {
    let arguments = serde_json::json!({ "query": question });
    ToolCall { function: Function { name: "search_handbook".into(), arguments } }
}

/// What the model searches for; a call without a usable query is taken to mean its question.
fn query_of(function: &Function) -> Option<&str> {
    function.arguments.get("query")?.as_str().map(str::trim).filter(|query| !query.is_empty())
}
