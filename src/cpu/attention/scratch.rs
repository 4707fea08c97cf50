//! Memory that each thread keeps for its pieces.

use std::cell::RefCell;

use crate::cpu::buffer::Buffer;

thread_local! {
    static KEPT: RefCell<Option<Buffer>> = const { RefCell::new(None) };
}

/// Calls `work` with `length` numbers of any value, aligned to a vector. Not to be called from inside `work`.
pub(super) fn with<R>(length: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let bytes = length * size_of::<f32>();
    KEPT.with_borrow_mut(|kept| {
        let buffer = match kept.take() {
            Some(buffer) if buffer.len() >= bytes => buffer,
            _ => Buffer::zeroed(bytes),
        };
        work(&mut bytemuck::cast_slice_mut(kept.insert(buffer))[..length])
    })
}
