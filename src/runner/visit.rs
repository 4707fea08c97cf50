//! One visit to one arm: load, warm up, leave out what does not fit, then random blocks.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::arm::{LoadedArm, Prompt};
use super::campaign::{Campaign, Event, Outcome, Turn};
use super::first_times::Fresh;
use super::measure;
use super::schedule::LEAST_RUNS;
use crate::sample::Sample;
use crate::sample::case::{CaseProgress, CaseSpec, Kind};

pub(super) struct Visit<'v, 'a> {
    pub(super) campaign: &'v mut Campaign<'a>,
    pub(super) outcome: &'v mut Outcome,
    pub(super) turn: Turn,
    rng: &'v mut Xoshiro256PlusPlus,
    pub(super) name: Rc<str>,
    /// Until the end of the warm-up after the arm's first load.
    pub(super) fresh: Option<Fresh>,
}

impl<'v, 'a> Visit<'v, 'a> {
    pub fn new(
        campaign: &'v mut Campaign<'a>,
        outcome: &'v mut Outcome,
        turn: Turn,
        rng: &'v mut Xoshiro256PlusPlus,
    ) -> Self {
        let name = campaign.arms.name(turn.arm).into();
        Self { campaign, outcome, turn, rng, name, fresh: None }
    }

    /// Returns how many rounds the campaign will have.
    pub fn run(mut self) -> u32 {
        let mut open: Vec<usize> = (0..self.cases().len()).filter(|i| self.wants(*i)).collect();
        while !open.is_empty() {
            self.tell(Event::Loading { arm: &self.name.clone() });
            let before = self.campaign.clock.now();
            let loaded = self.campaign.arms.load(self.turn.arm, self.capacity(&open));
            let took = self.campaign.clock.now() - before;
            match loaded {
                Ok(mut loaded) => {
                    self.turn.rounds = self.campaign.rounds_after_load(&self.turn, took);
                    let is_first = self.outcome.arms[self.turn.arm].first_times.is_none();
                    self.fresh = is_first.then(|| Fresh::loaded(took));
                    self.measure(&mut loaded, &open);
                    break;
                }
                Err(error) => open = self.open_after_failed_load(open, &format!("{error:#}")),
            }
        }
        self.turn.rounds
    }

    fn measure(&mut self, loaded: &mut LoadedArm, open: &[usize]) {
        let arm = &mut self.outcome.arms[self.turn.arm];
        arm.attention_path = Some(loaded.engine.attention_path().into());
        arm.decode_weight_bytes = loaded.decode_weight_bytes;
        self.warm_up(loaded, open);
        if let Some(fresh) = self.fresh.take() {
            self.outcome.arms[self.turn.arm].first_times = Some(fresh.times());
        }
        let deadline = self.deadline();
        while self.block(loaded, deadline) {
            self.tell(Event::BlockDone);
        }
        self.energy(loaded, open);
        self.tell(Event::BlockDone);
    }

    /// One sample of every case that still needs one, in random order. `false` when none was taken.
    fn block(&mut self, loaded: &mut LoadedArm, deadline: Option<Duration>) -> bool {
        let mut order: Vec<usize> = (0..self.cases().len()).filter(|i| self.wants(*i)).collect();
        order.shuffle(self.rng);
        let mut taken = false;
        for index in order {
            if self.stopped() {
                return false;
            }
            if self.has_least(index) && self.would_end_after(index, deadline) {
                continue;
            }
            self.take(loaded, index);
            taken = true;
        }
        taken
    }

    /// Takes one sample of a case, or as many as one filling of the cache is good for.
    fn take(&mut self, loaded: &mut LoadedArm, index: usize) {
        let spec = self.cases()[index].spec.clone();
        let taken = self.cases()[index].samples.len() as u32;
        self.tell(Event::Sampling { arm: &self.name.clone(), spec: &spec, taken });
        match spec.kind {
            Kind::Decode => self.take_decode(loaded, index),
            _ => {
                let prompt = self.prompt(index);
                self.campaign.witness.begin();
                let sample = match prompt {
                    Ok(prompt) => self.timed(loaded, &prompt, spec.output_tokens),
                    Err(error) => failed(&error),
                };
                self.keep(index, sample);
            }
        }
    }

    fn take_decode(&mut self, loaded: &mut LoadedArm, index: usize) {
        let spec = self.cases()[index].spec.clone();
        let filled = self.fill(loaded, index);
        for _ in 0..LEAST_RUNS {
            self.campaign.witness.begin();
            let sample = match &filled {
                Ok(()) => measure::decode_at_depth(
                    loaded.engine.as_mut(),
                    self.campaign.clock,
                    spec.tokens,
                    spec.output_tokens,
                ),
                Err(error) => failed(error),
            };
            self.keep(index, sample);
            if filled.is_err() || self.stopped() || !self.wants(index) {
                return;
            }
        }
    }

