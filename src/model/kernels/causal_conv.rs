//! The short convolution of a delta net, with all that follows it up to the heads: activation,
//! split into queries, keys and values, unit length of queries and keys.

use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::dot::dot;
use super::exp::exp;
use crate::model::delta_state::DeltaHeads;

/// Added to the squared length of a query or key, as the reference has it.
const LENGTH_EPS: f32 = 1e-6;

/// Queries, keys and values of all tokens, by head and chunk, in one piece of memory. Rows beyond
/// the last token are 0.
pub struct SplitHeads {
    /// What `keyed` and `values` are views of: one after the other, (padded tokens · channels,).
    pub flat: Tensor,
    /// (key_heads, chunks, 2, chunk, key_dim): queries, unit length over √key_dim, then keys, unit length.
    pub keyed: Tensor,
    /// (value_heads, chunks, chunk, value_dim)
    pub values: Tensor,
}

/// `x` (tokens, channels) f32 after the rows `before` (width − 1, channels), through the depthwise
/// `weight` (width, channels), oldest row first, and silu; `chunk` tokens a chunk.
pub fn causal_conv(
    x: &Tensor,
    before: &Tensor,
    weight: &Tensor,
    heads: &DeltaHeads,
    chunk: usize,
) -> Result<SplitHeads> {
    let tokens = x.dim(0)?;
    let chunks = tokens.div_ceil(chunk);
    let op = CausalConv { heads: *heads, tokens, chunks, chunk };
    let fused = [x, before, weight].into_iter().all(super::is_plain_f32);
    let flat = if fused { x.apply_op3_no_bwd(before, weight, &op)? } else { op.plain(x, before, weight)? };
    let keyed = 2 * heads.key_channels() * chunks * chunk;
    Ok(SplitHeads {
        keyed: flat.narrow(0, 0, keyed)?.reshape((heads.key_heads, chunks, 2, chunk, heads.key_dim))?,
        values: flat.narrow(0, keyed, heads.value_channels() * chunks * chunk)?.reshape((
            heads.value_heads,
            chunks,
            chunk,
            heads.value_dim,
        ))?,
        flat,
    })
}

struct CausalConv {
    heads: DeltaHeads,
    tokens: usize,
    chunks: usize,
    chunk: usize,
}

/// The numbers that the convolution reads.
#[derive(Clone, Copy)]
struct Rows<'a> {
    x: &'a [f32],
    before: &'a [f32],
    weight: &'a [f32],
    channels: usize,
}

impl CustomOp3 for CausalConv {
    fn name(&self) -> &'static str {
        "causal-conv"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_at: &Layout,
        before: &CpuStorage,
        before_at: &Layout,
        weight: &CpuStorage,
        weight_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let heads = &self.heads;
        let rows = Rows {
            x: &x.as_slice::<f32>()?[super::contiguous_range(x_at)?],
            before: &before.as_slice::<f32>()?[super::contiguous_range(before_at)?],
            weight: &weight.as_slice::<f32>()?[super::contiguous_range(weight_at)?],
            channels: heads.conv_channels(),
        };
        let padded = self.chunks * self.chunk;
        let mut out = vec![0f32; padded * heads.conv_channels()];
        let (keyed, values) = out.split_at_mut(2 * heads.key_channels() * padded);
        let keyed = keyed.par_chunks_mut(2 * padded * heads.key_dim).enumerate();
        keyed.for_each(|(head, out)| self.keyed(&rows, head, out));
        let values = values.par_chunks_mut(padded * heads.value_dim).enumerate();
        values.for_each(|(head, out)| self.values(&rows, head, out));
        let shape = Shape::from(out.len());
        Ok((CpuStorage::F32(out), shape))
    }
}

impl CausalConv {
    /// Queries and keys of one head, (chunks, 2, chunk, key_dim).
    fn keyed(&self, rows: &Rows, head: usize, out: &mut [f32]) {
        let dim = self.heads.key_dim;
        let query_scale = 1.0 / (dim as f32).sqrt();
        for (part, block) in out.chunks_exact_mut(self.chunk * dim).enumerate() {
            let (chunk, is_key) = (part / 2, part % 2);
            let channel = is_key * self.heads.key_channels() + head * dim;
            let scale = if is_key == 1 { 1.0 } else { query_scale };
            let count = self.chunk.min(self.tokens - chunk * self.chunk);
            for (row, out) in block.chunks_exact_mut(dim).take(count).enumerate() {
                rows.silu_row(chunk * self.chunk + row, channel, out);
                let scale = scale / (dot(out, out) + LENGTH_EPS).sqrt();
                out.iter_mut().for_each(|o| *o *= scale);
            }
        }
    }

    /// Values of one head, (chunks · chunk, value_dim).
    fn values(&self, rows: &Rows, head: usize, out: &mut [f32]) {
        let dim = self.heads.value_dim;
        let channel = 2 * self.heads.key_channels() + head * dim;
        for (token, out) in out.chunks_exact_mut(dim).take(self.tokens).enumerate() {
            rows.silu_row(token, channel, out);
        }
    }

