//! What every arm's request needs: the loaded model, its words, the clock.

use crate::clock::Clock;
use crate::engine::Engine;
use crate::sample::Sample;
use crate::tokenizer::Tokenizer;
use crate::workload::RequestBuilder;

use super::timed::ms;

/// The loaded model and what is said to it.
pub struct Bench<'a> {
    /// The model.
    pub engine: &'a mut dyn Engine,
    /// Its tokenizer.
    pub tokenizer: &'a dyn Tokenizer,
    /// Makes prompts.
    pub builder: &'a RequestBuilder<'a>,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Output ids per request.
    pub output_tokens: u32,
}

/// When the prompt's text was in hand and when the first id was on the host, with that id.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub in_hand: std::time::Duration,
    pub ready: std::time::Duration,
    pub id: u32,
}

impl Bench<'_> {
    /// Fills the cache with `ids` and marks it, before the clock of a request starts; empty for a cold request.
    pub(super) fn prepare(&mut self, ids: &[u32]) -> anyhow::Result<()> {
        self.engine.reset()?;
        if !ids.is_empty() {
            self.engine.prefill(ids)?;
            self.engine.mark()?;
        }
        Ok(())
    }

    /// Runs what of `ids` is not in the cache, whose mark stands behind the first `cached` of them.
    pub(super) fn prefill_behind(&mut self, ids: &[u32], cached: usize) -> anyhow::Result<()> {
        if cached > 0 {
            self.engine.rewind()?;
        }
        self.engine.prefill(&ids[cached..])
    }

    /// The rest of the output, with the time of each id from the prompt in hand.
    pub(super) fn rest(&mut self, first: First, sample: &mut Sample) -> anyhow::Result<()> {
        sample.ttft_ms = Some(ms(first.ready - first.in_hand));
        sample.token_ready_ms.push(ms(first.ready - first.in_hand));
        let mut id = first.id;
        while sample.token_ready_ms.len() < self.output_tokens as usize {
            id = self.engine.decode(id)?;
            sample.token_ready_ms.push(ms(self.clock.now() - first.in_hand));
        }
        Ok(())
    }

    /// Refuses a prompt that leaves no room for its output, in words that name the remedy.
    pub(super) fn check_room(&self, tokens: usize, what: &str) -> anyhow::Result<()> {
        let needed = tokens + self.output_tokens as usize;
        let room = self.engine.capacity();
        anyhow::ensure!(
            needed <= room,
            "{what} has {tokens} tokens, and with {} of output that is more than the {room} that this run \
             made room for; ask a shorter question, or raise --top-k or --context",
            self.output_tokens
        );
        Ok(())
    }
}
