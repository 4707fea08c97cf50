//! A chunk of tokens through the memory of one value head, as products of small matrices.
//!
//! Row i of the corrections V' solves `V'ᵢ = β (vᵢ − sᵢ kᵢS) − Σⱼ₍ⱼ﹤ᵢ₎ Aᵢⱼ V'ⱼ` by substitution, which stays accurate
//! whatever the keys are, and row i of the answers is `sᵢ qᵢS + Σⱼ₍ⱼ≤ᵢ₎ Wᵢⱼ V'ⱼ`: both read the same rows.

use super::CHUNK;
use super::gates::{Gates, later};
use crate::cpu::lanes::{LANES, Lanes};
use crate::cpu::small_product::{Left, product};

/// Products of the queries, then of the keys, of a chunk with its keys: rows of [`CHUNK`] numbers, of which those
/// up to the row's own token hold.
pub type Scores = [f32];

/// Fills `scores` (2 · CHUNK rows) from `keyed`: `count` queries, then as many keys, in rows of `stride`.
#[inline(always)]
pub fn score<L: Lanes>(l: L, keyed: &[f32], stride: usize, count: usize, scores: &mut Scores) {
    let (queries, keys) = keyed.split_at(count * stride);
    let (of_queries, of_keys) = scores.split_at_mut(CHUNK * CHUNK);
    for row in 0..count {
        let at = |rows: usize| rows * stride..(rows + 1) * stride;
        let (query, key) = (&queries[at(row)], &keys[at(row)]);
        let mut first = 0;
        while first <= row {
            if first + 4 <= count {
                dots::<L, 4>(l, query, key, &keys[first * stride..], first, row, of_queries, of_keys);
                first += 4;
            } else {
                dots::<L, 1>(l, query, key, &keys[first * stride..], first, row, of_queries, of_keys);
                first += 1;
            }
        }
    }
}

/// A query and a key times `N` keys.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "two rows, what they meet, and where it goes")]
fn dots<L: Lanes, const N: usize>(
    l: L,
    query: &[f32],
    key: &[f32],
    keys: &[f32],
    first: usize,
    row: usize,
    of_queries: &mut [f32],
    of_keys: &mut [f32],
) {
    let (query, key, keys) = (query.as_chunks::<LANES>().0, key.as_chunks().0, keys.as_chunks().0);
    let vectors = query.len();
    let (mut asked, mut met) = ([l.splat(0.0); N], [l.splat(0.0); N]);
    for (at, (q, k)) in query.iter().zip(key).enumerate() {
        let (q, k) = (l.load(q), l.load(k));
        for n in 0..N {
            let other = l.load(&keys[n * vectors + at]);
            asked[n] = l.mul_add(q, other, asked[n]);
            met[n] = l.mul_add(k, other, met[n]);
        }
    }
    for n in 0..N {
        of_queries[row * CHUNK + first + n] = l.reduce_sum(asked[n]);
        of_keys[row * CHUNK + first + n] = l.reduce_sum(met[n]);
    }
}

/// What one value head needs for a chunk of `count` tokens.
pub struct Chunk<'a> {
    /// `count` queries, then as many keys, in rows of `key_stride`.
    pub keyed: &'a [f32],
    /// Numbers from one of those rows to the next.
    pub key_stride: usize,
    /// Rows of the memory.
    pub key_dim: usize,
    /// Columns of the memory, a multiple of [`LANES`].
    pub columns: usize,
    /// As [`score`] made them.
    pub scores: &'a Scores,
    /// Of this head.
    pub gates: &'a Gates,
    /// Tokens.
    pub count: usize,
}

