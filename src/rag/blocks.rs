//! The blocks: one question through every arm in random order, again and again, until there is enough.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::arm::{Arm, Length};
use super::bench::Bench;
use super::hybrid::{self, Decision};
use super::pipeline::Pipeline;
use super::rehearsal::{Asked, Rehearsed, rehearse};
use super::request::{in_hand, through_pipeline};
use super::similarity;
use super::sizes::Size;
use crate::prompts::questions::Question;
use crate::retrieval::TextRole;
use crate::runner::arm::Witness;
use crate::runner::schedule::{Budget, LEAST_RUNS, Warm, warm};
use crate::sample::Sample;
use crate::sample::case::{CaseProgress, Kind};

/// Numbers of warm-up requests start here, out of the way of the blocks' own.
const WARM_UP: u32 = 9_000;

/// Who decides in the hybrid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Routing {
    /// The model.
    Model,
    /// This share of the questions is routed, whatever they are.
    Forced(f64),
    /// Questions at least this similar to a chunk are.
    Similarity(f64),
}

/// A question through the hybrid: what it needed and where it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routed {
    /// Whether only the handbook can answer it.
    pub needs: bool,
    /// Whether it was retrieved for.
    pub routed: bool,
}

/// Everything that the blocks gave.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// One per arm, in their order.
    pub cases: Vec<CaseProgress>,
    /// Decisions of the hybrid, where they were its own.
    pub routed: Vec<Routed>,
    /// Tool calls that could not be read.
    pub malformed_calls: u32,
    /// Blocks that were begun.
    pub blocks: u32,
    /// Whether it was stopped from outside.
    pub interrupted: bool,
}

/// A request that was made.
struct Done {
    sample: Sample,
    /// Whether it failed by its model's doing: the next question may go well.
    looped: bool,
}

impl Done {
    /// Why its arm is given up, if it is.
    fn ends_arm(&self) -> Option<String> {
        self.sample.error.clone().filter(|_| !self.looped)
    }
}

impl From<Sample> for Done {
    fn from(sample: Sample) -> Self {
        Self { sample, looped: false }
    }
}

/// Told what happens, never between two clock reads.
pub trait Observer {
    /// A warm-up or a sample of `case` is about to be taken.
    fn about_to(&mut self, what: &str, taken: &Taken, left: Option<Duration>);
    /// A block is complete: time to save.
    fn block_done(&mut self, taken: &Taken, sizes: &[Size]);
}

/// The experiment, ready to run.
pub struct Blocks<'a> {
    /// The model.
    pub bench: Bench<'a>,
    /// Retrieval.
    pub pipeline: Pipeline<'a>,
    /// Retrieved lengths.
    pub lengths: Vec<Length>,
    /// Arms, each with its case.
    pub arms: Vec<Arm>,
    /// Who decides in the hybrid.
    pub routing: Routing,
    /// Questions that the model can answer by itself, for a hybrid that decides.
    pub general: &'a [Question],
    /// Other corpus sizes.
    pub sizes: &'a mut [Size],
    /// How much to take.
    pub budget: Budget,
    /// Seed of the orders.
    pub seed: u64,
    /// The box.
    pub witness: &'a mut dyn Witness,
    /// Who wants to know.
    pub observer: &'a mut dyn Observer,
    /// Set from outside to end after the sample in progress.
    pub stop: &'a AtomicBool,
}

