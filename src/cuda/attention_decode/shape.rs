//! What both attentions are told, checked: shapes, types, alignment, and which units of the card compute.

use candle_core::{DType, Device, Result, Tensor};

use crate::cuda::address::address;

/// Units of a card that compute attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Tensor cores: bf16 and f16, from compute capability 8.0 on.
    TensorCores,
    /// The others: f32, and every type on older cards. Slower.
    Plain,
}

impl Unit {
    /// The fastest that knows `dtype` on `device`.
    ///
    /// Errors if the card does not say what it is.
    pub fn of(device: &Device, dtype: DType) -> Result<Self> {
        if dtype == DType::F32 {
            return Ok(Self::Plain);
        }
        match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(device) if crate::cuda::device::capability(device)? < 80 => Ok(Self::Plain),
            _ => Ok(Self::TensorCores),
        }
    }

    /// What stands in a kernel's name for it.
    pub(in crate::cuda) fn infix(self) -> &'static str {
        match self {
            Self::TensorCores => "",
            Self::Plain => "plain_",
        }
    }
}

/// Sizes of one call of attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cuda) struct Shape {
    pub tokens: usize,
    pub heads: usize,
    pub kv_heads: usize,
    /// Positions of the caches.
    pub capacity: usize,
    /// Of a head.
    pub dim: usize,
}

impl Shape {
    /// Of `q` (tokens, heads · dim) over caches (kv_heads, capacity, dim), and a position (1,).
    ///
    /// Errors if they do not fit each other, or the kernels.
    pub fn of(q: &Tensor, [keys, values]: [&Tensor; 2], position: &Tensor, heads: usize) -> Result<Self> {
        let ((tokens, width), (kv_heads, capacity, dim)) = (q.dims2()?, keys.dims3()?);
        if keys.dims() != values.dims() || keys.dtype() != values.dtype() || keys.dtype() != q.dtype() {
            let (types, shapes) = ([q, keys, values].map(Tensor::dtype), [keys, values].map(Tensor::dims));
            candle_core::bail!("attention of queries, keys and values in {types:?}, caches of {shapes:?}");
        }
        if !super::DIMS.contains(&dim) {
            candle_core::bail!("attention kernels know heads of 64, 128 and 256 dimensions, not of {dim}");
        }
        if kv_heads == 0 || heads == 0 || !heads.is_multiple_of(kv_heads) || width != heads * dim {
            let (q, cache) = (q.dims(), keys.dims());
            candle_core::bail!("attention of queries {q:?} with {heads} heads over a cache of {cache:?}");
        }
        if width.max(capacity.saturating_mul(dim)) > i32::MAX as usize {
            candle_core::bail!(
                "attention of rows of {width} numbers over heads of {capacity} positions by {dim}: a row, and a head's \
                 cache, have 2^31 numbers at most; make the cache smaller"
            );
        }
        if position.dims() != [1] || position.dtype() != DType::U32 {
            candle_core::bail!("a position is one u32, not {:?} of {:?}", position.shape(), position.dtype());
        }
        if tokens > capacity || capacity == 0 {
            candle_core::bail!("{tokens} tokens do not fit a cache of {capacity} positions: make it larger");
        }
        for x in [q, keys, values] {
            if x.elem_count() > 0 && !address(x)?.is_multiple_of(16) {
                candle_core::bail!("attention kernels read 16 bytes at a time: begin tensors on a multiple");
            }
        }
        Ok(Self { tokens, heads, kv_heads, capacity, dim })
    }

    /// 1 / √dim, so that weights are powers of two.
    pub fn scale(self) -> f32 {
        (std::f64::consts::LOG2_E / (self.dim as f64).sqrt()) as f32
    }
}
