//! A graphics card in words and numbers: what it is, and its state at a moment. Reading them is `device::card`'s.
//!
//! What could not be read is `None`, never 0; why stands beside it in `unread`, by the name of the field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Why fields are `None`, by the name of the field.
pub type Unread = BTreeMap<String, String>;

/// The card of a run: what it is, and how it was before the first model was loaded and after the last sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CardRecord {
    /// What it is.
    pub identity: CardIdentity,
    /// Before anything was loaded: its power is that of an idle card.
    pub before: CardState,
    /// After the last sample; `None` while the run goes on.
    pub after: Option<CardState>,
}

/// What does not change while a program runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CardIdentity {
    /// Name given by the driver, e.g. `NVIDIA H100 80GB HBM3`.
    pub name: Option<String>,
    /// The driver's own name of this one card, e.g. `GPU-8f6c...`.
    pub uuid: Option<String>,
    /// Version of the driver.
    pub driver_version: Option<String>,
    /// Newest CUDA that the driver can run, e.g. `13.0`.
    pub cuda_version: Option<String>,
    /// Compute capability, e.g. `9.0`.
    pub compute_capability: Option<String>,
    /// Memory in all.
    pub memory_total_bytes: Option<u64>,
    /// Highest clock of the multiprocessors.
    pub sm_clock_max_mhz: Option<u32>,
    /// Highest clock of the memory.
    pub memory_clock_max_mhz: Option<u32>,
    /// Power that the driver lets it draw.
    pub power_limit_w: Option<f64>,
    /// Why something is missing.
    #[serde(default, skip_serializing_if = "Unread::is_empty")]
    pub unread: Unread,
}

/// One reading.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CardState {
    /// Memory in use by anyone.
    pub memory_used_bytes: Option<u64>,
    /// Memory that can still be taken.
    pub memory_free_bytes: Option<u64>,
    /// Clock of the multiprocessors.
    pub sm_clock_mhz: Option<u32>,
    /// Clock of the memory.
    pub memory_clock_mhz: Option<u32>,
    /// What holds the clocks below their maxima; empty if nothing does.
    pub throttle_reasons: Option<Vec<Throttle>>,
    /// Power drawn.
    pub power_w: Option<f64>,
    /// Temperature of the chip in degrees Celsius.
    pub temperature_c: Option<u32>,
    /// Energy used since the driver was loaded, in joules.
    pub energy_j: Option<f64>,
    /// Processes that have the card open for computing, this one included.
    pub processes: Option<Vec<CardProcess>>,
    /// Why something is missing.
    #[serde(default, skip_serializing_if = "Unread::is_empty")]
    pub unread: Unread,
}

/// A process that has the card open for computing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardProcess {
    /// Its number, as the driver knows it: in a container that may be the number outside.
    pub pid: u32,
    /// What it holds of the card's memory.
    pub memory_bytes: Option<u64>,
}

/// What holds the clocks below their maxima.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Throttle {
    /// Nothing runs.
    Idle,
    /// Somebody set the clocks.
    ClocksSetting,
    /// The display asks for it.
    DisplayClocks,
    /// The card draws all the power it is allowed to.
    PowerCap,
    /// A card in the same group is slower.
    SyncBoost,
    /// The driver slows a hot card down.
    ThermalSlowdown,
    /// The hardware slows the card down: heat, power, or an external brake.
    HardwareSlowdown,
    /// The hardware slows a hot card down.
    HardwareThermalSlowdown,
    /// The power supply asks for it.
    PowerBrake,
    /// A reason that this program does not know.
    Other,
}

/// What a reason for low clocks means for a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing: the card rests, or its clocks are as somebody wants them.
    Harmless,
    /// Clocks are lower than they could be.
    Held,
    /// The hardware halves the clocks, or more.
    Slowed,
}

