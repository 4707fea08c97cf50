//! One token through the memory of one value head, in place: the matrix is read once from memory and once more
//! from the core's cache, and written once.

use crate::cpu::lanes::{LANES, Lanes};

/// What a head takes in at one token.
#[derive(Clone, Copy)]
pub struct Token<'a> {
    /// At least as many numbers as the memory has rows.
    pub query: &'a [f32],
    /// As many.
    pub key: &'a [f32],
    /// As many numbers as the memory has columns, a multiple of [`LANES`].
    pub value: &'a [f32],
    /// Decay of the memory.
    pub decay: f32,
    /// Share of the correction that is made.
    pub beta: f32,
    /// query · key
    pub overlap: f32,
}

/// Decays `memory`, corrects what it says of the key towards the value, and asks it the query: the answer goes
/// to `out`, as long as the value.
#[inline(always)]
pub fn step<L: Lanes>(l: L, token: Token, memory: &mut [f32], out: &mut [f32]) {
    let vectors = token.value.len() / LANES;
    let memory = memory.as_chunks_mut::<LANES>().0;
    let (value, out) = (token.value.as_chunks::<LANES>().0, out.as_chunks_mut::<LANES>().0);
    let mut first = 0;
    if L::WIDE {
        while first + 8 <= vectors {
            columns::<L, 8>(l, token, memory, vectors, first, value, out);
            first += 8;
        }
    }
    for first in first..vectors {
        columns::<L, 1>(l, token, memory, vectors, first, value, out);
    }
}

/// `N` vectors of columns from `first` on. The answer is made of what is read before the correction:
/// qᵀ(decay·S + k δᵀ) = decay·qᵀS + (q·k) δ.
#[inline(always)]
fn columns<L: Lanes, const N: usize>(
    l: L,
    token: Token,
    memory: &mut [[f32; LANES]],
    vectors: usize,
    first: usize,
    value: &[[f32; LANES]],
    out: &mut [[f32; LANES]],
) {
    let (mut said, mut asked) = ([l.splat(0.0); N], [l.splat(0.0); N]);
    for ((row, k), q) in memory.chunks_exact(vectors).zip(token.key).zip(token.query) {
        let (k, q) = (l.splat(*k), l.splat(*q));
        for (at, s) in row[first..first + N].iter().enumerate() {
            let s = l.load(s);
            said[at] = l.mul_add(k, s, said[at]);
            asked[at] = l.mul_add(q, s, asked[at]);
        }
    }
    let (decay, overlap) = (l.splat(token.decay), l.splat(token.overlap));
    let (forgotten, beta) = (l.splat(-token.decay), l.splat(token.beta));
    let mut correction = [l.splat(0.0); N];
    for at in 0..N {
        let missing = l.mul_add(forgotten, said[at], l.load(&value[first + at]));
        correction[at] = l.mul(beta, missing);
        let answer = l.mul_add(overlap, correction[at], l.mul(decay, asked[at]));
        l.store(answer, &mut out[first + at]);
    }
    for (row, k) in memory.chunks_exact_mut(vectors).zip(token.key) {
        let k = l.splat(*k);
        for (s, c) in row[first..first + N].iter_mut().zip(&correction) {
            l.store(l.mul_add(k, *c, l.mul(decay, l.load(s))), s);
        }
    }
}
