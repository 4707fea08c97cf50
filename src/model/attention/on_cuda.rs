//! Attention by the kernels of [`crate::cuda`]: one launch from the projections to the cache, then one token split over
//! its keys, or many tokens in tiles.

use candle_core::{DType, Device, Result, Tensor};

use super::Attention;
use crate::cuda::attention_decode::{self, Unit};
use crate::cuda::prepare::{HeadNorms, Heads, Prepare};
use crate::cuda::{attention_prefill, rows};
use crate::model::cache::PlainKeyValues;
use crate::model::rope::Rope;

/// What the projections made of some tokens, each (tokens, its heads · dim).
pub(super) struct Projected {
    pub(super) q: Tensor,
    pub(super) k: Tensor,
    pub(super) v: Tensor,
    pub(super) gate: Option<Tensor>,
}

/// The name, in reports, of what runs on `device` for `dtype`.
pub(super) fn path(device: &Device, dtype: DType) -> &'static str {
    match Unit::of(device, dtype) {
        Ok(Unit::TensorCores) => "flash, own kernels, tensor cores",
        _ => "flash, own kernels, no tensor cores",
    }
}

/// Whether there are kernels for heads of `dim` dimensions.
pub(super) fn knows(dim: usize) -> bool {
    attention_decode::DIMS.contains(&dim)
}

impl Attention {
    /// Whether kernels for cards know heads of this size.
    pub(in crate::model) fn has_cuda_kernels(&self) -> bool {
        knows(self.head_dim)
    }

    /// Some tokens behind `before`, u32 (1,) on the device, to (tokens, heads · dim), gated; appends to `cache`.
    pub(super) fn on_cuda(
        &self,
        projected: Projected,
        rope: &Rope,
        cache: &PlainKeyValues,
        before: &Tensor,
    ) -> Result<Tensor> {
        let Projected { q, k, v, gate } = projected;
        let [cos, sin] = rope.tables();
        let [keys, values] = cache.tensors();
        let norms = self.head_norms.as_ref().map(|norms| HeadNorms {
            query: norms.query.weight(),
            key: norms.key.weight(),
            eps: norms.query.eps(),
        });
        let prepare = Prepare { q: &q, k: &k, v: &v, norms, cos, sin, position: before, keys, values };
        prepare.run(Heads { heads: self.heads, kv_heads: self.kv_heads, dim: self.head_dim })?;
        let mixed = match q.dim(0)? {
            1 => attention_decode::attend_one(&q, keys, values, before, self.heads)?,
            _ => attention_prefill::attend_many(&q, keys, values, before, self.heads)?,
        };
        if let Some(gate) = gate {
            rows::sigmoid_mul(&mixed, &gate)?;
        }
        Ok(mixed)
    }
}
