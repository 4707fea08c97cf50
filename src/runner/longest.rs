//! The longest context that really runs on an arm: each length tried is one prefill of it and one decode step.
//!
//! Comes in: an upper bound, by the model, by counted memory or by the user. Goes out: the longest length that ran,
//! on a grid of powers of two and the midpoints between them, with the bound itself. Each attempt loads the arm with a
//! cache of just that length, so that what fits is what would be loaded.

use super::arm::{Arms, Witness};
use super::plan::Room;
use crate::engine::out_of_memory::is_out_of_memory;
use crate::sample::case::{CaseSpec, Kind, Wish};
use crate::sample::longest::{Attempt, Longest, StoppedBy};

/// Ids of output behind the prompt.
pub const OUTPUT_TOKENS: u32 = 1;

/// The id that the decode step runs: any will do.
const ANY_ID: u32 = 1;

/// The most that is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Tokens of the prompt.
    pub tokens: u32,
    /// Who says so.
    pub by: StoppedBy,
}

impl Bound {
    /// The least of what the model, the counted memory and the user allow, one token of output left out.
    pub fn of(room: &Room, asked: Option<u32>) -> Self {
        let of = |tokens: u32, by| Self { tokens: tokens.saturating_sub(OUTPUT_TOKENS), by };
        let model = of(room.max_positions, StoppedBy::ModelLimit);
        let memory = of(room.memory.unwrap_or(0), StoppedBy::MemoryEstimate);
        let least = if memory.tokens < model.tokens { memory } else { model };
        match asked.filter(|tokens| *tokens < least.tokens) {
            Some(tokens) => Self { tokens, by: StoppedBy::Asked },
            None => least,
        }
    }
}

/// A search over one arm.
pub struct Search<'a> {
    /// Loads it.
    pub arms: &'a mut dyn Arms,
    /// Which one.
    pub index: usize,
    /// The most that is tried.
    pub bound: Bound,
    /// Number of the first prompt: none is sent twice.
    pub first_prompt: u32,
    /// Tells the memory in use.
    pub witness: &'a mut dyn Witness,
    /// Whether to stop before the next attempt.
    pub stopped: &'a dyn Fn() -> bool,
    /// Told each length before it is tried.
    pub trying: &'a mut dyn FnMut(u32),
}

impl Search<'_> {
    /// Tries the bound first, then halves what is left of the grid.
    pub fn run(mut self) -> Longest {
        let grid = lengths(self.bound.tokens);
        let mut attempts: Vec<Attempt> = Vec::new();
        let (mut ran, mut fails) = (0, grid.len()); // places below `ran` run or are shorter than what runs
        let mut stopped_by = self.bound.by;
        let mut next = grid.len().checked_sub(1);
        while let Some(place) = next {
            if (self.stopped)() {
                stopped_by = StoppedBy::Interrupted;
                break;
            }
            let attempt = self.attempt(grid[place], attempts.len() as u32);
            match &attempt.error {
                None => ran = place + 1,
                Some(error) => {
                    fails = place;
                    let memory = is_out_of_memory(error);
                    stopped_by = if memory { StoppedBy::OutOfMemory } else { StoppedBy::Failed };
                }
            }
            attempts.push(attempt);
            next = (ran < fails).then_some((ran + fails) / 2);
        }
        let best = attempts.iter().filter(|a| a.error.is_none()).max_by_key(|a| a.tokens);
        let (tokens, memory_bytes) = (best.map(|a| a.tokens), best.and_then(|a| a.memory_bytes));
        Longest { tokens, memory_bytes, stopped_by, attempts }
    }

    fn attempt(&mut self, tokens: u32, number: u32) -> Attempt {
        (self.trying)(tokens);
        let ran = self.prefill_and_step(tokens, number);
        Attempt {
            tokens,
            memory_bytes: ran.as_ref().ok().copied().flatten(),
            error: ran.err().map(|error| format!("{error:#}")),
        }
    }

    /// Memory that was in use.
    fn prefill_and_step(&mut self, tokens: u32, number: u32) -> anyhow::Result<Option<u64>> {
        let spec =
            CaseSpec { kind: Kind::Decode, tokens, output_tokens: OUTPUT_TOKENS, asked_for: Wish::User };
        let prompt = self.arms.prompt(self.index, &spec, self.first_prompt + number)?;
        let ids = self.arms.encode(self.index, &prompt.text)?;
        let mut loaded = self.arms.load(self.index, (tokens + OUTPUT_TOKENS) as usize)?;
        self.witness.begin();
        loaded.engine.reset()?;
        loaded.engine.prefill(&ids)?;
        loaded.engine.decode(ANY_ID)?;
        Ok(self.witness.end().peak_memory_bytes)
    }
}

/// Powers of two, the midpoints between them, and `most` itself; ascending, none above `most`.
fn lengths(most: u32) -> Vec<u32> {
    let powers = (0..u32::BITS).map(|bit| 1_u32 << bit);
    let with_midpoints = powers.flat_map(|power| [power, power.saturating_add(power / 2)]);
    let mut lengths: Vec<u32> =
        with_midpoints.filter(|n| *n < most).chain((most > 0).then_some(most)).collect();
    lengths.sort();
    lengths.dedup();
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_model_memory_and_user_bounds_the_search() {
        let bound = |memory, asked| {
            let room = Room { max_positions: 4096, memory, whose: "this box's" };
            let bound = Bound::of(&room, asked);
            (bound.tokens, bound.by)
        };
        assert_eq!(bound(Some(u32::MAX), None), (4095, StoppedBy::ModelLimit));
        assert_eq!(bound(Some(1000), None), (999, StoppedBy::MemoryEstimate));
        assert_eq!(bound(Some(1000), Some(300)), (300, StoppedBy::Asked));
        assert_eq!(bound(Some(1000), Some(2000)), (999, StoppedBy::MemoryEstimate));
        assert_eq!(bound(None, None), (0, StoppedBy::MemoryEstimate));
    }

    #[test]
    fn the_grid_is_powers_midpoints_and_the_bound() {
        assert_eq!(lengths(20), [1, 2, 3, 4, 6, 8, 12, 16, 20]);
        assert_eq!(lengths(16), [1, 2, 3, 4, 6, 8, 12, 16]);
        assert_eq!((lengths(1), lengths(0)), (vec![1], vec![]));
        assert_eq!(lengths(u32::MAX).last(), Some(&u32::MAX));
    }
}