impl Chunk<'_> {
    /// `values` (count, columns) become the corrections, the first `count` rows of `said` (2 · count, columns) the
    /// answers; `memory` moves on. `decayed` is room for as many numbers as there are scores.
    #[inline(always)]
    pub fn mix<L: Lanes>(
        &self,
        l: L,
        memory: &mut [f32],
        values: &mut [f32],
        said: &mut [f32],
        decayed: &mut Scores,
    ) {
        let (count, stride) = (self.count, self.key_stride);
        let keyed = Left {
            numbers: self.keyed,
            row_step: stride,
            column_step: 1,
            rows: 2 * count,
            depth: self.key_dim,
        };
        product(l, keyed, memory, self.columns, 0.0, said);
        self.decay(decayed);
        if L::WIDE {
            self.solve::<L, 4>(l, values, said, decayed);
        } else {
            self.solve::<L, 1>(l, values, said, decayed);
        }
        self.fade(l, values);
        let learnt = Left {
            numbers: &self.keyed[count * stride..],
            row_step: 1,
            column_step: stride,
            rows: self.key_dim,
            depth: count,
        };
        product(l, learnt, values, self.columns, self.gates.from_start[count - 1], memory);
    }

    /// Scores with the decay between the tokens; those of keys also with −β of their row.
    #[inline(always)]
    fn decay(&self, decayed: &mut Scores) {
        let mut between = [0f32; CHUNK];
        let (asked, met) = (self.scores.as_chunks::<CHUNK>().0, decayed.as_chunks_mut::<CHUNK>().0);
        let (of_queries, of_keys) = met.split_at_mut(CHUNK);
        for row in 0..self.count {
            later(&mut between, row, self.gates.decay[row]);
            let minus_beta = -self.gates.beta[row];
            for at in 0..CHUNK {
                of_queries[row][at] = asked[row][at] * between[at];
                of_keys[row][at] = asked[CHUNK + row][at] * between[at] * minus_beta;
            }
        }
    }

    /// Substitution, `N` vectors of columns at a time.
    #[inline(always)]
    fn solve<L: Lanes, const N: usize>(&self, l: L, values: &mut [f32], said: &mut [f32], decayed: &Scores) {
        let vectors = self.columns / LANES;
        let (of_queries, of_keys) = decayed.split_at(CHUNK * CHUNK);
        for row in 0..self.count {
            let at = row * CHUNK..row * CHUNK + row + 1;
            let rows = Row {
                row,
                count: self.count,
                vectors,
                within: &of_queries[at.clone()],
                between: &of_keys[at],
                from_start: self.gates.from_start[row],
                beta: self.gates.beta[row],
            };
            let whole = vectors - vectors % N;
            for first in (0..whole).step_by(N) {
                rows.solve::<L, N>(l, first, values, said);
            }
            for first in whole..vectors {
                rows.solve::<L, 1>(l, first, values, said);
            }
        }
    }

    /// Each correction as much as is left of it at the chunk's end.
    #[inline(always)]
    fn fade<L: Lanes>(&self, l: L, corrections: &mut [f32]) {
        for (row, scale) in corrections.chunks_exact_mut(self.columns).zip(&self.gates.to_end) {
            for v in row.as_chunks_mut::<LANES>().0 {
                l.store(l.mul(l.load(v), l.splat(*scale)), v);
            }
        }
    }
}

/// One token of a chunk against those before it.
struct Row<'a> {
    row: usize,
    count: usize,
    vectors: usize,
    /// Products with the query, up to the token itself.
    within: &'a [f32],
    /// Products with the key, times −β.
    between: &'a [f32],
    from_start: f32,
    beta: f32,
}

impl Row<'_> {
    #[inline(always)]
    fn solve<L: Lanes, const N: usize>(&self, l: L, first: usize, values: &mut [f32], said: &mut [f32]) {
        let (vectors, row) = (self.vectors, self.row);
        let values = values.as_chunks_mut::<LANES>().0;
        let said = said.as_chunks_mut::<LANES>().0;
        let of_query = row * vectors + first;
        let of_key = (self.count + row) * vectors + first;
        let (above, below) = values.split_at_mut(row * vectors);
        let (start, beta) = (l.splat(self.from_start), l.splat(self.beta));
        let forgotten = l.splat(-self.from_start);
        let (mut correction, mut answer) = ([l.splat(0.0); N], [l.splat(0.0); N]);
        for n in 0..N {
            let missing = l.mul_add(forgotten, l.load(&said[of_key + n]), l.load(&below[first + n]));
            correction[n] = l.mul(beta, missing);
            answer[n] = l.mul(start, l.load(&said[of_query + n]));
        }
        for ((solved, within), between) in above.chunks_exact(vectors).zip(self.within).zip(self.between) {
            let (within, between) = (l.splat(*within), l.splat(*between));
            for (n, solved) in solved[first..first + N].iter().enumerate() {
                let solved = l.load(solved);
                correction[n] = l.mul_add(between, solved, correction[n]);
                answer[n] = l.mul_add(within, solved, answer[n]);
            }
        }
        let own = l.splat(self.within[row]);
        for n in 0..N {
            l.store(correction[n], &mut below[first + n]);
            l.store(l.mul_add(own, correction[n], answer[n]), &mut said[of_query + n]);
        }
    }
}
