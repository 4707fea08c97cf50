//! Products of a few rows with a few registers of keys or values, and the exponentials between them.

use super::kv::BLOCK;
use crate::cpu::lanes::{Element, LANES, Lanes};

/// Weights of one row for the keys of a block; scores at first.
pub(super) type Weights = [f32; BLOCK];

/// Registers in a row of [`Weights`].
const TILES: usize = BLOCK / LANES;

/// Bytes of a cache line.
const LINE: usize = 64;

/// What will be read after what is being read, so that its lines can be asked for in time.
pub(super) trait Ahead: Copy {
    /// Asks for what lies ahead of the registers `at..at + count` of what is being read.
    fn ask<L: Lanes>(self, lanes: L, at: usize, count: usize);
}

/// All is at hand.
#[derive(Clone, Copy)]
pub(super) struct AtHand;

impl Ahead for AtHand {
    #[inline(always)]
    fn ask<L: Lanes>(self, _lanes: L, _at: usize, _count: usize) {}
}

/// Where what will be read soon begins; any address is harmless.
#[derive(Clone, Copy)]
pub(super) struct Soon<E>(pub *const [E; LANES]);

impl<E: Element> Ahead for Soon<E> {
    #[inline(always)]
    fn ask<L: Lanes>(self, lanes: L, at: usize, count: usize) {
        let lines = (LINE / size_of::<[E; LANES]>()).max(1);
        for place in (0..count).step_by(lines) {
            lanes.prefetch_far(self.0.wrapping_add(at + place));
        }
    }
}

/// Scores of `R` rows `q` (dim, R) with the tiles `first..first + T` of `keys` (tiles, dim, 16).
#[inline(always)]
pub(super) fn scores<L: Lanes, E: Element, const R: usize, const T: usize>(
    lanes: L,
    q: &[[f32; R]],
    keys: &[[E; LANES]],
    first: usize,
    ahead: impl Ahead,
    out: &mut [Weights],
) {
    let dim = q.len();
    let keys = &keys[first * dim..(first + T) * dim];
    let mut sums = [[lanes.splat(0.0); T]; R];
    for (d, q) in q.iter().enumerate() {
        ahead.ask(lanes, d * T, T);
        let mut k = [lanes.splat(0.0); T];
        for (t, k) in k.iter_mut().enumerate() {
            *k = E::load(lanes, &keys[t * dim + d]);
        }
        for (q, sums) in q.iter().zip(&mut sums) {
            let q = lanes.splat(*q);
            for (sum, k) in sums.iter_mut().zip(k) {
                *sum = lanes.mul_add(q, k, *sum);
            }
        }
    }
    for (out, sums) in out[..R].iter_mut().zip(sums) {
        let out = &mut out.as_chunks_mut().0[first..first + T];
        for (out, sum) in out.iter_mut().zip(sums) {
            lanes.store(sum, out);
        }
    }
}

/// What a row of queries knows of the keys so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    /// Largest score.
    pub top: f32,
    /// Sum of 2^(score − top).
    pub sum: f32,
    /// What sums over earlier keys are to be multiplied with.
    pub correction: f32,
}

impl Running {
    /// Of no key.
    pub const NONE: Self = Self { top: f32::NEG_INFINITY, sum: 0.0, correction: 1.0 };
}

/// Turns the first `seen` scores of a row into weights 2^(score − top), and those up to `shown` into zeros.
#[inline(always)]
pub(super) fn weigh<L: Lanes>(lanes: L, row: &mut Weights, seen: usize, shown: usize, running: &mut Running) {
    let (tiles, last) = (seen.div_ceil(LANES), seen % LANES);
    let chunks = row.as_chunks_mut::<LANES>().0;
    chunks[tiles..shown.div_ceil(LANES).max(tiles)].fill([0.0; LANES]);
    running.correction = 1.0;
    if seen == 0 {
        return;
    }
    let chunks = &mut chunks[..tiles];
    if last > 0 {
        let end = &mut chunks[tiles - 1];
        let kept = lanes.keep_first(lanes.load(end), last, f32::NEG_INFINITY);
        lanes.store(kept, end);
    }
    let mut most = lanes.splat(running.top);
    for chunk in chunks.iter() {
        most = lanes.max(most, lanes.load(chunk));
    }
    let top = lanes.reduce_max(most);
    let negative = lanes.splat(-top);
    let mut sums = lanes.splat(0.0);
    for chunk in chunks.iter_mut() {
        let weight = lanes.exp2(lanes.add(lanes.load(chunk), negative));
        sums = lanes.add(sums, weight);
        lanes.store(weight, chunk);
    }
    running.correction = if running.top == top { 1.0 } else { (running.top - top).exp2() };
    running.sum = running.sum * running.correction + lanes.reduce_sum(sums);
    running.top = top;
}

