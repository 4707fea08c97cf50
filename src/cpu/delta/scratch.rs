//! Memory of a thread for what a head makes on its way, kept from call to call.

use std::cell::RefCell;

use crate::cpu::lanes::LANES;

thread_local! {
    static KEPT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// The next numbers of a scratch, each run begun where a vector may begin.
pub struct Scratch<'a>(&'a mut [f32]);

impl<'a> Scratch<'a> {
    /// `count` numbers, of any value.
    #[inline(always)]
    pub fn take(&mut self, count: usize) -> &'a mut [f32] {
        let whole = std::mem::take(&mut self.0);
        let (taken, rest) = whole.split_at_mut(count.next_multiple_of(LANES));
        self.0 = rest;
        &mut taken[..count]
    }
}

/// A thread's scratch, which goes back to it when this is dropped.
pub struct Kept(Vec<f32>);

impl Kept {
    /// Room for `count` numbers in at most 16 runs.
    pub fn new(count: usize) -> Self {
        let kept = KEPT.take();
        let wanted = count + 17 * LANES;
        Self(if kept.len() < wanted { vec![0.0; wanted] } else { kept })
    }

    /// All of it.
    pub fn scratch(&mut self) -> Scratch<'_> {
        let start = self.0.as_ptr().align_offset(LANES * size_of::<f32>()).min(LANES);
        Scratch(&mut self.0[start..])
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT.set(std::mem::take(&mut self.0));
    }
}
