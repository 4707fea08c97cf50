//! The cache of keys and values: an explicit value, allocated once, that can go back in time.

use candle_core::{DType, Device, Result, Tensor};

use super::shape::ModelShape;

/// Keys and values of every layer, each (kv_heads, capacity, head_dim).
#[derive(Debug)]
pub struct Cache {
    layers: Vec<LayerCache>,
    len: usize,
    capacity: usize,
}

/// Keys and values of one layer. Rows at and beyond the cache's length are garbage.
#[derive(Debug)]
pub struct LayerCache {
    keys: Tensor,
    values: Tensor,
}

/// Views of what a layer has seen, each (kv_heads, tokens, head_dim).
#[derive(Debug)]
pub struct Seen {
    /// Keys, rotated.
    pub keys: Tensor,
    /// Values.
    pub values: Tensor,
}

impl Cache {
    /// Room for `capacity` tokens in `dtype`.
    pub fn new(shape: &ModelShape, capacity: usize, dtype: DType, device: &Device) -> Result<Self> {
        let empty = || Tensor::zeros((shape.kv_heads, capacity, shape.head_dim), dtype, device);
        let layers = (0..shape.layers)
            .map(|_| Ok(LayerCache { keys: empty()?, values: empty()? }))
            .collect::<Result<_>>()?;
        Ok(Self { layers, len: 0, capacity })
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
    pub fn reset(&mut self) {
        self.len = 0;
    }

    /// Goes back to the first `depth` tokens. Errors if there are fewer.
    pub fn truncate(&mut self, depth: usize) -> Result<()> {
        if depth > self.len {
            candle_core::bail!("the cache holds {} tokens and cannot go back to {depth}", self.len);
        }
        self.len = depth;
        Ok(())
    }

    /// Counts `tokens` as held, once every layer has appended them.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.len += tokens;
    }

    /// Errors if `tokens` more do not fit.
    pub(super) fn reserve(&self, tokens: usize) -> Result<()> {
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
    pub(super) fn layer(&self, index: usize) -> &LayerCache {
        &self.layers[index]
    }

    /// Keys and values of layer `index` up to the cache's length: for tests against references.
    pub fn seen(&self, index: usize) -> Result<Seen> {
        self.layers[index].view(self.len)
    }
}

impl LayerCache {
    /// Writes `keys` and `values`, each (tokens, kv_heads, head_dim), from row `at` on and
    /// returns views of all rows up to there.
    pub(super) fn append(&self, keys: &Tensor, values: &Tensor, at: usize) -> Result<Seen> {
        self.keys.slice_set(&keys.transpose(0, 1)?.contiguous()?, 1, at)?;
        self.values.slice_set(&values.transpose(0, 1)?.contiguous()?, 1, at)?;
        self.view(at + keys.dim(0)?)
    }

    fn view(&self, tokens: usize) -> Result<Seen> {
        Ok(Seen { keys: self.keys.narrow(1, 0, tokens)?, values: self.values.narrow(1, 0, tokens)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shape::qwen3_0_6b;

    #[test]
    fn going_back_is_possible_and_going_forward_is_not() {
        let mut shape = qwen3_0_6b();
        shape.layers = 1;
        let mut cache = Cache::new(&shape, 8, DType::F32, &Device::Cpu).unwrap();
        cache.advance(5);
        cache.truncate(3).unwrap();
        assert_eq!(cache.len(), 3);
        assert!(cache.truncate(4).is_err());
        assert!(cache.reserve(5).is_ok() && cache.reserve(6).is_err());
    }
}
