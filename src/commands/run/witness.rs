//! Watches this box while a sample runs: memory, swap, what others take of the processors, and the card if one runs.

use crate::device::card::{self, Card, CardError};
use crate::device::interference::{CpuTimes, frequency_mhz};
use crate::device::kernel_files::KernelFiles;
use crate::device::memory::{SwapCounters, peak_resident_bytes, reset_peak};
use crate::device::select::DeviceChoice;
use crate::environment::card::{CardRecord, CardState};
use crate::runner::arm::Witness;
use crate::sample::case::{CardSeen, Observed};

/// Bytes of a page of memory, as Linux counts swap on every platform this runs on.
const PAGE_BYTES: u64 = 4096;

/// The card of a run, looked at before this process opened it; nothing for a run on the processor.
pub struct WatchedCard {
    card: Option<Result<Box<dyn Card>, CardError>>,
    record: Option<CardRecord>,
}

impl WatchedCard {
    /// Looks at the card behind `device`. To be called before the device is opened: whoever has it open now is another.
    pub fn of(device: DeviceChoice) -> Self {
        Self::new(card::of(device))
    }

    fn new(card: Option<Result<Box<dyn Card>, CardError>>) -> Self {
        let record = card.as_ref().map(card::record);
        Self { card, record }
    }

    /// What a report says of it; `None` for a run on the processor.
    pub fn record(&self) -> Option<CardRecord> {
        self.record.clone()
    }

    /// How it is now; `None` where there is none, or it cannot be asked.
    pub fn state(&self) -> Option<CardState> {
        Some(self.card.as_ref()?.as_ref().ok()?.state())
    }

    /// Watches box and card.
    pub fn witness(&self) -> BoxWitness<'_> {
        let memory = match (&self.card, &self.record) {
            (None, _) => MemoryOf::Process,
            (Some(Ok(card)), Some(record)) => MemoryOf::Card { card: card.as_ref(), before: &record.before },
            (Some(_), _) => MemoryOf::Nothing,
        };
        BoxWitness { cpu: None, swap: None, peak_was_reset: false, memory }
    }
}

/// Readings at the beginning of a sample.
pub struct BoxWitness<'a> {
    cpu: Option<CpuTimes>,
    swap: Option<SwapCounters>,
    peak_was_reset: bool,
    memory: MemoryOf<'a>,
}

/// Whose memory is the run's.
enum MemoryOf<'a> {
    /// The process': its resident set.
    Process,
    /// The card's, beyond what was in use before.
    Card { card: &'a dyn Card, before: &'a CardState },
    /// A card's that cannot be asked: the resident set would be another number.
    Nothing,
}

impl Witness for BoxWitness<'_> {
    fn begin(&mut self) {
        self.peak_was_reset = reset_peak().is_some();
        self.swap = SwapCounters::read(&KernelFiles::default());
        self.cpu = CpuTimes::now();
    }

    fn end(&mut self) -> Observed {
        // The card first: its clocks fall within milliseconds.
        let card = self.card();
        let clock_mhz = frequency_mhz(&KernelFiles::default());
        let cpu = CpuTimes::now();
        let swap = SwapCounters::read(&KernelFiles::default());
        Observed {
            clock_mhz,
            others_share: self.cpu.as_ref().and_then(|before| cpu?.used_by_others_since(before)),
            peak_memory_bytes: self.memory_bytes(card.as_ref()),
            swap_growth_bytes: self
                .swap
                .as_ref()
                .and_then(|before| Some(swap?.pages_since(before) * PAGE_BYTES)),
            card,
        }
    }

    fn energy_j(&mut self) -> Option<f64> {
        match &self.memory {
            MemoryOf::Card { card, .. } => card.energy_j(),
            MemoryOf::Process | MemoryOf::Nothing => None,
        }
    }
}

impl BoxWitness<'_> {
    fn card(&self) -> Option<CardSeen> {
        let MemoryOf::Card { card, before } = &self.memory else { return None };
        let state = card.state();
        let others = state.other_processes(std::process::id(), before);
        Some(CardSeen { state, others })
    }

    fn memory_bytes(&self, seen: Option<&CardSeen>) -> Option<u64> {
        match &self.memory {
            // A peak that goes on counting from the start would be another case's.
            MemoryOf::Process => peak_resident_bytes().filter(|_| self.peak_was_reset),
            MemoryOf::Card { before, .. } => seen?.state.memory_since(before),
            MemoryOf::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::card::scripted::ScriptedCard;
    use crate::environment::card::{CardIdentity, CardProcess};

    fn state(used: u64, pids: &[u32]) -> CardState {
        let process = |pid: &u32| CardProcess { pid: *pid, memory_bytes: Some(1) };
        CardState {
            memory_used_bytes: Some(used),
            sm_clock_mhz: Some(1980),
            processes: Some(pids.iter().map(process).collect()),
            ..CardState::default()
        }
    }

    fn watched(states: Vec<CardState>) -> WatchedCard {
        let identity = CardIdentity { name: Some("scripted".into()), ..CardIdentity::default() };
        WatchedCard::new(Some(Ok(Box::new(ScriptedCard::new(identity, states)))))
    }

    #[test]
    fn a_card_is_seen_after_each_sample_with_its_own_memory_and_without_this_process() {
        let own = std::process::id();
        let watched = watched(vec![state(400, &[5]), state(900, &[5, own]), state(1000, &[5, own, 9])]);
        let mut witness = watched.witness();
        let mut seen = || {
            witness.begin();
            witness.end()
        };
        let (first, second) = (seen(), seen());
        assert_eq!((first.peak_memory_bytes, second.peak_memory_bytes), (Some(500), Some(600)));
        let pids = |observed: &Observed| -> Vec<u32> {
            let others = observed.card.as_ref().and_then(|card| card.others.clone()).unwrap_or_default();
            others.iter().map(|process| process.pid).collect()
        };
        assert_eq!((pids(&first), pids(&second)), (vec![5], vec![5, 9]));
        let record = watched.record().expect("there is a card");
        assert_eq!((record.identity.name.as_deref(), record.after), (Some("scripted"), None));
    }

    #[test]
    fn a_card_that_cannot_be_asked_gives_no_memory_and_never_the_process() {
        let watched = WatchedCard::new(Some(Err(CardError::NoLibrary("none".into()))));
        let mut witness = watched.witness();
        witness.begin();
        let observed = witness.end();
        assert_eq!((observed.peak_memory_bytes, observed.card, witness.energy_j()), (None, None, None));
        assert!(watched.record().is_some() && watched.state().is_none());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn on_the_processor_memory_is_the_resident_set_and_there_is_no_card() {
        let watched = WatchedCard::of(DeviceChoice::Cpu);
        let mut witness = watched.witness();
        witness.begin();
        let observed = witness.end();
        assert_eq!(observed.peak_memory_bytes.is_some(), witness.peak_was_reset);
        assert!(observed.card.is_none() && watched.record().is_none());
    }
}
