//! The blocks: one question through every arm in random order, again and again, until there is enough.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::arm::{Arm, Length};
use super::bench::Bench;
use super::choice::{Routed, Routing};
use super::pipeline::Pipeline;
use super::rehearsal::Asked;
use super::sizes::Size;
use crate::prompts::questions::Question;
use crate::retrieval::TextRole;
use crate::runner::arm::Witness;
use crate::runner::schedule::{Budget, Warm, warm};
use crate::sample::case::CaseProgress;

/// Numbers of warm-up requests start here, out of the way of the blocks' own.
const WARM_UP: u32 = 9_000;

/// Blocks that are taken even where our own limit of time is up: fewer have no interval that decides a claim
/// (`least_level` in `claims.toml`).
const LEAST_BLOCKS: u32 = 5;

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
            && (self.budget.time_is_strict || taken.blocks >= least_blocks(self.budget));
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
            let done = self.request(self.arms[arm], WARM_UP + warmups as u32);
            taken.cases[arm].warmups_s.push((self.bench.clock.now() - before).as_secs_f64());
            taken.cases[arm].error = done.ends_arm();
        }
        if arm == 0 {
            taken.cases[arm].settled = Some(warm(&taken.cases[arm].warmups_s) == Warm::Settled);
        }
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
        let mut done = self.request(self.arms[arm], taken.blocks);
        let observed = self.witness.end();
        taken.routed.extend(done.decided);
        taken.malformed_calls += u32::from(done.malformed);
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
        let left = self.left(taken, end);
        self.observer.about_to(what, taken, left);
    }

    /// Time to the end; where only our own limit is set, no less than the least number of blocks will take.
    fn left(&self, taken: &Taken, end: Option<Duration>) -> Option<Duration> {
        let until = end?.saturating_sub(self.bench.clock.now());
        Some(if self.budget.time_is_strict { until } else { until.max(least_left(taken, self.budget)) })
    }
}

fn least_blocks(budget: Budget) -> u32 {
    budget.runs.unwrap_or(LEAST_BLOCKS)
}

/// Time for the samples that every arm gets at the least, as long each as the arm's last warm-up.
fn least_left(taken: &Taken, budget: Budget) -> Duration {
    let arm_s = |case: &CaseProgress| {
        let missing = least_blocks(budget).saturating_sub(case.samples.len() as u32);
        f64::from(missing) * case.warmups_s.last().copied().unwrap_or(0.0)
    };
    let open = taken.cases.iter().filter(|case| case.error.is_none());
    Duration::from_secs_f64(open.map(arm_s).sum())
}
