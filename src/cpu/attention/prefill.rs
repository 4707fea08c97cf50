//! Attention of many rows: blocks of queries, each over all keys it may see, one block of keys after the other.
//!
//! A block's rows are (token, head of the group), so that grouped heads share every key and value that is read.
//! Scores, weights and values of one block of keys stay in the second cache; f16 is widened there once.

use super::Queries;
use super::kv::{BLOCK, Block, KvCache, padded};
use super::rows::HeadShape;
use super::scratch;
use super::tile::{AtHand, Running, Values, Weights, all_scores, mix_all, weigh};
use crate::cpu::isa::Isa;
use crate::cpu::lanes::{self, Element, Kernel, LANES, Lanes};
use crate::cpu::pool;

/// Rows of a block of queries, unless one token alone has more.
const ROWS: usize = 96;

/// Rows whose scores are computed together where registers are wide, and where they are not.
const WIDE_PANEL: usize = 12;
const PANEL: usize = 6;

/// Rows whose values are mixed together.
const MIXED: usize = 6;

/// See [`KvCache::attend`].
pub(super) fn attend<E: Element>(
    cache: &KvCache,
    isa: Isa,
    queries: &Queries<'_>,
    offset: usize,
    out: &mut [f32],
) {
    let (shape, tokens) = (cache.shape(), queries.rows.count());
    let step = (ROWS / shape.group()).max(1);
    let mut pieces = pieces::<E>(cache, queries, offset, step, out);
    // The longest first: what is left at the end is short.
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.first));
    debug_assert_eq!(pieces.len(), tokens.div_ceil(step) * shape.kv_heads);
    pool::run_chunks(&mut pieces, 1, |_, piece| {
        for piece in piece {
            scratch::with(piece.room(), |room| lanes::run(isa, Work { piece, room }));
        }
    });
}

/// The queries of one group of heads for some tokens.
struct Piece<'a, E> {
    cache: &'a KvCache,
    queries: &'a Queries<'a>,
    /// Position of the first query of all.
    offset: usize,
    /// Key head.
    head: usize,
    /// First token of the piece.
    first: usize,
    /// A row of (group · dim) a token.
    out: Vec<&'a mut [f32]>,
    element: std::marker::PhantomData<E>,
}

fn pieces<'a, E: Element>(
    cache: &'a KvCache,
    queries: &'a Queries<'a>,
    offset: usize,
    step: usize,
    out: &'a mut [f32],
) -> Vec<Piece<'a, E>> {
    let HeadShape { kv_heads, dim, .. } = cache.shape();
    let mut pieces = Vec::new();
    for (block, out) in out.chunks_mut(step * kv_heads * cache.shape().group() * dim).enumerate() {
        let mut rows: Vec<Vec<&mut [f32]>> = (0..kv_heads).map(|_| Vec::with_capacity(step)).collect();
        for (index, row) in out.chunks_mut(cache.shape().group() * dim).enumerate() {
            rows[index % kv_heads].push(row);
        }
        let piece = |(head, out)| Piece {
            cache,
            queries,
            offset,
            head,
            first: block * step,
            out,
            element: std::marker::PhantomData,
        };
        pieces.extend(rows.into_iter().enumerate().map(piece));
    }
    pieces
}

/// A piece, and the memory of the thread that does it: closures lie outside of what an instruction set is for.
struct Work<'w, 'a, E> {
    piece: &'w mut Piece<'a, E>,
    room: &'w mut [f32],
}

impl<E: Element> Kernel for Work<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        match L::WIDE {
            true => self.piece.over_all_keys::<L, WIDE_PANEL, 2, 4>(lanes, self.room),
            false => self.piece.over_all_keys::<L, PANEL, 1, 1>(lanes, self.room),
        }
    }
}

/// A thread's memory for one piece, cut to size.
struct Room<'a, const R: usize> {
    /// (panels, dim, R)
    q: &'a mut [[f32; R]],
    weights: &'a mut [Weights],
    /// (rows, registers, 16)
    mixed: &'a mut [[f32; LANES]],
    /// Keys and values of one block, widened.
    keys: &'a mut [[f32; LANES]],
    values: &'a mut [[f32; LANES]],
}

impl<'a, const R: usize> Room<'a, R> {
    fn of(all: &'a mut [f32], rows: usize, dim: usize) -> Self {
        let (keys, all) = all.split_at_mut(BLOCK * dim);
        let (values, all) = all.split_at_mut(BLOCK * dim);
        let (mixed, all) = all.split_at_mut(rows * dim);
        let (weights, all) = all.split_at_mut(rows * BLOCK);
        Self {
            q: all[..rows * dim].as_chunks_mut().0,
            weights: weights.as_chunks_mut().0,
            mixed: mixed.as_chunks_mut().0,
            keys: keys.as_chunks_mut().0,
            values: values.as_chunks_mut().0,
        }
    }
}