    /// A whole request that is not kept: a warm-up.
    pub(super) fn request(&mut self, loaded: &mut LoadedArm, index: usize) -> Sample {
        let spec = self.cases()[index].spec.clone();
        if spec.kind == Kind::Decode {
            return match self.fill(loaded, index) {
                Ok(()) => measure::decode_at_depth(
                    loaded.engine.as_mut(),
                    self.campaign.clock,
                    spec.tokens,
                    spec.output_tokens,
                ),
                Err(error) => failed(&error),
            };
        }
        match self.prompt(index) {
            Ok(prompt) => self.timed(loaded, &prompt, spec.output_tokens),
            Err(error) => failed(&error),
        }
    }

    fn timed(&mut self, loaded: &mut LoadedArm, prompt: &Prompt, output_tokens: u32) -> Sample {
        let (arms, arm) = (&*self.campaign.arms, self.turn.arm);
        let encode = |text: &str| arms.encode(arm, text);
        measure::request(loaded.engine.as_mut(), &encode, self.campaign.clock, &prompt.text, output_tokens)
    }

    fn fill(&mut self, loaded: &mut LoadedArm, index: usize) -> anyhow::Result<()> {
        let prompt = self.prompt(index)?;
        let ids = self.campaign.arms.encode(self.turn.arm, &prompt.text)?;
        let took = measure::fill(loaded.engine.as_mut(), self.campaign.clock, &ids)?;
        if let Some(fresh) = self.fresh.as_mut().filter(|_| !ids.is_empty()) {
            fresh.filled(took);
        }
        Ok(())
    }

    pub(super) fn prompt(&mut self, index: usize) -> anyhow::Result<Prompt> {
        let number = self.outcome.prompts;
        self.outcome.prompts += 1;
        let case = &mut self.outcome.arms[self.turn.arm].cases[index];
        let prompt = self.campaign.arms.prompt(self.turn.arm, &case.spec, number)?;
        case.truncated |= prompt.truncated;
        case.no_chat_template |= prompt.no_chat_template;
        Ok(prompt)
    }

    fn keep(&mut self, index: usize, mut sample: Sample) {
        let observed = self.campaign.witness.end();
        sample.order = self.outcome.samples;
        self.outcome.samples += 1;
        let case = &mut self.outcome.arms[self.turn.arm].cases[index];
        let error = sample.error.clone();
        case.samples.push(sample);
        case.observed.push(observed);
        if let Some(error) = error {
            self.end_for_want_of_memory(index, &error);
        }
    }

    pub(super) fn cases(&self) -> &[CaseProgress] {
        &self.outcome.arms[self.turn.arm].cases
    }

    /// Whether case `index` is to get another sample in this visit.
    fn wants(&self, index: usize) -> bool {
        let case = &self.cases()[index];
        let taken = case.samples.len() as u32;
        case.error.is_none()
            && !self.is_dropped(&case.spec)
            && !self.campaign.budget.is_done(case)
            && taken < self.turn.most(&self.campaign.budget)
    }

    fn has_least(&self, index: usize) -> bool {
        self.cases()[index].samples.len() as u32 >= self.turn.share_of(self.campaign.budget.least())
    }

    fn would_end_after(&self, index: usize, deadline: Option<Duration>) -> bool {
        let needs = Duration::from_secs_f64(seconds(&self.cases()[index]));
        deadline.is_some_and(|deadline| self.campaign.clock.now() + needs > deadline)
    }

    /// When this visit is to end, so that the visits after it have as much.
    fn deadline(&self) -> Option<Duration> {
        let now = self.campaign.clock.now();
        let visits = match self.turn.rounds {
            1 => self.turn.arms_left,
            _ => self.turn.visits_left,
        };
        self.turn.end.map(|end| now + end.saturating_sub(now) / visits as u32)
    }

    fn capacity(&self, open: &[usize]) -> usize {
        open.iter().map(|i| self.room(*i)).max().unwrap_or(0)
    }

    /// Tokens that the cache must hold for case `index`.
    pub(super) fn room(&self, index: usize) -> usize {
        let spec = &self.cases()[index].spec;
        (spec.tokens + spec.output_tokens) as usize
    }

    pub(super) fn is_dropped(&self, spec: &CaseSpec) -> bool {
        self.outcome.left_out.iter().any(|dropped| dropped.spec == *spec)
    }

    /// Whether nothing more may be begun: Ctrl-C, or the end of the time that the user set.
    pub(super) fn stopped(&self) -> bool {
        self.campaign.stop.load(Ordering::Relaxed) || self.campaign.is_over(self.turn.end)
    }

    pub(super) fn tell(&mut self, event: Event<'_>) {
        let left = self.turn.end.map(|end| end.saturating_sub(self.campaign.clock.now()));
        self.campaign.observer.event(&event, self.outcome, left);
    }
}

/// What one turn of a case takes: the fastest of its warm-ups, since whatever disturbs one makes it slower.
pub(super) fn seconds(case: &CaseProgress) -> f64 {
    let fastest = case.warmups_s.iter().copied().reduce(f64::min);
    fastest.unwrap_or(0.0)
}

fn failed(error: &anyhow::Error) -> Sample {
    Sample { error: Some(format!("{error:#}")), ..Sample::default() }
}
