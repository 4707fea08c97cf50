//! Keys and values of one layer, laid out for the kernels.
//!
//! Block after block of [`BLOCK`] tokens, in each block head after head, for each head the keys as
//! (tiles, dim, 16) and then the values as (tokens, dim): what a thread reads lies in one piece, and memory is
//! touched as tokens come. A dimension that is no multiple of 16 is padded with zeros.

use super::prepare::Prepare;
use super::rows::{HeadShape, Rows};
use super::scratch;
use crate::cpu::buffer::Buffer;
use crate::cpu::isa::Isa;
use crate::cpu::lanes::{self, Element, Kernel, LANES, Lanes};
use crate::cpu::pool;

/// Tokens of a block.
pub const BLOCK: usize = 128;

/// Tokens from which appending is shared among threads.
const SHARED_TOKENS: usize = 16;

/// What numbers of keys and values are stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvType {
    /// 16 bits; numbers beyond ±65,504 are stored as that.
    F16,
    /// 32 bits.
    F32,
}

impl KvType {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
        }
    }

    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }
}

/// The cache of one attention layer. What lies beyond the tokens appended last is garbage; going back is
/// appending at an earlier position.
#[derive(Debug)]
pub struct KvCache {
    shape: HeadShape,
    kind: KvType,
    blocks: usize,
    data: Buffer,
}

/// Keys and values as plain numbers, each (kv_heads, tokens, dim).
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Keys, normalised and rotated.
    pub keys: Vec<f32>,
    /// Values.
    pub values: Vec<f32>,
}

/// One head's part of a block.
pub(super) struct Block<'a, E> {
    /// Keys and values, one after the other.
    pub all: &'a [[E; LANES]],
    /// (tiles, dim, 16)
    pub keys: &'a [[E; LANES]],
    /// (tokens, registers, 16)
    pub values: &'a [[E; LANES]],
}

impl KvCache {
    /// Room for `capacity` tokens, rounded up to whole blocks.
    pub fn new(shape: HeadShape, kind: KvType, capacity: usize) -> Self {
        let blocks = capacity.div_ceil(BLOCK);
        let numbers = blocks * shape.kv_heads * block_numbers(&shape);
        Self { shape, kind, blocks, data: Buffer::zeroed(numbers * kind.bytes()) }
    }

    /// Heads that it was made for.
    pub fn shape(&self) -> HeadShape {
        self.shape
    }

    /// What numbers are stored as.
    pub fn kind(&self) -> KvType {
        self.kind
    }

    /// Tokens that fit.
    pub fn capacity(&self) -> usize {
        self.blocks * BLOCK
    }

    /// Stores `keys` and `values`, each (tokens, kv_heads · dim), at positions `at..`; keys are prepared on the way.
    ///
    /// # Panics
    /// If they are not as many, of other heads, or do not fit.
    pub fn append(&mut self, isa: Isa, keys: &Rows<'_>, values: &Rows<'_>, prepare: &Prepare<'_>, at: usize) {
        let width = self.shape.kv_heads * self.shape.dim;
        assert!(keys.count() == values.count() && at + keys.count() <= self.capacity());
        assert!(keys.width() == width && values.width() == width, "keys and values of other heads");
        match self.kind {
            KvType::F16 => self.append_as::<u16>(isa, keys, values, prepare, at),
            KvType::F32 => self.append_as::<f32>(isa, keys, values, prepare, at),
        }
    }

    fn append_as<E: Element>(
        &mut self,
        isa: Isa,
        keys: &Rows<'_>,
        values: &Rows<'_>,
        prepare: &Prepare<'_>,
        at: usize,
    ) {
        let (shape, tokens) = (self.shape, keys.count());
        let (step, first) = (block_numbers(&shape), at / BLOCK);
        let touched = first * shape.kv_heads * step..(at + tokens).div_ceil(BLOCK) * shape.kv_heads * step;
        let data: &mut [E] = &mut bytemuck::cast_slice_mut(&mut self.data)[touched];
        let append = |part: usize, to: &mut [E]| {
            let start = (first + part / shape.kv_heads) * BLOCK;
            let positions = at.max(start)..(at + tokens).min(start + BLOCK);
            let head = part % shape.kv_heads;
            scratch::with(padded(shape.dim), |room| {
                let dim = shape.dim;
                lanes::run(isa, Append { to, keys, values, prepare, at, positions, head, dim, room });
            });
        };
        match tokens < SHARED_TOKENS {
            true => data.chunks_mut(step).enumerate().for_each(|(part, to)| append(part, to)),
            false => pool::run_chunks(data, step, append),
        }
    }

