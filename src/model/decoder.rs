//! Embedding → layers of (mixer, feed-forward), each on a residual stream → norm → head.

use candle_core::{DType, Device, Result, Tensor};

use super::attention::{self, Attention, HeadsKnown};
use super::cache::{Cache, KvType, LayerCache};
use super::delta_net::DeltaNet;
use super::feed_forward::FeedForward;
use super::kernels::add;
use super::linear::{Linear, Matrix};
use super::norm::RmsNorm;
use super::position::Position;
use super::rope::Rope;
use super::shape::ModelShape;
use crate::cuda;

/// Tokens per pass of a prefill on a processor: keeps activations within a few tens of MiB at any prompt length.
pub const MICRO_BATCH: usize = 512;

/// The same on a card, which needs long products to be busy, and has room for some hundreds of MiB.
pub const WIDE_BATCH: usize = 4096;

/// A whole model.
#[derive(Debug)]
pub struct Decoder {
    /// Its shape.
    pub shape: ModelShape,
    /// (vocabulary, hidden)
    pub embedding: Matrix,
    /// In order.
    pub layers: Vec<Layer>,
    /// Before the head.
    pub norm: RmsNorm,
    /// (vocabulary, hidden); shares the embedding's memory when tied.
    pub head: Linear,
    /// Type of the activations.
    pub dtype: DType,
    /// Where it runs.
    pub device: Device,
}

/// One layer.
#[derive(Debug)]
pub struct Layer {
    /// Before the mixer.
    pub input_norm: RmsNorm,
    /// What looks at other tokens.
    pub mixer: Mixer,
    /// Before the feed-forward.
    pub post_norm: RmsNorm,
    /// The feed-forward.
    pub feed_forward: FeedForward,
}

/// How a layer mixes tokens.
#[derive(Debug)]
pub enum Mixer {
    /// Attention over all keys and values so far: its cache grows.
    Attention(Attention),
    /// A gated delta net: its state has a constant size.
    DeltaNet(DeltaNet),
}

impl Mixer {
    /// `x` (tokens, hidden) from `position` on, to the same shape; `cache` is this layer's.
    fn forward(
        &self,
        x: &Tensor,
        rope: &Rope,
        cache: &mut LayerCache,
        position: &Position,
    ) -> Result<Tensor> {
        match (self, cache) {
            (Self::Attention(attention), LayerCache::KeyValues(seen)) => {
                attention.forward(x, rope, seen, position)
            }
            (Self::DeltaNet(net), LayerCache::Delta(state)) => net.forward(x, state),
            _ => candle_core::bail!("the cache was made for another model"),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Attention(attention) => attention.bytes(),
            Self::DeltaNet(net) => net.bytes(),
        }
    }
}

/// Which positions' logits are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logits {
    /// The last position's only: (1, vocabulary).
    Last,
    /// Every position's: (tokens, vocabulary).
    All,
}

impl Decoder {
    /// Runs `ids` after what `cache` holds and returns logits in f32.
    ///
    /// Errors if there are no ids, if one lies outside the vocabulary, or if the cache has no room.
    pub fn forward(&self, ids: &[u32], rope: &Rope, cache: &mut Cache, logits: Logits) -> Result<Tensor> {
        self.check(ids)?;
        cache.reserve(ids.len())?;
        let mut parts = Vec::new();
        let batches = ids.len().div_ceil(self.batch());
        for (index, batch) in ids.chunks(self.batch()).enumerate() {
            let stream = self.batch_forward(batch, rope, cache)?;
            match logits {
                Logits::All => parts.push(self.head_forward(&stream)?),
                Logits::Last if index + 1 == batches => {
                    parts.push(self.head_forward(&stream.narrow(0, batch.len() - 1, 1)?)?);
                }
                Logits::Last => {}
            }
        }
        Tensor::cat(&parts, 0)
    }

    /// Runs `ids` after what `cache` holds and returns what the head would read at the last position:
    /// (hidden,), after the final norm, in f32. Errors as [`Self::forward`] does.
    pub fn last_state(&self, ids: &[u32], rope: &Rope, cache: &mut Cache) -> Result<Tensor> {
        self.check(ids)?;
        cache.reserve(ids.len())?;
        let mut last = Vec::new();
        for batch in ids.chunks(self.batch()) {
            let stream = self.batch_forward(batch, rope, cache)?;
            last = vec![stream.narrow(0, batch.len() - 1, 1)?];
        }
        let last = Tensor::cat(&last, 0)?.contiguous()?;
        self.norm.forward(&last)?.to_dtype(DType::F32)?.squeeze(0)
    }

