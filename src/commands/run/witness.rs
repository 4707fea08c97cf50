//! Watches this box while a sample runs: memory, swap, and what others take of the processors.

use crate::device::interference::{CpuTimes, frequency_mhz};
use crate::device::kernel_files::KernelFiles;
use crate::device::memory::{SwapCounters, peak_resident_bytes, reset_peak};
use crate::runner::arm::Witness;
use crate::sample::case::Observed;

/// Bytes of a page of memory, as Linux counts swap on every platform this runs on.
const PAGE_BYTES: u64 = 4096;

/// Readings at the beginning of a sample.
#[derive(Default)]
pub struct BoxWitness {
    cpu: Option<CpuTimes>,
    swap: Option<SwapCounters>,
    peak_was_reset: bool,
}

impl Witness for BoxWitness {
    fn begin(&mut self) {
        self.peak_was_reset = reset_peak().is_some();
        self.swap = SwapCounters::read(&KernelFiles::default());
        self.cpu = CpuTimes::now();
    }

    fn end(&mut self) -> Observed {
        let clock_mhz = frequency_mhz(&KernelFiles::default());
        let cpu = CpuTimes::now();
        let swap = SwapCounters::read(&KernelFiles::default());
        Observed {
            clock_mhz,
            others_share: self.cpu.as_ref().and_then(|before| cpu?.used_by_others_since(before)),
            // A peak that goes on counting from the start would be another case's.
            peak_memory_bytes: peak_resident_bytes().filter(|_| self.peak_was_reset),
            swap_growth_bytes: self
                .swap
                .as_ref()
                .and_then(|before| Some(swap?.pages_since(before) * PAGE_BYTES)),
        }
    }
}
