//! Memory for weights and caches: zeroed, aligned to a vector, and in huge pages where the system has them.
//!
//! A decode step reads every weight once. In pages of 4 KiB that is a page walk for each of them; in a virtual
//! machine each walk is several.

#![expect(unsafe_code, reason = "allocation with an alignment of its own")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Alignment of small buffers: one vector of the widest set.
const VECTOR: usize = 64;

/// A huge page of x86 and of most Arm systems; buffers of at least that many bytes begin at a multiple of it.
const HUGE: usize = 2 << 20;

/// Bytes, zero at first.
pub struct Buffer {
    origin: Origin,
    start: NonNull<u8>,
    length: usize,
}

/// Where the memory came from, and goes back to.
enum Origin {
    Heap(Layout),
    /// Pages of their own: address and length.
    #[cfg(unix)]
    Pages(*mut std::ffi::c_void, usize),
}

// SAFETY: it owns its memory, as a boxed slice does.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `length` zeros. Where the length is large, memory that is never written to is never taken from the system.
    ///
    /// # Panics
    /// If the length exceeds half of the address space.
    pub fn zeroed(length: usize) -> Self {
        match pages(length) {
            Some(buffer) => buffer,
            None => heap(length),
        }
    }
}

fn heap(length: usize) -> Buffer {
    #[expect(clippy::expect_used, reason = "no machine has half of its address space as memory")]
    let layout = Layout::from_size_align(length.max(1), VECTOR).expect("a length that memory can have");
    // SAFETY: the layout has a size.
    let start = NonNull::new(unsafe { alloc_zeroed(layout) });
    let start = start.unwrap_or_else(|| handle_alloc_error(layout));
    Buffer { origin: Origin::Heap(layout), start, length }
}

/// Fresh pages, begun at a multiple of a huge one; `None` if the length is small or the system has none to give.
#[cfg(unix)]
fn pages(length: usize) -> Option<Buffer> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    if length < HUGE {
        return None;
    }
    let (mapped, protection) = (length.checked_add(HUGE)?, ProtFlags::READ | ProtFlags::WRITE);
    // SAFETY: a new mapping at an address of the system's choice touches no other memory.
    let at = unsafe { mmap_anonymous(std::ptr::null_mut(), mapped, protection, MapFlags::PRIVATE) }.ok()?;
    let to_huge = at.addr().next_multiple_of(HUGE) - at.addr();
    // SAFETY: less than one huge page further, and the mapping is longer than that.
    let start = NonNull::new(unsafe { at.cast::<u8>().add(to_huge) })?;
    #[cfg(target_os = "linux")]
    // SAFETY: advice on pages that are this buffer's own. A system without huge pages refuses it, and all is well.
    let _ = unsafe { rustix::mm::madvise(start.as_ptr().cast(), length, rustix::mm::Advice::LinuxHugepage) };
    Some(Buffer { origin: Origin::Pages(at, mapped), start, length })
}

#[cfg(not(unix))]
fn pages(_length: usize) -> Option<Buffer> {
    None
}

impl Drop for Buffer {
    fn drop(&mut self) {
        match self.origin {
            // SAFETY: allocated in `heap` with this layout, and dropped once.
            Origin::Heap(layout) => unsafe { dealloc(self.start.as_ptr(), layout) },
            #[cfg(unix)]
            Origin::Pages(at, mapped) => {
                // SAFETY: mapped in `pages` at this address and length, and unmapped once.
                let _ = unsafe { rustix::mm::munmap(at, mapped) };
            }
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `length` bytes that were zeroed, lent for as long as `self` is.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes)", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_every_size_are_zero_aligned_and_writable_to_their_ends() {
        for length in [0, 1, 63, 4096, HUGE - 1, HUGE, HUGE + 17] {
            let mut buffer = Buffer::zeroed(length);
            assert!(buffer.len() == length && buffer.iter().all(|byte| *byte == 0));
            assert_eq!(buffer.as_ptr().addr() % VECTOR, 0);
            buffer.fill(7);
            assert!(buffer.iter().all(|byte| *byte == 7));
        }
    }
}
