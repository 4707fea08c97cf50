//! Attention of a few rows: the keys are split among threads, and what the pieces know is joined.
//!
//! Keys and values are read once, where they lie, for all rows: the time is that of reading.

use super::Queries;
use super::kv::{BLOCK, Block, KvCache, padded};
use super::tile::{Running, Soon, Values, Weights, all_scores, mix_all, weigh};
use crate::cpu::isa::Isa;
use crate::cpu::lanes::{self, Element, Kernel, LANES, Lanes};
use crate::cpu::pool;

/// Rows (tokens · heads of a group) that are served here.
pub(super) const MOST_ROWS: usize = 8;

/// Blocks of keys in a piece: few enough to share a short context, and enough to be worth handing out.
const LEAST_BLOCKS: usize = 2;
const MOST_BLOCKS: usize = 32;

/// Pieces for each thread, so that a late thread holds up little.
const PIECES: usize = 8;

/// Numbers of keys and values below which the caller does all.
const ALONE: usize = 16_000;

/// Lines are asked for when the reader is this part of a head's block before them: 16 KiB in f16 with 128 dimensions.
/// Without it, a core reads half as fast.
const AHEAD: usize = 4;

/// Keys whose values the first cache holds beside all else.
const NEAR_KEYS: usize = 32;

/// See [`KvCache::attend`].
pub(super) fn attend<E: Element>(
    cache: &KvCache,
    isa: Isa,
    queries: &Queries<'_>,
    offset: usize,
    out: &mut [f32],
) {
    let (shape, tokens) = (cache.shape(), queries.rows.count());
    let rows = tokens * shape.group();
    let width = [1, 2, 4].into_iter().find(|width| rows <= *width).unwrap_or(MOST_ROWS);
    let job = Job { cache, queries, offset, tokens, rows, width, dim: padded(shape.dim) };
    let packed = lanes::run(isa, Pack(&job));
    let blocks = (offset + tokens).div_ceil(BLOCK);
    let share = blocks * shape.kv_heads / (PIECES * pool::threads());
    let step = share.clamp(LEAST_BLOCKS, MOST_BLOCKS);
    let runs = blocks.div_ceil(step);
    let mut partials = vec![0f32; runs * shape.kv_heads * job.partial()];
    let piece = |piece: usize, partial: &mut [f32]| {
        let (head, run) = (piece % shape.kv_heads, piece / shape.kv_heads);
        let blocks = run * step..blocks.min((run + 1) * step);
        let q = &packed[head * job.dim * width..][..job.dim * width];
        lanes::run(
            isa,
            Piece::<E> { job: &job, q, head, blocks, partial, element: std::marker::PhantomData },
        );
    };
    match (offset + tokens) * shape.kv_heads * shape.dim < ALONE {
        true => partials.chunks_mut(job.partial()).enumerate().for_each(|(at, partial)| piece(at, partial)),
        false => pool::run_chunks(&mut partials, job.partial(), piece),
    }
    for (index, out) in out.chunks_exact_mut(shape.dim).enumerate() {
        let (token, head) = (index / shape.heads, index % shape.heads);
        let row = token * shape.group() + head % shape.group();
        let of_head = partials.chunks_exact(job.partial()).skip(head / shape.group()).step_by(shape.kv_heads);
        job.join(of_head, row, out);
    }
}

struct Job<'a> {
    cache: &'a KvCache,
    queries: &'a Queries<'a>,
    offset: usize,
    tokens: usize,
    /// tokens · group
    rows: usize,
    /// Rows as computed: a width that there is a kernel for.
    width: usize,
    /// Dimensions as stored.
    dim: usize,
}

impl Job<'_> {
    /// Numbers of what a piece tells: its sums (width, dim), then top and sum of each row.
    fn partial(&self) -> usize {
        self.width * (self.dim + 2)
    }

    /// Brings the pieces to a common top, adds them and divides by the sum.
    fn join<'a>(&self, pieces: impl Iterator<Item = &'a [f32]> + Clone, row: usize, out: &mut [f32]) {
        let at = self.width * self.dim;
        let top = pieces.clone().map(|piece| piece[at + row]).fold(f32::NEG_INFINITY, f32::max);
        out.fill(0.0);
        let mut sum = 0.0;
        for piece in pieces {
            let weight = (piece[at + row] - top).exp2();
            sum += weight * piece[at + self.width + row];
            for (o, m) in out.iter_mut().zip(&piece[row * self.dim..]) {
                *o += weight * m;
            }
        }
        out.iter_mut().for_each(|o| *o /= sum);
    }
}