impl Blocks<'_> {
    /// Warms up, then takes blocks until every arm has what it needs, time is up, or it is stopped.
    pub fn run(&mut self, cases: Vec<CaseProgress>) -> Taken {
        let mut taken = Taken { cases, ..Taken::default() };
        let end = self.budget.time.map(|time| self.bench.clock.now() + time);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        for arm in 0..self.arms.len() {
            self.warm_up(&mut taken, arm, end);
        }
        while !self.is_enough(&taken, end) {
            self.block(&mut taken, &mut rng, end);
            taken.blocks += 1;
            self.observer.block_done(&taken, self.sizes);
        }
        taken.interrupted = self.stopped();
        taken
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether no further request may begin: it was stopped, or the time that the user set is up.
    fn must_end(&self, end: Option<Duration>) -> bool {
        self.stopped() || (self.budget.time_is_strict && end.is_some_and(|end| self.bench.clock.now() >= end))
    }

    fn is_enough(&self, taken: &Taken, end: Option<Duration>) -> bool {
        let open: Vec<&CaseProgress> = taken.cases.iter().filter(|case| case.error.is_none()).collect();
        let now = self.bench.clock.now();
        // What the user set holds; our own limit yields to the least number of blocks.
        let late = end.is_some_and(|end| now >= end)
            && (self.budget.time_is_strict || taken.blocks >= self.budget.runs.unwrap_or(LEAST_RUNS));
        self.stopped() || late || open.iter().all(|case| self.budget.is_done(case))
    }

    fn warm_up(&mut self, taken: &mut Taken, arm: usize, end: Option<Duration>) {
        loop {
            let warmups = taken.cases[arm].warmups_s.len();
            // Long arms are warm once the short one is: the same code, on the same memory.
            let enough = warmups > 0 && (arm > 0 || warm(&taken.cases[arm].warmups_s) != Warm::NotYet);
            if enough || self.must_end(end) || taken.cases[arm].error.is_some() {
                break;
            }
            self.tell(taken, &format!("warming up {}", self.arms[arm].kind.name()), end);
            let before = self.bench.clock.now();
            let done = self.request(taken, arm, WARM_UP + warmups as u32);
            taken.cases[arm].warmups_s.push((self.bench.clock.now() - before).as_secs_f64());
            taken.cases[arm].error = done.ends_arm();
        }
        if arm == 0 {
            taken.cases[arm].settled = Some(warm(&taken.cases[arm].warmups_s) == Warm::Settled);
        }
        taken.routed.clear();
        taken.malformed_calls = 0;
    }

    fn block(&mut self, taken: &mut Taken, rng: &mut Xoshiro256PlusPlus, end: Option<Duration>) {
        let mut order: Vec<usize> = (0..self.arms.len() + self.sizes.len()).collect();
        order.shuffle(rng);
        for place in order {
            if self.must_end(end) {
                return;
            }
            match place.checked_sub(self.arms.len()) {
                Some(size) => self.visit_size(taken.blocks, size),
                None => self.sample(taken, place, end),
            }
        }
    }

    fn sample(&mut self, taken: &mut Taken, arm: usize, end: Option<Duration>) {
        if taken.cases[arm].error.is_some() {
            return;
        }
        let label = taken.cases[arm].spec.label();
        self.tell(taken, &format!("block {}: {label}", taken.blocks + 1), end);
        self.witness.begin();
        let mut done = self.request(taken, arm, taken.blocks);
        let observed = self.witness.end();
        done.sample.order = taken.cases.iter().map(|case| case.samples.len() as u32).sum();
        let case = &mut taken.cases[arm];
        // A store or engine that failed once would only fail again: what there is stays, and the arm is marked.
        case.error = done.ends_arm();
        case.samples.push(done.sample);
        case.observed.push(observed);
        if case.error.is_none() {
            let finite = self.bench.engine.output_is_finite().unwrap_or(false);
            case.output_finite = Some(case.output_finite.unwrap_or(true) && finite);
        }
    }

    /// One request of an arm, its preparation included.
    fn request(&mut self, taken: &mut Taken, arm: usize, number: u32) -> Done {
        let asked = self.asked(self.arms[arm], number);
        let outcome = match self.arms[arm].kind {
            Kind::Short => self.short(number).map(|text| in_hand(&mut self.bench, &asked, &text)),
            Kind::Padded => self.padded(&asked).map(|text| in_hand(&mut self.bench, &asked, &text)),
            Kind::Hybrid => {
                return self.hybrid(taken, &asked).unwrap_or_else(|error| Done::from(failed(&asked, &error)));
            }
            kind => self.rehearsed(&asked, kind).map(|rehearsed| {
                through_pipeline(&mut self.bench, &mut self.pipeline, &asked, kind, &rehearsed.cached)
            }),
        };
        Done::from(outcome.unwrap_or_else(|error| failed(&asked, &error)))
    }

    fn asked(&self, arm: Arm, number: u32) -> Asked {
        let question = self.bench.builder.question(number);
        let length = self.lengths[arm.length];
        Asked {
            id: question.id.clone(),
            text: question.text.clone(),
            number,
            hits: length.hits,
            context_tokens: length.asked.unwrap_or(0),
        }
    }

    fn short(&self, number: u32) -> anyhow::Result<String> {
        Ok(self.bench.builder.short(number)?.text)
    }

    fn padded(&mut self, asked: &Asked) -> anyhow::Result<String> {
        let twin = self.rehearsed(asked, Kind::Rag)?;
        Ok(self.bench.builder.rag(twin.prompt_tokens as u32, asked.number)?.text)
    }

    fn rehearsed(&mut self, asked: &Asked, kind: Kind) -> anyhow::Result<Rehearsed> {
        let Bench { builder, tokenizer, clock, .. } = &self.bench;
        rehearse(builder, *tokenizer, *clock, &mut self.pipeline, asked, kind)
    }

    fn hybrid(&mut self, taken: &mut Taken, asked: &Asked) -> anyhow::Result<Done> {
        let (asked, needs) = self.hybrid_question(asked);
        let (bench, pipeline) = (&mut self.bench, &mut self.pipeline);
        let done = match self.routing {
            Routing::Forced(share) => {
                let decision =
                    if is_routed(share, asked.number) { Decision::Forced } else { Decision::ForcedNot };
                return Ok(Done::from(hybrid::ask(bench, pipeline, &asked, decision).sample));
            }
            Routing::Model => {
                let routed = hybrid::ask(bench, pipeline, &asked, Decision::Model);
                taken.malformed_calls += u32::from(routed.malformed);
                Done { sample: routed.sample, looped: routed.looped }
            }
            Routing::Similarity(threshold) => {
                let alone = bench.builder.alone(&asked.text, asked.serial(Kind::Hybrid))?;
                Done::from(similarity::ask(bench, pipeline, &asked, &alone, threshold))
            }
        };
        if let Some(routed) = done.sample.routed {
            taken.routed.push(Routed { needs, routed });
        }
        Ok(done)
    }

    /// A hybrid that decides is asked both kinds of question in turn.
    fn hybrid_question(&self, asked: &Asked) -> (Asked, bool) {
        let forced = matches!(self.routing, Routing::Forced(_));
        if forced || self.general.is_empty() || asked.number.is_multiple_of(2) {
            return (asked.clone(), true);
        }
        let question = &self.general[asked.number as usize / 2 % self.general.len()];
        (Asked { id: question.id.clone(), text: question.text.clone(), ..asked.clone() }, false)
    }

    fn visit_size(&mut self, block: u32, index: usize) {
        let size = &mut self.sizes[index];
        let number = size.number(index, block);
        let question = self.bench.builder.question(block);
        let arm = Arm { kind: super::sizes::ARM, length: 0 };
        let hits = self.lengths[arm.length].hits;
        let (id, text) = (question.id.clone(), question.text.clone());
        let asked = Asked { id, text, number, hits, context_tokens: 0 };
        let embedder = &mut *self.pipeline.embedder;
        let vector =
            embedder.tokenize(&asked.text, TextRole::Query).and_then(|ids| embedder.embed(&[ids])).ok();
        let prompt = self.bench.builder.short(number).ok();
        if let (Some([vector]), Some(prompt)) = (vector.as_deref(), prompt) {
            size.visit(&mut self.bench, &mut *self.pipeline.store, vector, &asked, &prompt.text);
        }
    }

    fn tell(&mut self, taken: &Taken, what: &str, end: Option<Duration>) {
        let now = self.bench.clock.now();
        self.observer.about_to(what, taken, end.map(|end| end.saturating_sub(now)));
    }
}

/// Whether request `number` belongs to the routed share: spread evenly, whatever the share.
pub fn is_routed(share: f64, number: u32) -> bool {
    let upto = |n: u32| (share * f64::from(n) + 1e-9).floor();
    upto(number + 1) > upto(number)
}

fn failed(asked: &Asked, error: &anyhow::Error) -> Sample {
    let id = Some(asked.id.clone());
    Sample { question_id: id, error: Some(format!("{error:#}")), ..Sample::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forced_share_is_met_within_one_question() {
        for share in [0.0, 0.05, 0.25, 0.5, 0.9, 1.0] {
            for n in 1..400u32 {
                let routed = (0..n).filter(|number| is_routed(share, *number)).count() as f64;
                assert!((routed - share * f64::from(n)).abs() < 1.0, "{share} of {n}: {routed}");
            }
        }
    }
}
