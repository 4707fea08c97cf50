//! What a sequence leaves behind: keys and values that grow, states that do not. An explicit value,
//! allocated once, that can go back in time.
//!
//! Keys and values go back by forgetting rows. A gated delta net's state cannot: it goes back to a
//! [`Mark`] only, which holds a copy.

use candle_core::{DType, Device, Result, Tensor};

pub use crate::cpu::attention::KvType;

use super::delta_state::DeltaState;
use super::shape::{DeltaNetShape, ModelShape};
use crate::cpu::attention::{HeadShape, KvCache};
use crate::cuda;

/// The caches of all layers.
#[derive(Debug)]
pub struct Cache {
    layers: Vec<LayerCache>,
    len: usize,
    capacity: usize,
    /// Marks that can be gone back to, the shortest first: number and length.
    marks: Vec<(u64, usize)>,
    marks_made: u64,
}

/// The cache of one layer.
#[derive(Debug)]
pub enum LayerCache {
    /// Of attention.
    KeyValues(KeyValues),
    /// Of a gated delta net.
    Delta(DeltaState),
}

/// Keys and values of one attention layer. Rows at and beyond the cache's length are garbage.
#[derive(Debug)]
pub enum KeyValues {
    /// As the CPU's kernels read them.
    Tiled(KvCache),
    /// As tensors, for every device and type.
    Plain(PlainKeyValues),
}

/// Each (kv_heads, capacity, head_dim).
#[derive(Debug)]
pub struct PlainKeyValues {
    keys: Tensor,
    values: Tensor,
}

/// Views of what an attention layer has seen, each (kv_heads, tokens, head_dim).
#[derive(Debug)]
pub struct Seen {
    /// Keys, rotated.
    pub keys: Tensor,
    /// Values.
    pub values: Tensor,
}

/// A point in the past of one cache.
#[derive(Debug)]
pub struct Mark {
    number: u64,
    /// Copies, one for each layer that is a gated delta net.
    states: Vec<Option<DeltaState>>,
    len: usize,
}

impl Cache {
    /// Room for `capacity` tokens beside activations of `dtype`; states of gated delta nets are f32.
    ///
    /// Where activations are f32 on the CPU, keys and values are stored as `kv`; elsewhere they have the
    /// activations' type.
    pub fn new(
        shape: &ModelShape,
        capacity: usize,
        dtype: DType,
        kv: KvType,
        device: &Device,
    ) -> Result<Self> {
        let heads = shape.delta_net.as_ref().map(DeltaNetShape::heads);
        let layer = |index: usize| match heads.filter(|_| !shape.is_attention(index)) {
            Some(heads) => Ok(LayerCache::Delta(DeltaState::new(heads, dtype, device)?)),
            None => Ok(LayerCache::KeyValues(KeyValues::new(shape, capacity, dtype, kv, device)?)),
        };
        let layers = (0..shape.layers).map(layer).collect::<Result<_>>()?;
        Ok(Self { layers, len: 0, capacity, marks: Vec::new(), marks_made: 0 })
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tokens that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets everything; the memory stays.
    pub fn reset(&mut self) -> Result<()> {
        self.shorten(0);
        self.states().try_for_each(|state| state.reset())
    }

    /// Goes back to the first `depth` tokens.
    ///
    /// Errors if there are fewer, or if a state of constant size would have to go back too: see [`Self::rewind`].
    pub fn truncate(&mut self, depth: usize) -> Result<()> {
        if depth > self.len {
            candle_core::bail!("the cache holds {} tokens and cannot go back to {depth}", self.len);
        }
        if depth == 0 {
            return self.reset();
        }
        if depth < self.len && self.states().next().is_some() {
            candle_core::bail!(
                "the state of a gated delta net cannot be cut to {depth} tokens: it needs a mark"
            );
        }
        self.shorten(depth);
        Ok(())
    }

    /// Remembers this point: copies the states, and trusts the rows of keys and values to stay.
    pub fn mark(&mut self) -> Result<Mark> {
        let copy = |layer: &LayerCache| match layer {
            LayerCache::KeyValues(_) => Ok(None),
            LayerCache::Delta(state) => state.copy().map(Some),
        };
        let states = self.layers.iter().map(copy).collect::<Result<_>>()?;
        self.marks_made += 1;
        self.marks.push((self.marks_made, self.len));
        Ok(Mark { number: self.marks_made, states, len: self.len })
    }

    /// Goes back to `mark`, exactly and as often as wanted.
    ///
    /// Errors if the cache was shorter since: other tokens may stand in its rows.
    pub fn rewind(&mut self, mark: &Mark) -> Result<()> {
        if !self.marks.contains(&(mark.number, mark.len)) {
            candle_core::bail!("the mark at {} tokens is of another past", mark.len);
        }
        for (layer, copy) in self.layers.iter_mut().zip(&mark.states) {
            if let (LayerCache::Delta(state), Some(copy)) = (layer, copy) {
                state.restore(copy)?;
            }
        }
        self.shorten(mark.len);
        Ok(())
    }

    /// Forgets what lies beyond `len` tokens, and the marks there.
    fn shorten(&mut self, len: usize) {
        self.len = len;
        self.marks.retain(|(_, at)| *at <= len);
    }

    fn states(&mut self) -> impl Iterator<Item = &mut DeltaState> {
        self.layers.iter_mut().filter_map(|layer| match layer {
            LayerCache::KeyValues(_) => None,
            LayerCache::Delta(state) => Some(state),
        })
    }

    /// Counts `tokens` as held, once every layer has appended them.
    pub fn advance(&mut self, tokens: usize) {
        self.len += tokens;
    }

    /// Errors if `tokens` more do not fit.
    pub fn reserve(&self, tokens: usize) -> Result<()> {
        if self.len + tokens > self.capacity {
            candle_core::bail!(
                "{tokens} more tokens do not fit the cache: it holds {} of {}",
                self.len,
                self.capacity
            );
        }
        Ok(())
    }

    /// The cache of layer `index`.
    pub(super) fn layer(&mut self, index: usize) -> &mut LayerCache {
        &mut self.layers[index]
    }

    /// Keys and values of layer `index` up to the cache's length, if it is attention: for tests against references.
    pub fn seen(&self, index: usize) -> Option<Result<Seen>> {
        match &self.layers[index] {
            LayerCache::KeyValues(KeyValues::Tiled(seen)) => Some(held(seen, self.len)),
            LayerCache::KeyValues(KeyValues::Plain(seen)) => Some(seen.view(self.len)),
            LayerCache::Delta(_) => None,
        }
    }

    /// The state of layer `index`, if it is a gated delta net: for tests against references.
    pub fn state(&self, index: usize) -> Option<&DeltaState> {
        match &self.layers[index] {
            LayerCache::KeyValues(_) => None,
            LayerCache::Delta(state) => Some(state),
        }
    }
}

impl KeyValues {
    fn new(shape: &ModelShape, capacity: usize, dtype: DType, kv: KvType, device: &Device) -> Result<Self> {
        let ModelShape { heads, kv_heads, head_dim: dim, .. } = *shape;
        if is_tiled(device, dtype) {
            return Ok(Self::Tiled(KvCache::new(HeadShape { heads, kv_heads, dim }, kv, capacity)));
        }
        let empty = || Tensor::zeros((kv_heads, capacity, dim), dtype, device);
        Ok(Self::Plain(PlainKeyValues { keys: empty()?, values: empty()? }))
    }
}

/// Whether keys and values beside activations of `dtype` on `device` are laid out for the CPU's kernels.
pub(super) fn is_tiled(device: &Device, dtype: DType) -> bool {
    device.is_cpu() && !cuda::is_card(device) && dtype == DType::F32
}

/// The first `tokens` rows of a tiled cache as tensors.
fn held(cache: &KvCache, tokens: usize) -> Result<Seen> {
    let (held, heads) = (cache.held(tokens), cache.shape());
    let tensor = |numbers| Tensor::from_vec(numbers, (heads.kv_heads, tokens, heads.dim), &Device::Cpu);
    Ok(Seen { keys: tensor(held.keys)?, values: tensor(held.values)? })
}

impl PlainKeyValues {
    /// From zeros of the right shape.
    #[cfg(test)]
    pub(super) fn new(keys: Tensor, values: Tensor) -> Self {
        Self { keys, values }
    }

