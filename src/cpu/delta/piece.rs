//! One piece of work: a key head and the value heads that read it, through all tokens.

use std::ops::Range;

use super::chunk::{Chunk, score};
use super::convolve::{Rows, vector};
use super::gates::{self, Gates};
use super::scratch::Kept;
use super::step::{Token, step};
use super::{CHUNK, Shape, Weights};
use crate::cpu::lanes::{Kernel, LANES, Lanes, functions};

/// So many tokens or fewer go through the memory one by one.
const FEW: usize = 3;

/// What a piece reads, and how it comes to what it writes.
pub struct Piece<'a, G, M> {
    pub shape: &'a Shape,
    pub weights: &'a Weights<'a>,
    pub qkv: &'a [f32],
    pub before: &'a [f32],
    pub beta: &'a [f32],
    pub decay: &'a [f32],
    pub tokens: usize,
    pub key_head: usize,
    /// Which of the value heads that read the key head.
    pub value_heads: Range<usize>,
    /// A range of the gates' numbers, one head's of one token.
    pub gate: G,
    /// A range of the memories' numbers, one head's.
    pub memory: M,
    pub step: usize,
}

/// Room for what comes up on the way. Strides are multiples of [`LANES`].
struct Room<'a> {
    /// (2 · CHUNK, key stride): the chunk's queries, then its keys.
    keyed: &'a mut [f32],
    /// (CHUNK, columns)
    values: &'a mut [f32],
    /// (2 · CHUNK, columns)
    said: &'a mut [f32],
    /// (2 · CHUNK, CHUNK)
    scores: &'a mut [f32],
    /// As many.
    decayed: &'a mut [f32],
    /// (value heads, key_dim, columns): copies of the memories whose rows are no whole vectors.
    padded: &'a mut [f32],
}

impl<'a, G, M> Kernel for Piece<'a, G, M>
where
    G: Fn(Range<usize>) -> &'a mut [f32],
    M: Fn(Range<usize>) -> &'a mut [f32],
{
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let rows = CHUNK.min(self.tokens.max(1));
        let (key_stride, columns) = (self.key_stride(), self.columns());
        let padded = if self.is_padded() { self.value_heads.len() * self.shape.key_dim * columns } else { 0 };
        let scores = if rows > FEW { 2 * CHUNK * CHUNK } else { 0 };
        let count = 2 * rows * key_stride + 3 * rows * columns + 2 * scores + padded;
        // Not a closure over the scratch: that would be a function of its own, without the instructions.
        let mut kept = Kept::new(count);
        let mut free = kept.scratch();
        let mut room = Room {
            keyed: free.take(2 * rows * key_stride),
            values: free.take(rows * columns),
            said: free.take(2 * rows * columns),
            scores: free.take(scores),
            decayed: free.take(scores),
            padded: free.take(padded),
        };
        self.heads_through(l, &mut room);
    }
}

