//! Attention of one new token over everything seen, split over keys: decode reads each key and
//! value once, for all query heads that share it.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::exp::exp;

/// Keys per piece of work: enough to be worth handing out, few enough to share a long context.
const PIECE: usize = 256;

/// Whether the fused loop serves these tensors: one token, on the CPU, in f32.
pub fn applies(q: &Tensor, tokens: usize) -> bool {
    tokens == 1 && q.device().is_cpu() && q.dtype() == DType::F32
}

/// `q` (kv_heads, group, dim) over `keys` and `values` (kv_heads, seen, dim), to the shape of `q`.
/// `scale` multiplies the scores.
pub fn decode_attention(q: &Tensor, keys: &Tensor, values: &Tensor, scale: f64) -> Result<Tensor> {
    let (kv_heads, group, dim) = q.dims3()?;
    let (_, seen, _) = keys.dims3()?;
    q.apply_op3_no_bwd(keys, values, &DecodeAttention { kv_heads, group, dim, seen, scale: scale as f32 })
}

struct DecodeAttention {
    kv_heads: usize,
    group: usize,
    dim: usize,
    seen: usize,
    scale: f32,
}

/// What a piece of the keys contributes to one query head, before the pieces are joined.
struct Partial {
    /// Largest score of the piece.
    top: f32,
    /// Sum of exp(score − top).
    sum: f32,
    /// Sum of exp(score − top) · value, (dim,).
    mixed: Vec<f32>,
}

impl CustomOp3 for DecodeAttention {
    fn name(&self) -> &'static str {
        "decode-attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_at: &Layout,
        keys: &CpuStorage,
        keys_at: &Layout,
        values: &CpuStorage,
        values_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let q = &q.as_slice::<f32>()?[super::contiguous_range(q_at)?];
        let (keys, values) = (keys.as_slice::<f32>()?, values.as_slice::<f32>()?);
        let pieces = self.seen.div_ceil(PIECE);
        let partials: Vec<Vec<Partial>> = (0..self.kv_heads * pieces)
            .into_par_iter()
            .map(|unit| {
                let (head, first) = (unit / pieces, unit % pieces * PIECE);
                let rows = PIECE.min(self.seen - first);
                let q = &q[head * self.group * self.dim..][..self.group * self.dim];
                let keys = self.rows(keys, keys_at, head, first, rows)?;
                let values = self.rows(values, values_at, head, first, rows)?;
                Ok(q.chunks_exact(self.dim).map(|q| self.piece(q, keys, values)).collect())
            })
            .collect::<Result<_>>()?;
        let mut out = vec![0f32; self.kv_heads * self.group * self.dim];
        for (index, out) in out.chunks_exact_mut(self.dim).enumerate() {
            let (head, member) = (index / self.group, index % self.group);
            let of_head = &partials[head * pieces..][..pieces];
            join(of_head.iter().map(|piece| &piece[member]), out);
        }
        let shape = Shape::from((self.kv_heads, self.group, self.dim));
        Ok((CpuStorage::F32(out), shape))
    }
}

impl DecodeAttention {
    /// Rows `first..first + rows` of `head`, one after the other in memory.
    fn rows<'a>(
        &self,
        all: &'a [f32],
        at: &Layout,
        head: usize,
        first: usize,
        rows: usize,
    ) -> Result<&'a [f32]> {
        match at.stride() {
            [head_stride, row_stride, 1] if *row_stride == self.dim => {
                let start = at.start_offset() + head * head_stride + first * self.dim;
                Ok(&all[start..start + rows * self.dim])
            }
            other => candle_core::bail!("keys and values must lie row after row, not in strides {other:?}"),
        }
    }

    fn piece(&self, q: &[f32], keys: &[f32], values: &[f32]) -> Partial {
        let mut scores: Vec<f32> = keys.chunks_exact(self.dim).map(|key| dot(q, key) * self.scale).collect();
        let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for score in &mut scores {
            *score = exp(*score - top);
        }
        let mut mixed = vec![0f32; self.dim];
        for (weight, value) in scores.iter().zip(values.chunks_exact(self.dim)) {
            for (m, v) in mixed.iter_mut().zip(value) {
                *m += weight * v;
            }
        }
        Partial { top, sum: scores.iter().sum(), mixed }
    }
}

/// Brings the pieces of one query head to a common top and divides by the sum.
fn join<'a>(pieces: impl Iterator<Item = &'a Partial> + Clone, out: &mut [f32]) {
    let top = pieces.clone().map(|piece| piece.top).fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for piece in pieces {
        let weight = exp(piece.top - top);
        sum += weight * piece.sum;
        for (o, m) in out.iter_mut().zip(&piece.mixed) {
            *o += weight * m;
        }
    }
    for o in out {
        *o /= sum;
    }
}

const LANES: usize = 16;

/// Dot product in lanes that the compiler keeps in vector registers.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.into_iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Device};
    use proptest::prelude::*;

    fn plain(q: &Tensor, keys: &Tensor, values: &Tensor, scale: f64) -> Result<Tensor> {
        let scores = (q.matmul(&keys.t()?)? * scale)?;
        candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(values)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]
        #[test]
        fn agrees_with_the_plain_form(
            kv_heads in 1usize..4, group in 1usize..5, dim in 1usize..40, seen in 1usize..700, spread in 0.1f32..20.0,
        ) {
            let device = Device::Cpu;
            let q = Tensor::randn(0f32, spread, (kv_heads, group, dim), &device).unwrap();
            // Views of a longer cache, as in use.
            let cache = |_| Tensor::randn(0f32, 1.0, (kv_heads, seen + 5, dim), &device).unwrap();
            let [keys, values] = [0, 1].map(cache).map(|t| t.narrow(1, 0, seen).unwrap());
            let got = decode_attention(&q, &keys, &values, 0.3).unwrap();
            let expected = plain(&q, &keys.contiguous().unwrap(), &values.contiguous().unwrap(), 0.3).unwrap();
            let worst = (got - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            // Rounding of the scores grows with their size; a wrong formula moves results by tenths.
            prop_assert!(worst < 2e-5 * (1.0 + spread), "{worst}");
        }
    }

    #[test]
    fn scores_far_apart_do_not_overflow() {
        let device = Device::Cpu;
        let q = Tensor::new(&[[[1e4f32]]], &device).unwrap();
        let keys = Tensor::new(&[[[1e4f32], [-1e4]]], &device).unwrap();
        let values = Tensor::new(&[[[3f32], [5.0]]], &device).unwrap();
        let got = decode_attention(&q, &keys, &values, 1.0)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        assert!((got[0] - 3.0).abs() < 1e-6, "{got:?}");
    }
}
