//! Energy of prefill and of decode by the device's own counter, in passes that are no samples.
//!
//! A counter is read in milliseconds and moves every few tens of them, so it is never read within a timed sample, and
//! a phase is run again until it has lasted [`LONG_ENOUGH`]. Not here: where no counter is, nothing is run.

use std::time::Duration;

use super::arm::{LoadedArm, Witness};
use super::campaign::Event;
use super::visit::Visit;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::sample::energy::{CaseEnergy, PhaseEnergy};

/// How long a phase must last in all: a counter that moves every 100 ms is then at most 5 % off.
pub const LONG_ENOUGH: Duration = Duration::from_secs(2);

/// Passes after which a phase is too short for any counter.
const MOST_PASSES: u32 = 10_000;

/// The id that decode steps start from: any will do.
const FIRST_ID: u32 = 1;

/// Who counts and who times.
pub struct Meter<'a> {
    /// Counts.
    pub witness: &'a mut dyn Witness,
    /// Times.
    pub clock: &'a dyn Clock,
}

impl Meter<'_> {
    /// Energy of a prefill of `ids`, and of `output_tokens` decode steps behind it. The engine must have room for both.
    ///
    /// A phase of no tokens has none, and neither has one whose counter does not move.
    pub fn measure(
        &mut self,
        engine: &mut dyn Engine,
        ids: &[u32],
        output_tokens: u32,
    ) -> anyhow::Result<CaseEnergy> {
        engine.reset()?;
        let prefill = match ids.is_empty() {
            true => None,
            false => self.phase(ids.len() as u64, &mut || {
                engine.reset()?;
                engine.prefill(ids)
            })?,
        };
        engine.mark()?;
        let output = self.phase(u64::from(output_tokens), &mut || {
            engine.rewind()?;
            let mut id = FIRST_ID;
            for _ in 0..output_tokens {
                id = engine.decode(id)?;
            }
            Ok(())
        })?;
        Ok(CaseEnergy { prefill, output })
    }

    /// Runs `pass` until it has lasted long enough.
    fn phase(
        &mut self,
        tokens: u64,
        pass: &mut dyn FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<PhaseEnergy>> {
        let (before, start) = (self.witness.energy_j(), self.clock.now());
        let mut passes = 0;
        while passes < MOST_PASSES && self.clock.now() - start < LONG_ENOUGH {
            pass()?;
            passes += 1;
        }
        let took = self.clock.now() - start;
        let joules = self.witness.energy_j().zip(before).map(|(after, before)| after - before);
        let long = took >= LONG_ENOUGH;
        let tokens = u64::from(passes) * tokens;
        Ok(joules.filter(|_| long).and_then(|joules| PhaseEnergy::of(joules, tokens, took.as_secs_f64())))
    }
}

impl Visit<'_, '_> {
    /// Counts the energy of every case of `open` that has a sample and no energy yet.
    pub(super) fn energy(&mut self, loaded: &mut LoadedArm, open: &[usize]) {
        for index in open.iter().copied() {
            let case = &self.cases()[index];
            let has_sample = case.samples.iter().any(|sample| sample.is_complete());
            if self.stopped() || !has_sample || case.energy.is_some() || case.error.is_some() {
                continue;
            }
            let spec = case.spec.clone();
            if self.campaign.witness.energy_j().is_none() {
                return;
            }
            self.tell(Event::Energy { arm: &self.name.clone(), spec: &spec });
            match self.energy_of(loaded, index) {
                Ok(energy) => self.outcome.arms[self.turn.arm].cases[index].energy = Some(energy),
                // The samples are there; a number that could not be had is missing and nothing more.
                Err(error) => tracing::warn!("no energy of {} {}: {error:#}", self.name, spec.label()),
            }
        }
    }

    fn energy_of(&mut self, loaded: &mut LoadedArm, index: usize) -> anyhow::Result<CaseEnergy> {
        let prompt = self.prompt(index)?;
        let output_tokens = self.cases()[index].spec.output_tokens;
        let ids = match prompt.text.is_empty() {
            true => Vec::new(),
            false => self.campaign.arms.encode(self.turn.arm, &prompt.text)?,
        };
        let mut meter = Meter { witness: self.campaign.witness, clock: self.campaign.clock };
        meter.measure(loaded.engine.as_mut(), &ids, output_tokens)
    }
}
