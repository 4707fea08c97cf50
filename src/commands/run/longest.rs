//! `--longest-context`: after the samples, each arm is tried at lengths up to what should fit. Wiring: the search is
//! the runner's.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::arms::ArmSpec;
use super::progress::save;
use super::record::Recorder;
use super::witness::WatchedCard;
use crate::clock::Clock;
use crate::commands::progress::RunLine;
use crate::config::{LongestContext, RunConfig};
use crate::report::document::LongestRecord;
use crate::runner::arm::Arms;
use crate::runner::campaign::Outcome;
use crate::runner::longest::{Bound, Search};
use crate::runner::plan::Room;
use crate::sample::longest::{Longest, StoppedBy};
use crate::units;
use crate::weights::obtain::Obtained;

/// Prompts of one search at the most: the numbers of the next begin behind them.
const PROMPTS_EACH: u32 = 100;

/// What the searches over all arms need.
pub struct Searches<'a> {
    /// What was asked for.
    pub config: &'a RunConfig,
    /// The models.
    pub models: &'a [Obtained],
    /// The arms.
    pub arms: &'a [ArmSpec],
    /// Keeps what is found.
    pub recorder: &'a Recorder<'a>,
    /// Tells the memory in use.
    pub card: &'a WatchedCard,
    /// Time.
    pub clock: &'a dyn Clock,
    /// When the time that the user set is over.
    pub end: Option<Duration>,
    /// Set by Ctrl-C.
    pub stop: &'a AtomicBool,
    /// Where the report is saved after each arm.
    pub folder: &'a Path,
}

impl Searches<'_> {
    /// Searches every arm that `found` has no result of; none where it was not asked for.
    ///
    /// Errors if the report cannot be saved.
    pub fn run(
        &self,
        source: &mut dyn Arms,
        outcome: &Outcome,
        found: &[LongestRecord],
    ) -> anyhow::Result<()> {
        let Some(asked) = ceiling(self.config.longest_context) else { return Ok(()) };
        let line = RunLine::new();
        for (index, arm) in self.arms.iter().enumerate() {
            let (model, device) = (&self.models[arm.model].id, self.config.device.to_string());
            let same = |old: &&LongestRecord| old.model == *model && old.quantization == arm.label;
            let old = found.iter().find(same).filter(|old| old.stopped_by != StoppedBy::Interrupted);
            let record = match old {
                Some(old) => old.clone(),
                None => {
                    let bound = Bound::of(&arm.room, asked);
                    let Longest { tokens, memory_bytes, stopped_by, attempts } =
                        self.search(source, index, bound, outcome.prompts, &line);
                    let (model, quantization) = (model.clone(), arm.label.clone());
                    LongestRecord { model, quantization, device, tokens, memory_bytes, stopped_by, attempts }
                }
            };
            self.recorder.found_longest(record);
            save(&self.recorder.document(outcome), self.folder, &self.config.formats)?;
        }
        line.clear();
        Ok(())
    }

    fn search(
        &self,
        source: &mut dyn Arms,
        index: usize,
        bound: Bound,
        prompts: u32,
        line: &RunLine,
    ) -> Longest {
        let name = source.name(index);
        let is_over = || self.end.is_some_and(|end| self.clock.now() >= end);
        let search = Search {
            arms: source,
            index,
            bound,
            first_prompt: prompts + PROMPTS_EACH * index as u32,
            witness: &mut self.card.witness(),
            stopped: &|| self.stop.load(Ordering::Relaxed) || is_over(),
            trying: &mut |tokens| line.show(&format!("{name}: does a context of {tokens} tokens run?"), None),
        };
        search.run()
    }
}

/// What `--dry-run` says of a search.
pub fn plan(asked: LongestContext, room: &Room) -> Option<String> {
    let bound = Bound::of(room, ceiling(asked)?);
    let tokens = units::thousands(bound.tokens.into());
    Some(format!("the longest context is looked for up to {tokens} tokens ({})", bound.by.words()))
}

/// The user's own end of the search inside, where there is one; `None` where no search was asked for.
fn ceiling(asked: LongestContext) -> Option<Option<u32>> {
    match asked {
        LongestContext::NotAsked => None,
        LongestContext::WhatFits => Some(None),
        LongestContext::UpTo(tokens) => Some(Some(tokens)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_says_how_far_the_search_would_go_and_why_no_further() {
        let room = Room { max_positions: 40_960, memory: Some(20_001), whose: "this box's" };
        assert_eq!(plan(LongestContext::NotAsked, &room), None);
        let told = plan(LongestContext::WhatFits, &room).unwrap();
        assert_eq!(told, "the longest context is looked for up to 20,000 tokens (counted memory)");
        assert!(plan(LongestContext::UpTo(64), &room).unwrap().contains("64 tokens (--longest-context)"));
    }
}
