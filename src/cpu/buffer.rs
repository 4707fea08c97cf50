//! Memory for weights and caches: zeroed, aligned to a vector, and in huge pages where the system has them.
//!
//! A decode step reads every weight once. In pages of 4 KiB that is a page walk for each of them; in a virtual
//! machine each walk is several.

#![expect(unsafe_code, reason = "buffers that share pages")]

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::MmapMut;

/// Miri, for which each byte is work, sees the same at a 512th of the size.
const SHRUNK: u32 = if cfg!(miri) { 9 } else { 0 };

/// A huge page of x86 and of most Arm systems.
const HUGE: usize = (2 << 20) >> SHRUNK;

/// Buffers below this lie on the heap: they are too small to matter.
const SMALL: usize = (64 << 10) >> SHRUNK;

/// Bytes of a region that buffers share. Each in pages of its own, a third of a small model's matrices would lie in
/// what is left over behind whole huge pages.
const REGION: usize = (64 << 20) >> SHRUNK;

/// Bytes, zero at first.
pub struct Buffer {
    memory: Memory,
    length: usize,
}

enum Memory {
    Vectors(Vec<Vector>),
    /// A part of a region that no other buffer has, and never had.
    Part(Arc<Region>, usize),
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Vector([u8; 64]);

// SAFETY: all bits are zero in a vector of zeros.
unsafe impl bytemuck::Zeroable for Vector {}
// SAFETY: an array of bytes as long as its alignment: no padding, no invalid bits.
unsafe impl bytemuck::Pod for Vector {}

/// Fresh pages, begun at a multiple of a huge one; given back when the last buffer in them is dropped.
struct Region {
    _map: MmapMut,
    start: NonNull<u8>,
}

// SAFETY: it owns its memory; parts of it are reached through the one buffer that has them.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

/// The region that still has room, and how much of it is taken.
static OPEN: Mutex<Option<(Arc<Region>, usize)>> = Mutex::new(None);

impl Buffer {
    /// `length` zeros. Where the length is large, memory that is never written to is never taken from the system.
    pub fn zeroed(length: usize) -> Self {
        let memory = match length {
            0..SMALL => None,
            SMALL..REGION => shared(length),
            _ => Region::new(length).map(|region| Memory::Part(Arc::new(region), 0)),
        };
        let vectors = || Memory::Vectors(vec![Vector([0; 64]); length.div_ceil(size_of::<Vector>())]);
        Self { memory: memory.unwrap_or_else(vectors), length }
    }
}

/// The next bytes of the open region, or the first of a new one; `None` if the system has no pages to give.
fn shared(length: usize) -> Option<Memory> {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let has_room = matches!(&*open, Some((_, taken)) if taken + length <= REGION);
    if !has_room {
        *open = Some((Arc::new(Region::new(REGION)?), 0));
    }
    let (region, taken) = open.as_mut()?;
    let begin = *taken;
    *taken = (begin + length).next_multiple_of(size_of::<Vector>());
    Some(Memory::Part(region.clone(), begin))
}

impl Region {
    fn new(length: usize) -> Option<Self> {
        let mut map = MmapMut::map_anon(length.checked_add(HUGE)?).ok()?;
        let begin = map.as_ptr().addr().next_multiple_of(HUGE) - map.as_ptr().addr();
        // A system without huge pages refuses the advice, and all is well.
        #[cfg(all(target_os = "linux", not(miri)))]
        let _ = map.advise_range(memmap2::Advice::HugePage, begin, length);
        let start = NonNull::new(map[begin..].as_mut_ptr())?;
        Some(Self { _map: map, start })
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            Memory::Vectors(vectors) => &bytemuck::cast_slice(vectors)[..self.length],
            // SAFETY: inside the region, whose pages hold zeros or what was written, and this buffer's alone.
            Memory::Part(region, begin) => unsafe {
                std::slice::from_raw_parts(region.start.as_ptr().add(*begin), self.length)
            },
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Vectors(vectors) => &mut bytemuck::cast_slice_mut(vectors)[..self.length],
            // SAFETY: as above, and `self` is borrowed mutably.
            Memory::Part(region, begin) => unsafe {
                std::slice::from_raw_parts_mut(region.start.as_ptr().add(*begin), self.length)
            },
        }
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
        for length in [0, 1, 63, SMALL, SMALL + 1, HUGE + 17, REGION - 1, REGION + 17] {
            let mut buffer = Buffer::zeroed(length);
            assert!(buffer.len() == length && buffer.iter().all(|byte| *byte == 0));
            assert_eq!(buffer.as_ptr().addr() % 64, 0);
            buffer.fill(7);
            assert!(buffer.iter().all(|byte| *byte == 7));
        }
    }

    #[test]
    fn buffers_that_share_a_region_do_not_share_bytes() {
        let mut buffers: Vec<Buffer> =
            (0..40).map(|n| Buffer::zeroed(SMALL + REGION / 21 * (n % 3))).collect();
        for (mark, buffer) in (1u8..).zip(&mut buffers) {
            assert!(buffer.iter().all(|byte| *byte == 0));
            buffer.fill(mark);
        }
        drop(buffers.split_off(20));
        assert!((1u8..).zip(&buffers).all(|(mark, buffer)| buffer.iter().all(|byte| *byte == mark)));
    }
}
