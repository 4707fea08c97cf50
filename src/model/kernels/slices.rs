//! The numbers of a tensor as a slice, for the kernels of [`crate::cpu`].

use std::cell::Cell;
use std::ops::{Deref, Range};

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor};

/// Numbers that are read, while nobody writes them.
pub struct Numbers<G> {
    storage: G,
    range: Range<usize>,
}

/// The numbers of a contiguous tensor, which must not be written to meanwhile, not by this thread either.
pub fn read(x: &Tensor) -> Result<Numbers<impl Deref<Target = Storage>>> {
    let (storage, layout) = x.storage_and_layout();
    Ok(Numbers { range: super::contiguous_range(layout)?, storage })
}

impl<G: Deref<Target = Storage>> Numbers<G> {
    /// In order. Errors unless they are f32 on the CPU.
    pub fn slice(&self) -> Result<&[f32]> {
        match &*self.storage {
            Storage::Cpu(numbers) => Ok(&numbers.as_slice::<f32>()?[self.range.clone()]),
            _ => candle_core::bail!("kernels work on numbers of the CPU"),
        }
    }
}

/// Calls `work` with the numbers of `x`, contiguous f32 on the CPU, to be changed in place: also for whoever
/// else holds this tensor or a part of it.
pub fn write<R>(x: &Tensor, work: impl FnOnce(&mut [f32]) -> R) -> Result<R> {
    let write = Write { work: Cell::new(Some(work)), result: Cell::new(None) };
    x.inplace_op1(&write)?;
    match write.result.into_inner() {
        Some(result) => Ok(result),
        None => candle_core::bail!("an operation in place did not run"),
    }
}

struct Write<F, R> {
    work: Cell<Option<F>>,
    result: Cell<Option<R>>,
}

impl<R, F: FnOnce(&mut [f32]) -> R> InplaceOp1 for Write<F, R> {
    fn name(&self) -> &'static str {
        "write"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let range = super::contiguous_range(layout)?;
        if let CpuStorage::F32(numbers) = storage {
            self.result.set(self.work.take().map(|work| work(&mut numbers[range])));
            return Ok(());
        }
        candle_core::bail!("kernels work on f32 only, not on {:?}", storage.dtype())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn a_part_is_read_and_written_where_it_lies() {
        let x = Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap();
        let part = x.narrow(0, 2, 3).unwrap();
        let sum = write(&part, |numbers| {
            numbers[0] = 10.0;
            numbers.iter().sum::<f32>()
        });
        assert_eq!(sum.unwrap(), 17.0);
        assert_eq!(read(&x).unwrap().slice().unwrap(), [0.0, 1.0, 10.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn other_types_and_layouts_are_refused() {
        let x = Tensor::zeros((2, 3), DType::F16, &Device::Cpu).unwrap();
        assert!(write(&x, |_| ()).is_err() && read(&x).unwrap().slice().is_err());
        let x = x.to_dtype(DType::F32).unwrap().t().unwrap();
        assert!(write(&x, |_| ()).is_err() && read(&x).is_err());
    }
}