impl<E: Element> Piece<'_, E> {
    fn rows(&self) -> usize {
        self.out.len() * self.cache.shape().group()
    }

    /// Numbers that its work needs, whichever panels it takes.
    fn room(&self) -> usize {
        let (rows, dim) = (self.rows().next_multiple_of(WIDE_PANEL), padded(self.cache.shape().dim));
        rows * (2 * dim + BLOCK) + 2 * BLOCK * dim
    }

    /// Keys that row `row` may see; rows beyond the last see what the last one sees.
    fn visible(&self, row: usize) -> usize {
        let token = (row / self.cache.shape().group()).min(self.out.len() - 1);
        self.offset + self.first + token + 1
    }

    #[inline(always)]
    fn over_all_keys<L: Lanes, const R: usize, const T: usize, const N: usize>(
        &mut self,
        lanes: L,
        room: &mut [f32],
    ) {
        let dim = padded(self.cache.shape().dim);
        let rows = self.rows().next_multiple_of(R);
        let visible = self.visible(rows);
        let mut running = vec![Running::NONE; rows];
        let mut room = Room::<R>::of(room, rows, dim);
        self.pack(lanes, room.q, dim);
        room.mixed.fill([0.0; LANES]);
        for block in 0..visible.div_ceil(BLOCK) {
            self.over_block::<L, R, T, N>(lanes, block, &mut room, &mut running);
        }
        self.write(room.mixed, &running);
    }

    /// Prepares the queries and lays them out as (panels, dim, R), scaled so that weights are powers of two.
    #[inline(always)]
    fn pack<L: Lanes, const R: usize>(&self, lanes: L, q: &mut [[f32; R]], padded: usize) {
        let HeadShape { dim, .. } = self.cache.shape();
        let group = self.cache.shape().group();
        let scale = self.queries.scale * std::f32::consts::LOG2_E;
        q.fill([0.0; R]);
        let mut prepared = vec![0.0; dim];
        for row in 0..self.rows() {
            let (token, head) = (self.first + row / group, self.head * group + row % group);
            let x = self.queries.rows.head(token, head, dim);
            self.queries.prepare.head(lanes, x, self.offset + token, &mut prepared);
            for (q, x) in q[row / R * padded..].iter_mut().zip(&prepared) {
                q[row % R] = x * scale;
            }
        }
    }

    #[inline(always)]
    fn over_block<L: Lanes, const R: usize, const T: usize, const N: usize>(
        &self,
        lanes: L,
        block: usize,
        room: &mut Room<'_, R>,
        running: &mut [Running],
    ) {
        let (start, registers) = (block * BLOCK, padded(self.cache.shape().dim) / LANES);
        let shown = |row: usize| self.visible(row).saturating_sub(start).min(BLOCK);
        let most = shown(running.len() - 1);
        let held: Block<'_, E> = self.cache.block(block, self.head);
        widen(lanes, &held.keys[..most.div_ceil(LANES) * LANES * registers], room.keys);
        widen(lanes, &held.values[..most * registers], room.values);
        let panels = room.q.chunks_exact(LANES * registers).zip(room.weights.chunks_exact_mut(R));
        for (panel, (q, weights)) in panels.enumerate() {
            let tiles = shown(panel * R + R - 1).div_ceil(LANES);
            all_scores::<L, f32, AtHand, R, T>(lanes, q, room.keys, tiles, |_| AtHand, weights);
        }
        for (row, (weights, running)) in room.weights.iter_mut().zip(running.iter_mut()).enumerate() {
            weigh(lanes, weights, shown(row), shown(row / MIXED * MIXED + MIXED - 1), running);
        }
        let rows = room.weights.chunks_exact(MIXED).zip(room.mixed.chunks_exact_mut(MIXED * registers));
        for (part, (weights, mixed)) in rows.enumerate() {
            let keys = 0..shown(part * MIXED + MIXED - 1);
            let values = Values { values: room.values, registers, keys };
            mix_all::<L, f32, MIXED, N>(lanes, weights, &values, AtHand, &running[part * MIXED..], mixed);
        }
    }

    fn write(&mut self, mixed: &[[f32; LANES]], running: &[Running]) {
        let HeadShape { dim, .. } = self.cache.shape();
        let rows = mixed.as_flattened().chunks_exact(padded(dim)).zip(running);
        let out = self.out.iter_mut().flat_map(|out| out.chunks_exact_mut(dim));
        for (out, (mixed, running)) in out.zip(rows) {
            let share = 1.0 / running.sum;
            for (o, m) in out.iter_mut().zip(mixed) {
                *o = m * share;
            }
        }
    }
}

#[inline(always)]
fn widen<L: Lanes, E: Element>(lanes: L, from: &[[E; LANES]], to: &mut [[f32; LANES]]) {
    for (from, to) in from.iter().zip(to) {
        lanes.store(E::load(lanes, from), to);
    }
}
