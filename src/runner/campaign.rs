//! All arms in rounds: each round visits every arm in random order, so that drift hits all alike,
//! and only one arm is in memory at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::arm::{Arms, Witness};
use super::schedule::{Budget, LEAST_RUNS};
use super::visit::Visit;
use crate::clock::Clock;
use crate::sample::case::{CaseProgress, CaseSpec};
use crate::sample::first_times::FirstTimes;

/// What is to be done, and with what.
pub struct Campaign<'a> {
    /// Models to load.
    pub arms: &'a mut dyn Arms,
    /// How much to take.
    pub budget: Budget,
    /// Seed of the orders.
    pub seed: u64,
    /// Time.
    pub clock: &'a dyn Clock,
    /// The box.
    pub witness: &'a mut dyn Witness,
    /// Who wants to know how far it is.
    pub observer: &'a mut dyn Observer,
    /// Set from outside to end the run after the sample in progress.
    pub stop: &'a AtomicBool,
}

/// Everything taken so far.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// One per arm.
    pub arms: Vec<ArmOutcome>,
    /// Cases that did not fit the time.
    pub left_out: Vec<Dropped>,
    /// Samples taken, warm-ups not counted.
    pub samples: u32,
    /// Prompts made, warm-ups counted: no two are alike.
    pub prompts: u32,
    /// Whether it was stopped from outside.
    pub interrupted: bool,
}

/// What one arm has.
#[derive(Clone, Debug, Default)]
pub struct ArmOutcome {
    /// In the order of the plan.
    pub cases: Vec<CaseProgress>,
    /// The attention path its engine takes, once it was loaded.
    pub attention_path: Option<String>,
    /// Bytes of weights that a decode step must read, once it was loaded.
    pub decode_weight_bytes: Option<u64>,
    /// What came before its first sample, once it was loaded.
    pub first_times: Option<FirstTimes>,
    /// Why it could not be loaded.
    pub error: Option<String>,
}

/// A case left out for time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The case.
    pub spec: CaseSpec,
    /// Time it would have taken: one warm-up and the least number of samples on every arm.
    pub needs: Duration,
}

/// What happens, as it happens. Never called between two clock reads.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// An arm is being loaded.
    Loading {
        /// Its name.
        arm: &'a str,
    },
    /// A case is being warmed up.
    WarmUp {
        /// The arm.
        arm: &'a str,
        /// The case.
        spec: &'a CaseSpec,
    },
    /// A sample is about to be taken.
    Sampling {
        /// The arm.
        arm: &'a str,
        /// The case.
        spec: &'a CaseSpec,
        /// Samples it has.
        taken: u32,
    },
    /// The energy of a case is about to be counted, in passes that are no samples.
    Energy {
        /// The arm.
        arm: &'a str,
        /// The case.
        spec: &'a CaseSpec,
    },
    /// A block of samples is complete: time to save.
    BlockDone,
}

/// Watches a campaign.
pub trait Observer {
    /// Something happened; `outcome` is all there is so far. `left` is the time the budget leaves.
    fn event(&mut self, event: &Event<'_>, outcome: &Outcome, left: Option<Duration>);
}

/// Rounds over several arms, unless loading takes too long.
const ROUNDS: u32 = 3;
/// Share of the remaining time that loading again may take.
const RELOAD_SHARE: f64 = 0.2;

impl Outcome {
    /// Nothing taken yet; `plan` has the cases of each arm.
    pub fn new(plan: Vec<Vec<CaseSpec>>) -> Self {
        let arm = |specs: Vec<CaseSpec>| ArmOutcome {
            cases: specs.into_iter().map(CaseProgress::new).collect(),
            ..ArmOutcome::default()
        };
        Self { arms: plan.into_iter().map(arm).collect(), ..Self::default() }
    }
}

impl Campaign<'_> {
    /// Runs until every case has what it needs, time is up, or it is stopped.
    pub fn run(mut self, mut outcome: Outcome) -> Outcome {
        let start = self.clock.now();
        let end = self.budget.time.map(|time| start + time);
        let mut order: Vec<usize> = (0..self.arms.count()).collect();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let mut rounds = if order.len() > 1 { ROUNDS } else { 1 };
        let mut round = 0;
        while round < rounds {
            order.shuffle(&mut rng);
            for (place, arm) in order.clone().into_iter().enumerate() {
                if self.stop.load(Ordering::Relaxed) {
                    outcome.interrupted = true;
                    return outcome;
                }
                if self.is_over(end) {
                    return outcome;
                }
                let visits_left = (rounds - round - 1) as usize * order.len() + order.len() - place;
                let turn = Turn { arm, round, rounds, visits_left, arms_left: order.len() - place, end };
                rounds = Visit::new(&mut self, &mut outcome, turn, &mut rng).run();
            }
            round += 1;
        }
        outcome.interrupted = self.stop.load(Ordering::Relaxed);
        outcome
    }

    /// Whether a limit that the user set has passed; our own yields to the least number of samples.
    pub(super) fn is_over(&self, end: Option<Duration>) -> bool {
        self.budget.time_is_strict && end.is_some_and(|end| self.clock.now() >= end)
    }

    /// How many rounds there will be, now that a load was seen to take `load`.
    pub(super) fn rounds_after_load(&self, turn: &Turn, load: Duration) -> u32 {
        let Some(end) = turn.end else { return turn.rounds };
        let again = load.as_secs_f64() * (turn.visits_left - 1) as f64;
        let left = end.saturating_sub(self.clock.now()).as_secs_f64();
        if turn.round == 0 && again > RELOAD_SHARE * left { 1 } else { turn.rounds }
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub arm: usize,
    pub round: u32,
    pub rounds: u32,
    /// This one counted.
    pub visits_left: usize,
    /// Arms left in this round, this one counted.
    pub arms_left: usize,
    pub end: Option<Duration>,
}

impl Turn {
    /// The part of `total` that is due by the end of this round.
    pub fn share_of(&self, total: u32) -> u32 {
        (total * (self.round + 1)).div_ceil(self.rounds)
    }

    /// Samples after which a case waits for the next round; the last round has no such limit.
    pub fn most(&self, budget: &Budget) -> u32 {
        match self.round + 1 == self.rounds {
            true => u32::MAX,
            false => self.share_of(budget.runs.unwrap_or(4 * LEAST_RUNS)),
        }
    }
}