    /// Writes `keys` and `values`, each (tokens, kv_heads, head_dim), from row `at` on and
    /// returns views of all rows up to there.
    pub(super) fn append(&self, keys: &Tensor, values: &Tensor, at: usize) -> Result<Seen> {
        self.keys.slice_set(&keys.transpose(0, 1)?.contiguous()?, 1, at)?;
        self.values.slice_set(&values.transpose(0, 1)?.contiguous()?, 1, at)?;
        self.view(at + keys.dim(0)?)
    }

    /// Keys and values, each (kv_heads, capacity, head_dim), which kernels write in place.
    pub(super) fn tensors(&self) -> [&Tensor; 2] {
        [&self.keys, &self.values]
    }

    fn view(&self, tokens: usize) -> Result<Seen> {
        Ok(Seen { keys: self.keys.narrow(1, 0, tokens)?, values: self.values.narrow(1, 0, tokens)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shape::{qwen3_0_6b, qwen3_5_0_8b};

    fn cache(shape: ModelShape) -> Cache {
        Cache::new(&ModelShape { layers: 4, ..shape }, 8, DType::F32, KvType::F32, &Device::Cpu).unwrap()
    }

    #[test]
    fn going_back_is_possible_and_going_forward_is_not() {
        let mut cache = cache(qwen3_0_6b());
        cache.advance(5);
        cache.truncate(3).unwrap();
        assert_eq!(cache.len(), 3);
        assert!(cache.truncate(4).is_err());
        assert!(cache.reserve(5).is_ok() && cache.reserve(6).is_err());
    }

    #[test]
    fn a_state_goes_back_to_a_mark_only() {
        let mut cache = cache(qwen3_5_0_8b());
        cache.advance(3);
        let mark = cache.mark().unwrap();
        cache.advance(2);
        assert!(cache.truncate(4).unwrap_err().to_string().contains("needs a mark"));
        assert!(cache.truncate(5).is_ok());
        cache.rewind(&mark).unwrap();
        cache.rewind(&mark).unwrap();
        assert_eq!(cache.len(), 3);
    }

    #[test]
    fn a_mark_is_gone_once_the_cache_was_shorter() {
        for shape in [qwen3_0_6b(), qwen3_5_0_8b()] {
            let mut cache = cache(shape);
            cache.advance(2);
            let early = cache.mark().unwrap();
            cache.advance(2);
            let late = cache.mark().unwrap();
            cache.rewind(&early).unwrap();
            cache.advance(3);
            assert!(cache.rewind(&late).unwrap_err().to_string().contains("another past"));
            cache.reset().unwrap();
            cache.advance(2);
            assert!(cache.rewind(&early).is_err());
        }
    }
}
