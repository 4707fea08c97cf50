//! The short convolution over tokens and what follows it: activation, and unit length of queries and keys.

use crate::cpu::lanes::{LANES, Lanes, functions};

/// Added to the squared length of a query or key, as the reference has it.
const LENGTH_EPS: f32 = 1e-6;

/// Rows of all channels.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// The tokens themselves.
    pub x: &'a [f32],
    /// As many rows before them as the convolution sees.
    pub before: &'a [f32],
    /// (width, channels), oldest first.
    pub weight: &'a [f32],
    /// Numbers in a row.
    pub channels: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn width(&self) -> usize {
        self.weight.len() / self.channels
    }

    /// The row that meets row `tap` of the weight at `token`, from `channel` on.
    #[inline(always)]
    fn source(&self, token: usize, tap: usize, channel: usize) -> &'a [f32] {
        match (token + tap + 1).checked_sub(self.width()) {
            Some(seen) => &self.x[seen * self.channels + channel..],
            None => &self.before[(token + tap) * self.channels + channel..],
        }
    }

    /// Convolution and SiLU of the `dim` channels from `channel` on of one token, to `out`, which is filled up
    /// with zeros. Returns the sum of the squares.
    #[inline(always)]
    pub fn activated<L: Lanes>(
        &self,
        l: L,
        token: usize,
        channel: usize,
        dim: usize,
        out: &mut [f32],
    ) -> f32 {
        match self.width() {
            4 => self.of_width::<L, 4>(l, token, channel, dim, out),
            _ => self.of_any_width(l, token, channel, dim, out),
        }
    }

    #[inline(always)]
    fn of_width<L: Lanes, const W: usize>(
        &self,
        l: L,
        token: usize,
        channel: usize,
        dim: usize,
        out: &mut [f32],
    ) -> f32 {
        let mut sources = [&self.x[..0]; W];
        let mut weights = [&self.x[..0]; W];
        for tap in 0..W {
            sources[tap] = &self.source(token, tap, channel)[..dim];
            weights[tap] = &self.weight[tap * self.channels + channel..][..dim];
        }
        let mut squares = l.splat(0.0);
        let (blocks, rest) = out.as_chunks_mut::<LANES>();
        debug_assert!(rest.is_empty());
        for (block, out) in blocks.iter_mut().enumerate() {
            let mut sum = l.splat(0.0);
            for (source, weight) in sources.iter().zip(&weights) {
                sum = l.mul_add(vector(l, source, block), vector(l, weight, block), sum);
            }
            let y = functions::silu(l, sum);
            squares = l.mul_add(y, y, squares);
            l.store(y, out);
        }
        l.reduce_sum(squares)
    }

    #[inline(always)]
    fn of_any_width<L: Lanes>(&self, l: L, token: usize, channel: usize, dim: usize, out: &mut [f32]) -> f32 {
        let mut squares = l.splat(0.0);
        for (block, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let mut sum = l.splat(0.0);
            for tap in 0..self.width() {
                let source = &self.source(token, tap, channel)[..dim];
                let weight = &self.weight[tap * self.channels + channel..][..dim];
                sum = l.mul_add(vector(l, source, block), vector(l, weight, block), sum);
            }
            let y = functions::silu(l, sum);
            squares = l.mul_add(y, y, squares);
            l.store(y, out);
        }
        l.reduce_sum(squares)
    }

    /// As [`Self::activated`], then brought to the length `length`.
    #[inline(always)]
    pub fn of_length<L: Lanes>(
        &self,
        l: L,
        token: usize,
        channel: usize,
        dim: usize,
        length: f32,
        out: &mut [f32],
    ) {
        let squares = self.activated(l, token, channel, dim, out);
        let scale = l.splat(length / (squares + LENGTH_EPS).sqrt());
        for block in out.as_chunks_mut::<LANES>().0 {
            l.store(l.mul(l.load(block), scale), block);
        }
    }
}

/// Vector number `block` of `from`, with zeros beyond its end.
#[inline(always)]
pub fn vector<L: Lanes>(l: L, from: &[f32], block: usize) -> L::V {
    match from[block * LANES..].first_chunk::<LANES>() {
        Some(whole) => l.load(whole),
        None => l.load_some(&from[block * LANES..]),
    }
}
