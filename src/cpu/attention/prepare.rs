//! What a head of queries or keys goes through after its projection: norm, then rotation.

use crate::cpu::lanes::Lanes;

/// RMSNorm over the dimensions of a head.
#[derive(Clone, Copy, Debug)]
pub struct HeadNorm<'a> {
    /// (dim,); `None` is a weight of 1.
    pub weight: Option<&'a [f32]>,
    /// Added to the mean square.
    pub eps: f32,
}

/// Rotation of the pairs `i` and `i + half` by the angle of the position.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// (positions, half)
    pub cos: &'a [f32],
    /// (positions, half)
    pub sin: &'a [f32],
    /// Pairs; dimensions from 2 · half on pass through.
    pub half: usize,
}

/// What is done to each head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prepare<'a> {
    /// First.
    pub norm: Option<HeadNorm<'a>>,
    /// Second.
    pub turn: Option<Turn<'a>>,
}

impl Prepare<'_> {
    /// Whether norm and tables fit heads of `dim` dimensions at positions up to `positions`.
    pub fn fits(&self, dim: usize, positions: usize) -> bool {
        let weight = self.norm.and_then(|norm| norm.weight);
        let tables = self.turn.is_none_or(|turn| {
            2 * turn.half <= dim && turn.cos.len().min(turn.sin.len()) >= positions * turn.half
        });
        tables && weight.is_none_or(|weight| weight.len() == dim)
    }

    /// Writes what becomes of head `x` at `position` to `out`, of the same length.
    #[inline(always)]
    pub(super) fn head<L: Lanes>(&self, lanes: L, x: &[f32], position: usize, out: &mut [f32]) {
        match &self.norm {
            None => out.copy_from_slice(x),
            Some(norm) => normalise(lanes, norm, x, out),
        }
        if let Some(turn) = &self.turn {
            let at = position * turn.half;
            let (cos, sin) = (&turn.cos[at..][..turn.half], &turn.sin[at..][..turn.half]);
            let (first, second) = out[..2 * turn.half].split_at_mut(turn.half);
            for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}

#[inline(always)]
fn normalise<L: Lanes>(lanes: L, norm: &HeadNorm<'_>, x: &[f32], out: &mut [f32]) {
    let (chunks, rest) = x.as_chunks();
    let mut squares = lanes.splat(0.0);
    for chunk in chunks {
        let v = lanes.load(chunk);
        squares = lanes.mul_add(v, v, squares);
    }
    let mut sum = lanes.reduce_sum(squares);
    for x in rest {
        sum += x * x;
    }
    let scale = 1.0 / (sum / x.len() as f32 + norm.eps).sqrt();
    match norm.weight {
        None => {
            for (o, x) in out.iter_mut().zip(x) {
                *o = x * scale;
            }
        }
        Some(weight) => {
            for ((o, x), w) in out.iter_mut().zip(x).zip(weight) {
                *o = x * scale * w;
            }
        }
    }
}
