//! The graphics card while a case ran, as the report keeps it: ranges of what was read after each sample.

use serde::{Deserialize, Serialize};

use crate::environment::card::{CardProcess, Throttle};
use crate::sample::case::{CardSeen, CaseProgress};
use crate::sample::energy::PhaseEnergy;

/// Lowest and highest of some readings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

/// The card during one case: `None` for what it did not tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CardDuring {
    /// Clock of the multiprocessors, right after each sample.
    pub sm_clock_mhz: Option<Range>,
    /// Clock of the memory.
    pub memory_clock_mhz: Option<Range>,
    /// Power drawn.
    pub power_w: Option<Range>,
    /// Temperature of the chip in degrees Celsius.
    pub temperature_c: Option<Range>,
    /// What held the clocks down after any sample.
    pub throttle_reasons: Option<Vec<Throttle>>,
    /// Processes other than this one that had the card open for computing after any sample.
    pub other_processes: Option<Vec<CardProcess>>,
    /// Energy of prefill.
    pub prefill_energy: Option<PhaseEnergy>,
    /// Energy of the decode steps.
    pub output_energy: Option<PhaseEnergy>,
}

impl Range {
    /// `None` of nothing.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        values.fold(None, |range, value| match range {
            None => Some(Self { low: value, high: value }),
            Some(Self { low, high }) => Some(Self { low: low.min(value), high: high.max(value) }),
        })
    }
}

impl CardDuring {
    /// What was seen after the samples of a case; `None` where no card was looked at.
    pub fn of(progress: &CaseProgress) -> Option<Self> {
        let seen: Vec<&CardSeen> = progress.observed.iter().filter_map(|o| o.card.as_ref()).collect();
        let energy = progress.energy.unwrap_or_default();
        if seen.is_empty() && progress.energy.is_none() {
            return None;
        }
        let range = |read: fn(&CardSeen) -> Option<f64>| Range::of(seen.iter().filter_map(|seen| read(seen)));
        Some(Self {
            sm_clock_mhz: range(|seen| seen.state.sm_clock_mhz.map(f64::from)),
            memory_clock_mhz: range(|seen| seen.state.memory_clock_mhz.map(f64::from)),
            power_w: range(|seen| seen.state.power_w),
            temperature_c: range(|seen| seen.state.temperature_c.map(f64::from)),
            throttle_reasons: throttle_reasons(&seen),
            other_processes: other_processes(&seen),
            prefill_energy: energy.prefill,
            output_energy: energy.output,
        })
    }
}

/// Each once; `None` where none was ever readable.
fn throttle_reasons(seen: &[&CardSeen]) -> Option<Vec<Throttle>> {
    let read: Vec<&Vec<Throttle>> = seen.iter().filter_map(|s| s.state.throttle_reasons.as_ref()).collect();
    let mut all: Vec<Throttle> = read.iter().flat_map(|reasons| reasons.iter().copied()).collect();
    all.sort();
    all.dedup();
    (!read.is_empty()).then_some(all)
}

/// Each once, with the most memory it was seen with.
fn other_processes(seen: &[&CardSeen]) -> Option<Vec<CardProcess>> {
    let read: Vec<&Vec<CardProcess>> = seen.iter().filter_map(|seen| seen.others.as_ref()).collect();
    let mut all: Vec<CardProcess> = read.iter().flat_map(|others| others.iter().copied()).collect();
    all.sort_by_key(|process| (process.pid, std::cmp::Reverse(process.memory_bytes)));
    all.dedup_by_key(|process| process.pid);
    (!read.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::card::CardState;
    use crate::sample::case::{CaseSpec, Kind, Observed, Wish};

    fn seen(clock: Option<u32>, reasons: Option<&[Throttle]>, pids: &[u32]) -> Observed {
        let process = |pid: &u32| CardProcess { pid: *pid, memory_bytes: Some(u64::from(*pid)) };
        let state = CardState {
            sm_clock_mhz: clock,
            throttle_reasons: reasons.map(<[Throttle]>::to_vec),
            ..CardState::default()
        };
        let others = Some(pids.iter().map(process).collect());
        Observed { card: Some(CardSeen { state, others }), ..Observed::default() }
    }

    fn progress(observed: Vec<Observed>) -> CaseProgress {
        let spec = CaseSpec { kind: Kind::Rag, tokens: 1, output_tokens: 1, asked_for: Wish::Plan };
        CaseProgress { observed, ..CaseProgress::new(spec) }
    }

    #[test]
    fn readings_become_ranges_and_lists_without_doubles() {
        let (cap, hot) = (Throttle::PowerCap, Throttle::ThermalSlowdown);
        let observed = vec![
            seen(Some(1980), Some(&[hot]), &[5]),
            seen(None, None, &[5, 9]),
            seen(Some(1410), Some(&[cap, hot]), &[]),
        ];
        let during = CardDuring::of(&progress(observed)).unwrap();
        assert_eq!(during.sm_clock_mhz, Some(Range { low: 1410.0, high: 1980.0 }));
        assert_eq!(during.throttle_reasons, Some(vec![cap, hot]));
        assert_eq!(during.other_processes.map(|all| all.len()), Some(2));
        assert_eq!((during.power_w, during.prefill_energy), (None, None));
    }

    #[test]
    fn without_a_card_there_is_nothing_to_keep() {
        assert_eq!(CardDuring::of(&progress(vec![Observed::default()])), None);
    }
}
