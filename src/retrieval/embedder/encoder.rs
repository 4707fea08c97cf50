//! BERT's encoder: every token sees every other token of its text.
//!
//! Comes in: ids of several texts. Goes out: one state per token. The texts lie one after the other in one
//! matrix, so that products see many rows and nothing is padded; only attention looks at each text alone. So a
//! vector cannot depend on what else is in its batch. Not here: pooling, heads, tensors by name.

use std::ops::Range;

use candle_core::{Device, Result, Tensor};

use crate::model::kernels::{full_softmax, gelu};
use crate::model::linear::Linear;

/// One text.
#[derive(Clone, Copy, Debug)]
pub struct Sequence<'a> {
    /// Its ids, special ones included.
    pub ids: &'a [u32],
    /// The type of each id: 0 for the first part of a pair, 1 for the second. Where the list ends, 0.
    pub types: &'a [u32],
}

/// States of several texts.
pub struct States {
    /// (tokens of all texts, hidden)
    pub rows: Tensor,
    /// The rows of each text.
    pub spans: Vec<Range<usize>>,
}

/// The encoder, without any head.
#[derive(Debug)]
pub struct Encoder {
    /// (vocabulary, hidden)
    pub(super) words: Tensor,
    /// (positions, hidden)
    pub(super) positions: Tensor,
    /// (token types, hidden)
    pub(super) types: Tensor,
    pub(super) norm: LayerNorm,
    pub(super) layers: Vec<EncoderLayer>,
    pub(super) heads: usize,
}

/// One layer.
#[derive(Debug)]
pub(super) struct EncoderLayer {
    /// (3 · hidden, hidden): queries, keys and values in one product.
    pub qkv: Linear,
    /// (hidden, hidden)
    pub output: Linear,
    /// Behind attention and its residual.
    pub attention_norm: LayerNorm,
    /// (middle, hidden)
    pub up: Linear,
    /// (hidden, middle)
    pub down: Linear,
    /// Behind the feed-forward and its residual.
    pub feed_forward_norm: LayerNorm,
}

/// `(x - mean) / sqrt(variance + eps) · weight + bias` over the last dimension.
#[derive(Debug)]
pub(super) struct LayerNorm {
    /// (hidden,)
    pub weight: Tensor,
    /// (hidden,)
    pub bias: Tensor,
    pub eps: f32,
}

impl LayerNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}

impl Encoder {
    /// Where it runs.
    pub fn device(&self) -> &Device {
        self.words.device()
    }

    /// The states of all tokens. Errors if a text has no ids, more than there are positions, or unknown ones.
    pub fn forward(&self, batch: &[Sequence<'_>]) -> Result<States> {
        let mut spans = Vec::with_capacity(batch.len());
        let mut end = 0;
        for sequence in batch {
            self.check(sequence)?;
            spans.push(end..end + sequence.ids.len());
            end += sequence.ids.len();
        }
        let mut rows = self.embed(batch)?;
        for layer in &self.layers {
            rows = layer.forward(&rows, &spans, self.heads)?;
        }
        Ok(States { rows, spans })
    }

    fn check(&self, sequence: &Sequence<'_>) -> Result<()> {
        let (length, most) = (sequence.ids.len(), self.positions.dim(0)?);
        if length == 0 || length > most {
            candle_core::bail!("a text of {length} ids cannot be encoded: from 1 to {most} can");
        }
        let rows = self.words.dim(0)?;
        if let Some(id) = sequence.ids.iter().find(|id| **id as usize >= rows) {
            candle_core::bail!("id {id} lies outside the vocabulary of {rows}");
        }
        let types = self.types.dim(0)?;
        if let Some(kind) = sequence.types.iter().find(|kind| **kind as usize >= types) {
            candle_core::bail!("token type {kind} is unknown to this model, which has {types}");
        }
        Ok(())
    }

    /// Sum of the rows of the three tables, normalised: (tokens, hidden).
    fn embed(&self, batch: &[Sequence<'_>]) -> Result<Tensor> {
        let device = self.device();
        let rows = |table: &Tensor, of: &dyn Fn(&Sequence<'_>, usize) -> u32| {
            let one = |sequence: &Sequence<'_>| -> Vec<u32> {
                (0..sequence.ids.len()).map(|at| of(sequence, at)).collect()
            };
            let ids: Vec<u32> = batch.iter().flat_map(one).collect();
            table.index_select(&Tensor::new(ids, device)?, 0)
        };
        let words = rows(&self.words, &|sequence, at| sequence.ids[at])?;
        let positions = rows(&self.positions, &|_, at| at as u32)?;
        let types = rows(&self.types, &|sequence, at| sequence.types.get(at).copied().unwrap_or(0))?;
        self.norm.forward(&((words + types)? + positions)?)
    }
}

impl EncoderLayer {
    /// `x` (tokens, hidden) to the same shape.
    fn forward(&self, x: &Tensor, spans: &[Range<usize>], heads: usize) -> Result<Tensor> {
        let qkv = self.qkv.forward(x)?;
        let mixed: Vec<Tensor> = spans
            .iter()
            .map(|span| attend(&qkv.narrow(0, span.start, span.len())?, heads))
            .collect::<Result<_>>()?;
        let mixed = self.output.forward(&Tensor::cat(&mixed, 0)?)?;
        let x = self.attention_norm.forward(&(x + mixed)?)?;
        let middle = gelu(self.up.forward(&x)?)?;
        self.feed_forward_norm.forward(&(&x + self.down.forward(&middle)?)?)
    }
}

/// `qkv` (tokens, 3 · hidden) of one text to its mixed values (tokens, hidden).
fn attend(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    let (tokens, width) = qkv.dims2()?;
    let (hidden, dim) = (width / 3, width / 3 / heads);
    let apart = qkv.reshape((tokens, 3, heads, dim))?.permute((1, 2, 0, 3))?.contiguous()?;
    let (q, k, v) = (apart.get(0)?, apart.get(1)?, apart.get(2)?); // (heads, tokens, dim)
    let weights = full_softmax(q.matmul(&k.t()?)?, 1.0 / (dim as f64).sqrt())?;
    weights.matmul(&v)?.transpose(0, 1)?.contiguous()?.reshape((tokens, hidden))
}