/// Which values are mixed, and how many.
#[derive(Clone)]
pub(super) struct Values<'a, E> {
    /// (keys, registers, 16)
    pub values: &'a [[E; LANES]],
    /// Registers of a value.
    pub registers: usize,
    /// Keys to be mixed; what was mixed before is corrected when the first of a block is.
    pub keys: std::ops::Range<usize>,
}

/// Adds the weighted values to `R` rows of `out` (rows, registers, 16), registers `first..first + N`, after
/// their correction.
#[inline(always)]
pub(super) fn mix<L: Lanes, E: Element, const R: usize, const N: usize>(
    lanes: L,
    weights: &[Weights],
    values: &Values<'_, E>,
    first: usize,
    ahead: impl Ahead,
    running: &[Running],
    out: &mut [[f32; LANES]],
) {
    let (weights, registers) = (&weights[..R], values.registers);
    assert!(values.keys.end <= BLOCK && first + N <= registers);
    let mut sums = [[lanes.splat(0.0); N]; R];
    for ((sums, running), out) in sums.iter_mut().zip(running).zip(out.chunks_exact(registers)) {
        let correction = lanes.splat(if values.keys.start == 0 { running.correction } else { 1.0 });
        for (sum, out) in sums.iter_mut().zip(&out[first..first + N]) {
            *sum = lanes.mul(lanes.load(out), correction);
        }
    }
    let part = &values.values[values.keys.start * registers..values.keys.end * registers];
    for (key, value) in values.keys.clone().zip(part.chunks_exact(registers)) {
        ahead.ask(lanes, (key - values.keys.start) * registers + first, N);
        let mut v = [lanes.splat(0.0); N];
        for (v, value) in v.iter_mut().zip(&value[first..first + N]) {
            *v = E::load(lanes, value);
        }
        for (weights, sums) in weights.iter().zip(&mut sums) {
            let weight = lanes.splat(weights[key % BLOCK]);
            for (sum, v) in sums.iter_mut().zip(v) {
                *sum = lanes.mul_add(weight, v, *sum);
            }
        }
    }
    for (sums, out) in sums.iter().zip(out.chunks_exact_mut(registers)) {
        for (sum, out) in sums.iter().zip(&mut out[first..first + N]) {
            lanes.store(*sum, out);
        }
    }
}

/// [`scores`] of all of `tiles`, at most `T` at a time; `ahead` tells what will be read after a tile.
#[inline(always)]
pub(super) fn all_scores<L: Lanes, E: Element, A: Ahead, const R: usize, const T: usize>(
    lanes: L,
    q: &[[f32; R]],
    keys: &[[E; LANES]],
    tiles: usize,
    ahead: impl Fn(usize) -> A,
    out: &mut [Weights],
) {
    debug_assert!(tiles <= TILES);
    let mut first = 0;
    while first + T <= tiles {
        scores::<L, E, R, T>(lanes, q, keys, first, ahead(first), out);
        first += T;
    }
    while first < tiles {
        scores::<L, E, R, 1>(lanes, q, keys, first, ahead(first), out);
        first += 1;
    }
}

/// [`mix`] of all registers, at most `N` at a time.
#[inline(always)]
pub(super) fn mix_all<L: Lanes, E: Element, const R: usize, const N: usize>(
    lanes: L,
    weights: &[Weights],
    values: &Values<'_, E>,
    ahead: impl Ahead,
    running: &[Running],
    out: &mut [[f32; LANES]],
) {
    let mut first = 0;
    while first + N <= values.registers {
        mix::<L, E, R, N>(lanes, weights, values, first, ahead, running, out);
        first += N;
    }
    while first < values.registers {
        mix::<L, E, R, 1>(lanes, weights, values, first, ahead, running, out);
        first += 1;
    }
}