    /// The part of head `head` in block `block`.
    pub(super) fn block<E: Element>(&self, block: usize, head: usize) -> Block<'_, E> {
        let numbers = block_numbers(&self.shape) / LANES;
        let all: &[[E; LANES]] = bytemuck::cast_slice::<u8, E>(&self.data).as_chunks().0;
        let all = &all[(block * self.shape.kv_heads + head) * numbers..][..numbers];
        let (keys, values) = all.split_at(numbers / 2);
        Block { all, keys, values }
    }

    /// The first `tokens` tokens as plain numbers: for tests and comparisons.
    ///
    /// # Panics
    /// If there is no room for so many.
    pub fn held(&self, tokens: usize) -> Held {
        match self.kind {
            KvType::F16 => self.held_as(tokens, |bits: u16| half::f16::from_bits(bits).to_f32()),
            KvType::F32 => self.held_as(tokens, |x: f32| x),
        }
    }

    fn held_as<E: Element>(&self, tokens: usize, number: impl Fn(E) -> f32) -> Held {
        let (dim, padded) = (self.shape.dim, padded(self.shape.dim));
        let mut held = Held { keys: Vec::new(), values: Vec::new() };
        for head in 0..self.shape.kv_heads {
            for token in 0..tokens {
                let block = self.block::<E>(token / BLOCK, head);
                let (tile, lane) = (token % BLOCK / LANES, token % LANES);
                held.keys.extend((0..dim).map(|d| number(block.keys[tile * padded + d][lane])));
                let value = &block.values.as_flattened()[token % BLOCK * padded..][..dim];
                held.values.extend(value.iter().map(|x| number(*x)));
            }
        }
        held
    }
}

/// Dimensions of a head as stored.
pub(super) fn padded(dim: usize) -> usize {
    dim.next_multiple_of(LANES)
}

/// Numbers of one head in a block, keys and values.
fn block_numbers(shape: &HeadShape) -> usize {
    2 * BLOCK * padded(shape.dim)
}

/// Some tokens into one head of one block.
struct Append<'a, E> {
    to: &'a mut [E],
    keys: &'a Rows<'a>,
    values: &'a Rows<'a>,
    prepare: &'a Prepare<'a>,
    /// Position of the first row.
    at: usize,
    positions: std::ops::Range<usize>,
    head: usize,
    dim: usize,
    /// Room for one head, padded.
    room: &'a mut [f32],
}

impl<E: Element> Kernel for Append<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let (dim, padded) = (self.dim, padded(self.dim));
        let (keys, values) = self.to.split_at_mut(BLOCK * padded);
        let prepared = self.room;
        prepared[dim..].fill(0.0);
        for position in self.positions {
            let (token, row) = (position % BLOCK, position - self.at);
            let key = self.keys.head(row, self.head, dim);
            self.prepare.head(lanes, key, position, &mut prepared[..dim]);
            let tile = &mut keys[token / LANES * LANES * padded..][..LANES * padded];
            scatter(lanes, prepared, tile.as_chunks_mut().0, token % LANES);
            prepared[..dim].copy_from_slice(self.values.head(row, self.head, dim));
            let value = &mut values[token * padded..][..padded];
            for (v, to) in prepared.as_chunks().0.iter().zip(value.as_chunks_mut().0) {
                E::store(lanes, lanes.load(v), to);
            }
        }
    }
}

/// One key into its lane of a tile (dim, 16).
#[inline(always)]
fn scatter<L: Lanes, E: Element>(lanes: L, key: &[f32], tile: &mut [[E; LANES]], lane: usize) {
    for (key, rows) in key.as_chunks().0.iter().zip(tile.as_chunks_mut::<LANES>().0) {
        let mut numbers = [E::zeroed(); LANES];
        E::store(lanes, lanes.load(key), &mut numbers);
        for (row, number) in rows.iter_mut().zip(numbers) {
            row[lane % LANES] = number;
        }
    }
}