impl<'a, G, M> Piece<'a, G, M>
where
    G: Fn(Range<usize>) -> &'a mut [f32],
    M: Fn(Range<usize>) -> &'a mut [f32],
{
    #[inline(always)]
    fn key_stride(&self) -> usize {
        self.shape.key_dim.next_multiple_of(LANES)
    }

    #[inline(always)]
    fn columns(&self) -> usize {
        self.shape.value_dim.next_multiple_of(LANES)
    }

    #[inline(always)]
    fn is_padded(&self) -> bool {
        self.columns() != self.shape.value_dim
    }

    #[inline(always)]
    fn rows(&self) -> Rows<'a> {
        let channels = self.shape.channels();
        Rows { x: self.qkv, before: self.before, weight: self.weights.conv, channels }
    }

    /// The memory of a value head, as the state has it.
    #[inline(always)]
    fn memory_of(&self, head: usize) -> &'a mut [f32] {
        let start = head * self.step;
        (self.memory)(start..start + self.shape.key_dim * self.shape.value_dim)
    }

    #[inline(always)]
    fn heads_through<L: Lanes>(&self, l: L, room: &mut Room) {
        self.copy_in(room);
        for first in (0..self.tokens).step_by(CHUNK) {
            let count = CHUNK.min(self.tokens - first);
            if count <= FEW {
                for token in first..first + count {
                    self.one(l, token, room);
                }
            } else {
                self.several(l, first, count, room);
            }
        }
        self.copy_out(room);
    }

    /// Queries, then keys, of `count` tokens from `first` on.
    #[inline(always)]
    fn convolve_keyed<L: Lanes>(&self, l: L, first: usize, count: usize, keyed: &mut [f32]) {
        let (dim, stride) = (self.shape.key_dim, self.key_stride());
        let (queries, keys) = keyed.split_at_mut(count * stride);
        let (of_queries, of_keys) = (self.key_head * dim, self.shape.key_channels() + self.key_head * dim);
        let length = 1.0 / (dim as f32).sqrt();
        let outs = queries.chunks_exact_mut(stride).zip(keys.chunks_exact_mut(stride));
        for (token, (query, key)) in (first..first + count).zip(outs) {
            self.rows().of_length(l, token, of_queries, dim, length, query);
            self.rows().of_length(l, token, of_keys, dim, 1.0, key);
        }
    }

    /// A few tokens of one chunk.
    #[inline(always)]
    fn several<L: Lanes>(&self, l: L, first: usize, count: usize, room: &mut Room) {
        let (stride, columns, dim) = (self.key_stride(), self.columns(), self.shape.value_dim);
        let keyed = &mut room.keyed[..2 * count * stride];
        self.convolve_keyed(l, first, count, keyed);
        score(l, keyed, stride, count, room.scores);
        let (values, said) = (&mut room.values[..count * columns], &mut room.said[..2 * count * columns]);
        for index in self.value_heads.clone() {
            let head = self.shape.value_head(self.key_head, index);
            let channel = 2 * self.shape.key_channels() + head * dim;
            for (token, value) in (first..).zip(values.chunks_exact_mut(columns)) {
                self.rows().activated(l, token, channel, dim, value);
            }
            let heads = self.shape.value_heads;
            let gate = |token: usize| (self.decay[token * heads + head], self.beta[token * heads + head]);
            let gates = Gates::new(self.weights, head, (first..first + count).map(gate));
            let chunk = Chunk {
                keyed,
                key_stride: stride,
                key_dim: self.shape.key_dim,
                columns,
                scores: room.scores,
                gates: &gates,
                count,
            };
            chunk.mix(l, self.matrix(head, index, room.padded), values, said, room.decayed);
            for (token, answer) in (first..first + count).zip(said.chunks_exact(columns)) {
                self.finish(l, token, head, answer);
                self.prefetch(l, token + CHUNK, head);
            }
        }
    }

    /// Asks for what `head` will read of `token`: rows lie so far apart that no processor guesses the next.
    #[inline(always)]
    fn prefetch<L: Lanes>(&self, l: L, token: usize, head: usize) {
        if token >= self.tokens {
            return;
        }
        let (keys, dim) = (self.shape.key_channels(), self.shape.value_dim);
        let row = &self.qkv[token * self.shape.channels()..];
        for start in [self.key_head * self.shape.key_dim, keys + self.key_head * self.shape.key_dim] {
            for at in (start..start + self.shape.key_dim).step_by(LANES) {
                l.prefetch(&row[at]);
            }
        }
        for at in (0..dim).step_by(LANES) {
            l.prefetch(&row[2 * keys + head * dim + at]);
        }
    }

    /// One token.
    #[inline(always)]
    fn one<L: Lanes>(&self, l: L, token: usize, room: &mut Room) {
        let (stride, columns, dim) = (self.key_stride(), self.columns(), self.shape.value_dim);
        let keyed = &mut room.keyed[..2 * stride];
        self.convolve_keyed(l, token, 1, keyed);
        let (query, key) = keyed.split_at(stride);
        let mut overlap = l.splat(0.0);
        for block in 0..stride / LANES {
            overlap = l.mul_add(vector(l, query, block), vector(l, key, block), overlap);
        }
        let overlap = l.reduce_sum(overlap);
        let (value, answer) = (&mut room.values[..columns], &mut room.said[..columns]);
        for index in self.value_heads.clone() {
            let head = self.shape.value_head(self.key_head, index);
            let channel = 2 * self.shape.key_channels() + head * dim;
            self.rows().activated(l, token, channel, dim, value);
            let at = token * self.shape.value_heads + head;
            let taken = Token {
                query,
                key,
                value,
                decay: gates::decay(self.weights, head, self.decay[at]),
                beta: gates::beta(self.beta[at]),
                overlap,
            };
            step(l, taken, self.matrix(head, index, room.padded), answer);
            self.finish(l, token, head, answer);
        }
    }

    /// The memory of a value head in rows of whole vectors.
    #[inline(always)]
    fn matrix<'b>(&self, head: usize, index: usize, padded: &'b mut [f32]) -> &'b mut [f32]
    where
        'a: 'b,
    {
        let size = self.shape.key_dim * self.columns();
        match self.is_padded() {
            true => &mut padded[(index - self.value_heads.start) * size..][..size],
            false => self.memory_of(head),
        }
    }

    /// Norm of the answer, times the activated gate, in the gate's place.
    #[inline(always)]
    fn finish<L: Lanes>(&self, l: L, token: usize, head: usize, answer: &[f32]) {
        let dim = self.shape.value_dim;
        let start = token * self.shape.value_channels() + head * dim;
        let gate = (self.gate)(start..start + dim);
        let answer = answer.as_chunks::<LANES>().0;
        let mut squares = l.splat(0.0);
        for a in answer {
            let a = l.load(a);
            squares = l.mul_add(a, a, squares);
        }
        let scale = l.splat(1.0 / (l.reduce_sum(squares) / dim as f32 + self.weights.eps).sqrt());
        for (block, (gate, answer)) in gate.chunks_mut(LANES).zip(answer).enumerate() {
            let normed = l.mul(l.mul(l.load(answer), scale), vector(l, self.weights.norm, block));
            let out = l.mul(normed, functions::silu(l, vector(l, gate, 0)));
            match gate.first_chunk_mut::<LANES>() {
                Some(whole) => l.store(out, whole),
                None => l.store_some(out, gate),
            }
        }
    }

    fn copy_in(&self, room: &mut Room) {
        let (dim, columns) = (self.shape.value_dim, self.columns());
        if !self.is_padded() {
            return;
        }
        let copies = room.padded.chunks_exact_mut(self.shape.key_dim * columns);
        for (index, copy) in self.value_heads.clone().zip(copies) {
            let memory = self.memory_of(self.shape.value_head(self.key_head, index));
            for (to, from) in copy.chunks_exact_mut(columns).zip(memory.chunks_exact(dim)) {
                to[..dim].copy_from_slice(from);
                to[dim..].fill(0.0);
            }
        }
    }

    fn copy_out(&self, room: &Room) {
        let (dim, columns) = (self.shape.value_dim, self.columns());
        if !self.is_padded() {
            return;
        }
        let copies = room.padded.chunks_exact(self.shape.key_dim * columns);
        for (index, copy) in self.value_heads.clone().zip(copies) {
            let memory = self.memory_of(self.shape.value_head(self.key_head, index));
            for (from, to) in copy.chunks_exact(columns).zip(memory.chunks_exact_mut(dim)) {
                to.copy_from_slice(&from[..dim]);
            }
        }
    }
}
