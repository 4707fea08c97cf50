//! Memory for weights and caches: zeroed, aligned to a vector, and in huge pages where the system has them.
//!
//! A decode step reads every weight once. In pages of 4 KiB that is a page walk for each of them; in a virtual
//! machine each walk is several.

#![expect(unsafe_code, reason = "a vector of bytes is plain data")]

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// A huge page of x86 and of most Arm systems; buffers of at least that many bytes begin at a multiple of it.
const HUGE: usize = 2 << 20;

/// Bytes, zero at first.
pub struct Buffer {
    memory: Memory,
    length: usize,
}

enum Memory {
    Vectors(Vec<Vector>),
    /// Pages of their own, and where the first huge one begins.
    Pages(MmapMut, usize),
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Vector([u8; 64]);

// SAFETY: all bits are zero in a vector of zeros.
unsafe impl bytemuck::Zeroable for Vector {}
// SAFETY: an array of bytes as long as its alignment: no padding, no invalid bits.
unsafe impl bytemuck::Pod for Vector {}

impl Buffer {
    /// `length` zeros. Where the length is large, memory that is never written to is never taken from the system.
    pub fn zeroed(length: usize) -> Self {
        let memory = pages(length)
            .unwrap_or_else(|| Memory::Vectors(vec![Vector([0; 64]); length.div_ceil(size_of::<Vector>())]));
        Self { memory, length }
    }
}

/// Fresh pages, begun at a multiple of a huge one; `None` if the length is small or the system has none to give.
fn pages(length: usize) -> Option<Memory> {
    if length < HUGE {
        return None;
    }
    let map = MmapMut::map_anon(length.checked_add(HUGE)?).ok()?;
    let begin = map.as_ptr().addr().next_multiple_of(HUGE) - map.as_ptr().addr();
    // A system without huge pages refuses the advice, and all is well.
    #[cfg(target_os = "linux")]
    let _ = map.advise_range(memmap2::Advice::HugePage, begin, length);
    Some(Memory::Pages(map, begin))
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            Memory::Vectors(vectors) => &bytemuck::cast_slice(vectors)[..self.length],
            Memory::Pages(map, begin) => &map[*begin..][..self.length],
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Vectors(vectors) => &mut bytemuck::cast_slice_mut(vectors)[..self.length],
            Memory::Pages(map, begin) => &mut map[*begin..][..self.length],
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
        for length in [0, 1, 63, 4096, HUGE - 1, HUGE, HUGE + 17] {
            let mut buffer = Buffer::zeroed(length);
            assert!(buffer.len() == length && buffer.iter().all(|byte| *byte == 0));
            assert_eq!(buffer.as_ptr().addr() % 64, 0);
            buffer.fill(7);
            assert!(buffer.iter().all(|byte| *byte == 7));
        }
    }
}