/// Queries, prepared and scaled so that weights are powers of two: (kv_heads, dim, width).
struct Pack<'a>(&'a Job<'a>);

impl Kernel for Pack<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> Vec<f32> {
        let Job { cache, queries, offset, tokens, width, dim, .. } = *self.0;
        let (shape, scale) = (cache.shape(), queries.scale * std::f32::consts::LOG2_E);
        let mut packed = vec![0.0; shape.kv_heads * dim * width];
        let mut prepared = vec![0.0; shape.dim];
        for token in 0..tokens {
            for head in 0..shape.heads {
                let x = queries.rows.head(token, head, shape.dim);
                queries.prepare.head(lanes, x, offset + token, &mut prepared);
                let row = token * shape.group() + head % shape.group();
                let to = packed[head / shape.group() * dim * width..].chunks_exact_mut(width);
                for (to, x) in to.zip(&prepared) {
                    to[row] = x * scale;
                }
            }
        }
        packed
    }
}

/// Some blocks of one head.
struct Piece<'a, E> {
    job: &'a Job<'a>,
    q: &'a [f32],
    head: usize,
    blocks: std::ops::Range<usize>,
    partial: &'a mut [f32],
    element: std::marker::PhantomData<E>,
}

impl<E: Element> Kernel for Piece<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        match (self.job.width, L::WIDE) {
            (1, true) => self.over_blocks::<L, 1, 4, 8>(lanes),
            (2, true) => self.over_blocks::<L, 2, 4, 8>(lanes),
            (4, true) => self.over_blocks::<L, 4, 4, 4>(lanes),
            (_, true) => self.over_blocks::<L, 8, 2, 2>(lanes),
            (1, false) => self.over_blocks::<L, 1, 4, 4>(lanes),
            (2, false) => self.over_blocks::<L, 2, 2, 2>(lanes),
            (4, false) => self.over_blocks::<L, 4, 1, 1>(lanes),
            (_, false) => self.over_blocks::<L, 8, 1, 1>(lanes),
        }
    }
}

impl<E: Element> Piece<'_, E> {
    #[inline(always)]
    fn over_blocks<L: Lanes, const R: usize, const T: usize, const N: usize>(self, lanes: L) {
        let Job { cache, offset, rows, dim, .. } = *self.job;
        let (group, registers) = (cache.shape().group(), dim / LANES);
        let (mixed, known) = self.partial.split_at_mut(R * dim);
        let (mixed, q) = (mixed.as_chunks_mut().0, self.q.as_chunks::<R>().0);
        let mut weights: [Weights; R] = [[0.0; BLOCK]; R];
        let mut running = [Running::NONE; R];
        for block in self.blocks.clone() {
            let seen = |row: usize| (offset + row / group + 1).saturating_sub(block * BLOCK).min(BLOCK);
            let keys = seen(rows - 1);
            let held: Block<'_, E> = cache.block(block, self.head);
            let more = block + 1 < self.blocks.end;
            let next = if more { cache.block(block + 1, self.head).all } else { held.all };
            let soon = |at: usize| soon(held.all, next, at);
            let tiles = keys.div_ceil(LANES);
            all_scores::<L, E, _, R, T>(lanes, q, held.keys, tiles, |tile| soon(tile * dim), &mut weights);
            for (row, (weights, running)) in weights.iter_mut().zip(&mut running).take(rows).enumerate() {
                weigh(lanes, weights, seen(row), keys, running);
            }
            // Where values are gone through several times, as many as the first cache holds.
            let step = if registers > N { NEAR_KEYS } else { BLOCK / 2 };
            for start in (0..keys).step_by(step) {
                let ahead = soon(held.keys.len() + start * registers);
                let values = Values { values: held.values, registers, keys: start..keys.min(start + step) };
                mix_all::<L, E, R, N>(lanes, &weights, &values, ahead, &running, mixed);
            }
        }
        let (tops, sums) = known.split_at_mut(R);
        for ((top, sum), running) in tops.iter_mut().zip(sums).zip(running) {
            (*top, *sum) = (running.top, running.sum);
        }
    }
}

/// What will be read a part of a head's block after the register `at` of it.
#[inline(always)]
fn soon<E>(now: &[[E; LANES]], next: &[[E; LANES]], at: usize) -> Soon<E> {
    let at = at + now.len() / AHEAD;
    Soon(match at.checked_sub(now.len()) {
        None => now.as_ptr().wrapping_add(at),
        Some(at) => next.as_ptr().wrapping_add(at),
    })
}
