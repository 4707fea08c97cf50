//! Where a tensor's numbers lie, on a card or, for tests, in memory.

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, DType, Result, Storage, Tensor};
use half::{bf16, f16};

use super::scratch;

/// The address of the first number of `x`, contiguous. Who launches a kernel with it keeps `x`, and nobody else
/// writes there meanwhile.
///
/// Errors if `x` is not contiguous, or of a type that kernels do not know.
pub fn address(x: &Tensor) -> Result<u64> {
    let (storage, layout) = x.storage_and_layout();
    let Some((start, _)) = layout.contiguous_offsets() else {
        candle_core::bail!("kernels work on contiguous tensors only, not on {:?}", layout.stride());
    };
    let first = match &*storage {
        Storage::Cpu(storage) => in_memory(storage)?,
        #[cfg(feature = "cuda")]
        Storage::Cuda(storage) => super::device::address(storage)?,
        _ => candle_core::bail!("no kernels for {:?}", x.device().location()),
    };
    Ok(first + (start * x.dtype().size_in_bytes()) as u64)
}

fn in_memory(storage: &CpuStorage) -> Result<u64> {
    let place = match storage.dtype() {
        DType::F32 => storage.as_slice::<f32>()?.as_ptr() as u64,
        DType::BF16 => storage.as_slice::<bf16>()?.as_ptr() as u64,
        DType::F16 => storage.as_slice::<f16>()?.as_ptr() as u64,
        DType::U32 => storage.as_slice::<u32>()?.as_ptr() as u64,
        DType::I64 => storage.as_slice::<i64>()?.as_ptr() as u64,
        DType::U8 => storage.as_slice::<u8>()?.as_ptr() as u64,
        other => candle_core::bail!("kernels do not know {other:?}"),
    };
    Ok(place)
}

/// A tensor for a kernel's output, where a [`scratch::Scratch`] serves in its room: what it held before is not defined,
/// and in tests is no number.
pub fn output(shape: &[usize], like: &Tensor, dtype: DType) -> Result<Tensor> {
    let taken = scratch::next(shape, dtype)?;
    #[cfg(test)]
    if super::on_host::runs_only_some_blocks() {
        return super::edge::zeros(shape, dtype);
    }
    #[cfg(test)]
    if like.device().is_cpu() {
        let poison = match dtype {
            DType::U32 => Tensor::full(u32::MAX, shape, like.device())?,
            dtype => Tensor::full(f32::NAN, shape, like.device())?.to_dtype(dtype)?,
        };
        let Some(taken) = taken else { return Ok(poison) };
        taken.flatten_all()?.slice_set(&poison.flatten_all()?, 0, 0)?;
        return Ok(taken);
    }
    if let Some(taken) = taken {
        return Ok(taken);
    }
    // SAFETY: every kernel writes all of its output.
    #[expect(unsafe_code, reason = "memory that is about to be written needs no zeros")]
    unsafe {
        Tensor::empty(shape, dtype, like.device())
    }
}