    /// The same in candle's operations, for every device.
    fn plain(&self, x: &Tensor, before: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let (heads, width) = (&self.heads, weight.dim(0)?);
        let seen = Tensor::cat(&[before, x], 0)?;
        let mut sum = seen.narrow(0, 0, self.tokens)?.broadcast_mul(&weight.narrow(0, 0, 1)?)?;
        for row in 1..width {
            let shifted = seen.narrow(0, row, self.tokens)?;
            sum = (sum + shifted.broadcast_mul(&weight.narrow(0, row, 1)?)?)?;
        }
        let y = candle_nn::ops::silu(&sum)?;
        let part = |at: usize, heads: usize, dim: usize| {
            y.narrow(1, at, heads * dim)?.reshape((self.tokens, heads, dim))
        };
        let keys = heads.key_channels();
        let queries = (unit(&part(0, heads.key_heads, heads.key_dim)?)? / (heads.key_dim as f64).sqrt())?;
        let queries = self.by_chunk(&queries)?;
        let values = self.by_chunk(&part(2 * keys, heads.value_heads, heads.value_dim)?)?;
        let keys = self.by_chunk(&unit(&part(keys, heads.key_heads, heads.key_dim)?)?)?;
        let keyed = Tensor::stack(&[queries, keys], 2)?;
        Tensor::cat(&[keyed.flatten_all()?, values.flatten_all()?], 0)
    }

    /// (tokens, heads, dim) to (heads, chunks, chunk, dim), padded with zeros.
    fn by_chunk(&self, x: &Tensor) -> Result<Tensor> {
        let (tokens, heads, dim) = x.dims3()?;
        let padded = x.pad_with_zeros(0, 0, self.chunks * self.chunk - tokens)?;
        let by_head = padded.transpose(0, 1)?.contiguous()?;
        by_head.reshape((heads, self.chunks, self.chunk, dim))
    }
}

/// The last dimension divided by its length.
fn unit(x: &Tensor) -> Result<Tensor> {
    let length = (x.sqr()?.sum_keepdim(D::Minus1)? + f64::from(LENGTH_EPS))?.sqrt()?;
    x.broadcast_div(&length)
}

impl Rows<'_> {
    /// Convolution and silu of the channels `channel..` of one token.
    fn silu_row(&self, token: usize, channel: usize, out: &mut [f32]) {
        let width = self.weight.len() / self.channels;
        let len = out.len();
        let at = |row: usize| row * self.channels + channel..row * self.channels + channel + len;
        out.fill(0.0);
        for (row, weight) in self.weight.chunks_exact(self.channels).enumerate() {
            // Row `width − 1` of the weight meets the token itself.
            let source = match (token + row + 1).checked_sub(width) {
                Some(seen) => &self.x[at(seen)],
                None => &self.before[at(token + row)],
            };
            for ((o, s), w) in out.iter_mut().zip(source).zip(&weight[channel..channel + len]) {
                *o += s * w;
            }
        }
        for o in out {
            *o /= 1.0 + exp(-*o);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn agrees_with_the_plain_form(
            key_heads in 1usize..4, group in 1usize..4, key_dim in 1usize..40, value_dim in 1usize..40,
            conv_width in 1usize..6, tokens in 1usize..40, chunk in 1usize..20, spread in 0.01f32..30.0,
        ) {
            let heads = DeltaHeads { key_heads, value_heads: key_heads * group, key_dim, value_dim, conv_width };
            let randn = |rows: usize, spread: f32| {
                Tensor::randn(0f32, spread, (rows, heads.conv_channels()), &Device::Cpu).unwrap()
            };
            let (x, before, weight) = (randn(tokens, spread), randn(conv_width - 1, spread), randn(conv_width, 1.0));
            let got = causal_conv(&x, &before, &weight, &heads, chunk).unwrap();
            let op = CausalConv { heads, tokens, chunks: tokens.div_ceil(chunk), chunk };
            let expected = op.plain(&x, &before, &weight).unwrap();
            let worst = (got.flat - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            // Values grow with the spread; a query or key is at most 1 long, whatever went in.
            prop_assert!(worst < 1e-5 * (1.0 + spread), "{worst}");
            let values = [key_heads * group, tokens.div_ceil(chunk), chunk, value_dim];
            prop_assert_eq!(got.values.dims(), values);
        }
    }

    #[test]
    fn the_first_row_of_the_weight_meets_the_oldest_token() {
        let heads = DeltaHeads { key_heads: 1, value_heads: 1, key_dim: 1, value_dim: 1, conv_width: 3 };
        let row = |v: f32| [0.0, 0.0, v];
        let device = Device::Cpu;
        let x = Tensor::new(&[row(100.0), row(1000.0)], &device).unwrap();
        let before = Tensor::new(&[row(1.0), row(10.0)], &device).unwrap();
        let weight = Tensor::new(&[row(3.0), row(2.0), row(1.0)], &device).unwrap();
        let split = causal_conv(&x, &before, &weight, &heads, 4).unwrap();
        // silu(x) = x for such large x.
        assert_eq!(split.values.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [123.0, 1230.0, 0.0, 0.0]);
    }
}
