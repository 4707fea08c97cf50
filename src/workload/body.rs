//! The passages of a request: which, in which order, and varied ones when the corpus is used up.

use std::collections::VecDeque;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::WorkloadError;
use super::builder::RequestBuilder;
use super::vary::{Seen, Variation};
use crate::prompts::passages::{Passage, sentences};

/// Passages that fit whole, and the one after them, to be cut.
pub(super) struct Body {
    /// Blocks of text that end in a blank line.
    pub(super) blocks: Vec<String>,
    /// Ids of all of them.
    pub(super) block_tokens: usize,
    /// The first block that does not fit.
    pub(super) last: String,
    /// Whether any passage is a varied copy.
    pub(super) is_varied: bool,
}

/// Passages of one request, one after the other, without end.
pub(super) struct Source<'a> {
    builder: &'a RequestBuilder<'a>,
    rng: Xoshiro256PlusPlus,
    /// Passages still to come before copies are made.
    fresh: VecDeque<usize>,
    /// Passages that copies are made of.
    models: Vec<usize>,
    copies: usize,
    seen: Seen,
}

struct Block {
    text: String,
    tokens: usize,
}

impl<'a> Source<'a> {
    /// `gold`, if there is one, comes first; the others in random order.
    pub(super) fn new(
        builder: &'a RequestBuilder<'_>,
        gold: Option<usize>,
        mut rng: Xoshiro256PlusPlus,
    ) -> Self {
        let all = 0..builder.corpus.passages.len();
        let mut others: Vec<usize> = all.clone().filter(|passage| Some(*passage) != gold).collect();
        others.shuffle(&mut rng);
        // A copy of the passage with the answer could be taken for it, so there is none.
        let models = if others.is_empty() { all.collect() } else { others.clone() };
        let fresh = gold.into_iter().chain(others).collect();
        Self { builder, rng, fresh, models, copies: 0, seen: Seen::new() }
    }

    /// Takes passages as long as they fit into `room` ids; the first one goes to a random place.
    pub(super) fn fill(mut self, room: usize) -> Result<Body, WorkloadError> {
        let (mut blocks, mut block_tokens) = (Vec::new(), 0);
        loop {
            let block = self.next()?;
            if block_tokens + block.tokens > room {
                let place = self.rng.random_range(0..blocks.len().max(1));
                if !blocks.is_empty() {
                    blocks.swap(0, place);
                }
                return Ok(Body { blocks, block_tokens, last: block.text, is_varied: self.copies > 0 });
            }
            block_tokens += block.tokens;
            blocks.push(block.text);
        }
    }

    fn next(&mut self) -> Result<Block, WorkloadError> {
        match self.fresh.pop_front() {
            Some(passage) => self.original(passage),
            None => self.copy(),
        }
    }

    fn original(&self, index: usize) -> Result<Block, WorkloadError> {
        let text = block_text(&self.builder.corpus.passages[index]);
        let known = &self.builder.block_tokens[index];
        let tokens = match known.get() {
            Some(tokens) => *tokens,
            None => {
                let tokens = self.builder.count(&text)?;
                *known.get_or_init(|| tokens)
            }
        };
        Ok(Block { text, tokens: tokens.max(1) })
    }

    fn copy(&mut self) -> Result<Block, WorkloadError> {
        let passages = &self.builder.corpus.passages;
        if self.copies == 0 {
            let all = passages.iter().flat_map(|p| sentences(&p.text));
            self.seen = all.map(|sentence| sentence.trim().to_owned()).collect();
        }
        let model = &passages[self.models[self.copies % self.models.len()]];
        self.copies += 1;
        let variation = self.builder.variation.get_or_init(|| Variation::new(passages));
        let text = block_text(&variation.copy(model, &mut self.rng, &mut self.seen));
        let tokens = self.builder.count(&text)?.max(1);
        Ok(Block { text, tokens })
    }
}

fn block_text(passage: &Passage) -> String {
    format!("# {}\n{}\n\n", passage.title, passage.text)
}