    /// One token, whose id and place lie on the device, to its logits (1, vocabulary) in f32. What is started does not
    /// depend on either, so that it can be captured; the caller counts the token as held.
    ///
    /// Errors if the cache has no room.
    pub fn step(&self, id: &Tensor, position: &Position, rope: &Rope, cache: &mut Cache) -> Result<Tensor> {
        cache.reserve(1)?;
        let stream = self.layers_forward(id, position, rope, cache)?;
        self.head_forward(&stream)
    }

    fn batch(&self) -> usize {
        if cuda::is_card(&self.device) { WIDE_BATCH } else { MICRO_BATCH }
    }

    /// Errors if there are no ids, or if one lies outside the vocabulary.
    pub fn check(&self, ids: &[u32]) -> Result<()> {
        if ids.is_empty() {
            candle_core::bail!("a forward pass needs at least one id");
        }
        match ids.iter().find(|id| **id as usize >= self.shape.vocab_size) {
            Some(id) => {
                candle_core::bail!("id {id} lies outside the vocabulary of {}", self.shape.vocab_size)
            }
            None => Ok(()),
        }
    }

    /// The residual stream (tokens, hidden) after all layers, for ids of the host, which the cache then holds.
    fn batch_forward(&self, ids: &[u32], rope: &Rope, cache: &mut Cache) -> Result<Tensor> {
        let count = ids.len();
        let ids = Tensor::new(ids, &self.device)?;
        let stream = self.layers_forward(&ids, &Position::new(cache.len(), &ids)?, rope, cache)?;
        cache.advance(count);
        Ok(stream)
    }

    fn layers_forward(
        &self,
        ids: &Tensor,
        position: &Position,
        rope: &Rope,
        cache: &mut Cache,
    ) -> Result<Tensor> {
        let mut x = self.embedding.rows(ids, self.dtype)?;
        let Some(first) = self.layers.first() else { return Ok(x) };
        let mut normed = first.input_norm.forward(&x)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let mixed = layer.mixer.forward(&normed, rope, cache.layer(index), position)?;
            let between = layer.post_norm.after_adding(&mut x, mixed)?;
            let made = layer.feed_forward.forward(&between)?;
            match self.layers.get(index + 1) {
                Some(next) => normed = next.input_norm.after_adding(&mut x, made)?,
                None => x = add(x, &made)?,
            }
        }
        Ok(x)
    }

    /// The name, in reports, of how its attention is computed.
    pub fn attention_path(&self) -> &'static str {
        let first = self.layers.iter().find_map(|layer| match &layer.mixer {
            Mixer::Attention(attention) => Some(attention.has_cuda_kernels()),
            Mixer::DeltaNet(_) => None,
        });
        let known = if first.unwrap_or(false) { HeadsKnown::Yes } else { HeadsKnown::No };
        attention::path(&self.device, self.dtype, self.kv_type(), known)
    }

    /// Whether kernels for cards know all of its layers and types of weights.
    pub fn has_cuda_kernels(&self) -> bool {
        let of_layer = |layer: &Layer| {
            let mixer = match &layer.mixer {
                Mixer::Attention(attention) => attention.has_cuda_kernels(),
                Mixer::DeltaNet(net) => net.has_cuda_kernels(),
            };
            mixer && layer.feed_forward.has_cuda_kernels()
        };
        self.layers.iter().all(of_layer) && self.head.has_cuda_kernels()
    }

    fn head_forward(&self, stream: &Tensor) -> Result<Tensor> {
        self.head.forward(&self.norm.forward(&stream.contiguous()?)?)?.to_dtype(DType::F32)
    }

    /// What keys and values of this model are stored as on the CPU: 16 bits, unless its matrices have 32.
    pub fn kv_type(&self) -> KvType {
        let ModelShape { vocab_size, hidden_size, heads, head_dim, .. } = self.shape;
        let query = self.layers.iter().find_map(|layer| match &layer.mixer {
            Mixer::Attention(attention) => Some((&attention.query, heads * head_dim)),
            Mixer::DeltaNet(_) => None,
        });
        let mut matrices = query.into_iter().chain([(&self.head, vocab_size)]);
        let is_f32 = |(matrix, rows): (&Linear, usize)| matrix.bytes() >= (4 * rows * hidden_size) as u64;
        if matrices.all(is_f32) { KvType::F32 } else { KvType::F16 }
    }

    /// Bytes of weights that one decode step must read: every matrix that a token is multiplied with
    /// once, the head included, and one row of the embedding (not counted).
    pub fn decode_weight_bytes(&self) -> u64 {
        let layers: u64 = self.layers.iter().map(|l| l.mixer.bytes() + l.feed_forward.decode_bytes()).sum();
        layers + self.head.bytes()
    }
}