impl Throttle {
    /// A few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Idle => "idleness",
            Self::ClocksSetting => "a setting of the clocks",
            Self::DisplayClocks => "the display",
            Self::PowerCap => "the power limit",
            Self::SyncBoost => "a slower card in its group",
            Self::ThermalSlowdown => "heat",
            Self::HardwareSlowdown => "a slowdown by hardware",
            Self::HardwareThermalSlowdown => "heat (a slowdown by hardware)",
            Self::PowerBrake => "the brake of the power supply",
            Self::Other => "a reason unknown here",
        }
    }

    /// What it means for a measurement.
    pub fn severity(self) -> Severity {
        match self {
            Self::Idle | Self::ClocksSetting | Self::DisplayClocks => Severity::Harmless,
            Self::PowerCap | Self::SyncBoost | Self::ThermalSlowdown | Self::Other => Severity::Held,
            Self::HardwareSlowdown | Self::HardwareThermalSlowdown | Self::PowerBrake => Severity::Slowed,
        }
    }
}

impl CardState {
    /// Processes other than this one, whose number is `own`; `before` is a reading from before this one opened the
    /// card. Unknown where either reading has no processes.
    ///
    /// In a container the driver may know this process by another number. Where `own` is not listed, one process that
    /// came since `before` is taken for it.
    pub fn other_processes(&self, own: u32, before: &Self) -> Option<Vec<CardProcess>> {
        let (mut others, before) = (self.processes.clone()?, before.processes.as_ref()?);
        let is_new = |p: &CardProcess| before.iter().all(|old| old.pid != p.pid);
        let ours = others.iter().position(|p| p.pid == own).or_else(|| others.iter().position(is_new));
        if let Some(at) = ours {
            others.remove(at);
        }
        Some(others)
    }

    /// Memory in use beyond what was in use at `before`: this process' own, where nobody else took or gave back any.
    pub fn memory_since(&self, before: &Self) -> Option<u64> {
        Some(self.memory_used_bytes?.saturating_sub(before.memory_used_bytes?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(pids: &[u32]) -> CardState {
        let process = |pid: &u32| CardProcess { pid: *pid, memory_bytes: Some(1) };
        CardState { processes: Some(pids.iter().map(process).collect()), ..CardState::default() }
    }

    fn others(now: &[u32], before: &[u32]) -> Vec<u32> {
        let others = state(now).other_processes(7, &state(before)).expect("both are known");
        others.iter().map(|p| p.pid).collect()
    }

    #[test]
    fn this_process_is_not_among_the_others_under_whatever_number() {
        assert_eq!(others(&[5, 7], &[5]), [5]);
        assert_eq!(others(&[5, 901], &[5]), [5], "known by its number outside the container");
        assert_eq!(others(&[901], &[]), [0; 0]);
        assert_eq!(others(&[5, 901, 902], &[5]), [5, 902], "only one of them can be this one");
        assert_eq!(others(&[5], &[5]), [5], "not yet open here");
    }

    #[test]
    fn nothing_known_is_nobody_seen_and_no_memory() {
        assert_eq!(CardState::default().other_processes(7, &state(&[])), None);
        assert_eq!(state(&[5]).other_processes(7, &CardState::default()), None);
        assert_eq!(CardState::default().memory_since(&CardState::default()), None);
    }

    #[test]
    fn memory_is_counted_from_the_first_reading() {
        let used = |bytes| CardState { memory_used_bytes: Some(bytes), ..CardState::default() };
        assert_eq!(used(900).memory_since(&used(400)), Some(500));
        assert_eq!(used(300).memory_since(&used(400)), Some(0));
    }

    #[test]
    fn reasons_are_words_in_the_report() {
        let text = serde_json::to_string(&[Throttle::PowerCap, Throttle::HardwareThermalSlowdown]).unwrap();
        assert_eq!(text, r#"["power_cap","hardware_thermal_slowdown"]"#);
        assert_eq!(Throttle::Idle.severity(), Severity::Harmless);
        assert!(Throttle::PowerBrake.severity() > Throttle::PowerCap.severity());
    }
}
