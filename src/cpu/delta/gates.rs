//! The gates of one value head: how much it forgets at a token, and how much of a correction it makes.

use super::{CHUNK, Weights};

/// A product of gates below this is taken for 0: less than any sum of f32 can notice, and far from the
/// denormal numbers that slow a processor down.
const NOTHING: f32 = 1e-30;

/// Decay e^g in [0, 1] at a token, of `a` as the projection made it.
pub fn decay(weights: &Weights, head: usize, a: f32) -> f32 {
    (weights.decay_rate[head] * softplus(a + weights.decay_bias[head])).exp()
}

/// ln(1 + eˣ), without overflow.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Share of a correction that is made, in [0, 1].
pub fn beta(b: f32) -> f32 {
    1.0 / (1.0 + (-b).exp())
}

/// The gates of a chunk.
pub struct Gates {
    /// Decay at each token.
    pub decay: [f32; CHUNK],
    /// Share of each correction.
    pub beta: [f32; CHUNK],
    /// Decay from the chunk's start through each token.
    pub from_start: [f32; CHUNK],
    /// Decay after each token to the chunk's end.
    pub to_end: [f32; CHUNK],
}

impl Gates {
    /// Of pairs (a, b) as the projections made them, at most [`CHUNK`].
    pub fn new(weights: &Weights, head: usize, tokens: impl Iterator<Item = (f32, f32)>) -> Self {
        let mut gates =
            Self { decay: [0.0; CHUNK], beta: [0.0; CHUNK], from_start: [0.0; CHUNK], to_end: [0.0; CHUNK] };
        let (mut count, mut before, mut after) = (0, 1.0, 1.0);
        for (at, (a, b)) in tokens.take(CHUNK).enumerate() {
            (gates.decay[at], gates.beta[at]) = (decay(weights, head, a), beta(b));
            before *= gates.decay[at];
            gates.from_start[at] = before;
            count = at + 1;
        }
        for at in (0..count).rev() {
            gates.to_end[at] = after;
            after *= gates.decay[at];
        }
        gates
    }
}

/// The decay from each token seen (`row[..at]`) to token `at`, whose gate is `gate`. Gates are multiplied, never
/// divided: nothing overflows, and a gate near 0 costs its neighbours no digits.
#[inline(always)]
pub fn later(row: &mut [f32; CHUNK], at: usize, gate: f32) {
    for decay in row.iter_mut() {
        let product = *decay * gate;
        *decay = if product < NOTHING { 0.0 } else { product };
    }
    row[at] = 1.0;
}
