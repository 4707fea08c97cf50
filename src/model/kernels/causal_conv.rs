//! The short convolution of a delta net, with all that follows it up to the heads: activation,
//! split into queries, keys and values, unit length of queries and keys.

use candle_core::{D, Result, Tensor};

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
    let flat = op.flat(x, before, weight)?;
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

impl CausalConv {
    /// All of [`SplitHeads::flat`].
    fn flat(&self, x: &Tensor, before: &Tensor, weight: &Tensor) -> Result<Tensor> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

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
        assert_eq!(split.values.dims(), [1, 1, 4, 1]);
        assert_eq!(split.keyed.dims(), [1, 1, 2, 4, 1]);
    }
}
