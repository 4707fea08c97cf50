//! Cards through NVML, the driver's own library, loaded at run time: nothing of CUDA is needed or linked for it.
//!
//! Each field is asked for by itself, and a card that does not know one (a laptop's power limit, an old card's energy
//! counter) loses that field only, with what the driver said.

use std::fmt::Display;
use std::sync::Arc;

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml, cuda_driver_version_major, cuda_driver_version_minor};

use super::place::{Listed, Visibility};
use super::{Card, CardError};
use crate::environment::card::{CardIdentity, CardProcess, CardState, Throttle, Unread};

/// The driver's library, loaded.
#[derive(Clone)]
pub struct Driver(Arc<Nvml>);

/// One of its cards.
pub struct NvmlCard {
    driver: Driver,
    number: u32,
}

impl Driver {
    /// Loads the library. Errors if it is not there, or the driver does not run.
    pub fn load() -> Result<Self, CardError> {
        let nvml = Nvml::init().map_err(|error| CardError::NoLibrary(said(&error)))?;
        Ok(Self(Arc::new(nvml)))
    }

    /// All cards in the order of the PCI bus.
    pub fn cards(&self) -> Result<Vec<NvmlCard>, CardError> {
        let count = self.0.device_count().map_err(|error| CardError::NoLibrary(said(&error)))?;
        Ok((0..count).map(|number| NvmlCard { driver: self.clone(), number }).collect())
    }

    /// The card that CUDA calls `number`.
    pub fn visible(&self, number: usize, seen: &Visibility) -> Result<NvmlCard, CardError> {
        let listed = |card: &NvmlCard| {
            let identity = card.identity();
            Listed { name: identity.name.unwrap_or_default(), uuid: identity.uuid.unwrap_or_default() }
        };
        let listed: Vec<Listed> = self.cards()?.iter().map(listed).collect();
        let number = seen.place(number, &listed)?;
        let card = NvmlCard { driver: self.clone(), number };
        card.device().map_err(|error| CardError::NoCard { number, reason: said(&error) })?;
        Ok(card)
    }
}

impl NvmlCard {
    fn device(&self) -> Result<Device<'_>, NvmlError> {
        self.driver.0.device_by_index(self.number)
    }
}

impl Card for NvmlCard {
    fn identity(&self) -> CardIdentity {
        let nvml = &self.driver.0;
        let mut unread = Unread::new();
        let mut identity = CardIdentity {
            driver_version: kept(&mut unread, "driver_version", nvml.sys_driver_version()),
            cuda_version: kept(&mut unread, "cuda_version", nvml.sys_cuda_driver_version().map(version)),
            ..CardIdentity::default()
        };
        if let Some(device) = kept(&mut unread, "card", self.device()) {
            let capability = device.cuda_compute_capability().map(|c| format!("{}.{}", c.major, c.minor));
            let limit = device.enforced_power_limit().map(milli);
            identity.name = kept(&mut unread, "name", device.name());
            identity.uuid = kept(&mut unread, "uuid", device.uuid());
            identity.compute_capability = kept(&mut unread, "compute_capability", capability);
            identity.memory_total_bytes =
                kept(&mut unread, "memory_total_bytes", device.memory_info().map(|memory| memory.total));
            identity.sm_clock_max_mhz =
                kept(&mut unread, "sm_clock_max_mhz", device.max_clock_info(Clock::SM));
            identity.memory_clock_max_mhz =
                kept(&mut unread, "memory_clock_max_mhz", device.max_clock_info(Clock::Memory));
            identity.power_limit_w = kept(&mut unread, "power_limit_w", limit);
        }
        CardIdentity { unread, ..identity }
    }

    fn state(&self) -> CardState {
        let mut unread = Unread::new();
        let mut state = CardState::default();
        if let Some(device) = kept(&mut unread, "card", self.device()) {
            let memory = kept(&mut unread, "memory", device.memory_info());
            state.memory_used_bytes = memory.as_ref().map(|memory| memory.used);
            state.memory_free_bytes = memory.as_ref().map(|memory| memory.free);
            state.sm_clock_mhz = kept(&mut unread, "sm_clock_mhz", device.clock_info(Clock::SM));
            state.memory_clock_mhz = kept(&mut unread, "memory_clock_mhz", device.clock_info(Clock::Memory));
            let throttle = device.current_throttle_reasons_strict().map(reasons).or_else(unknown_bits);
            state.throttle_reasons = kept(&mut unread, "throttle_reasons", throttle);
            state.power_w = kept(&mut unread, "power_w", device.power_usage().map(milli));
            let sensor = TemperatureSensor::Gpu;
            state.temperature_c = kept(&mut unread, "temperature_c", device.temperature(sensor));
            let energy = device.total_energy_consumption().map(|mj| mj as f64 / 1000.0);
            state.energy_j = kept(&mut unread, "energy_j", energy);
            state.processes = kept(&mut unread, "processes", processes(&device));
        }
        CardState { unread, ..state }
    }

    fn energy_j(&self) -> Option<f64> {
        let energy = self.device().and_then(|device| device.total_energy_consumption());
        energy.ok().map(|mj| mj as f64 / 1000.0)
    }
}

/// The value, or a note of what the driver said in its place.
fn kept<T>(unread: &mut Unread, field: &str, read: Result<T, NvmlError>) -> Option<T> {
    read.map_err(|error| unread.insert(field.to_owned(), said(&error))).ok()
}

/// An error in one line.
fn said(error: &impl Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// 13000 is 13.0.
fn version(number: i32) -> String {
    format!("{}.{}", cuda_driver_version_major(number), cuda_driver_version_minor(number))
}

/// Milliwatts to watts.
fn milli(value: u32) -> f64 {
    f64::from(value) / 1000.0
}

fn processes(device: &Device<'_>) -> Result<Vec<CardProcess>, NvmlError> {
    let memory_bytes = |used| match used {
        UsedGpuMemory::Used(bytes) => Some(bytes),
        UsedGpuMemory::Unavailable => None,
    };
    let process = |p: nvml_wrapper::struct_wrappers::device::ProcessInfo| CardProcess {
        pid: p.pid,
        memory_bytes: memory_bytes(p.used_gpu_memory),
    };
    Ok(device.running_compute_processes()?.into_iter().map(process).collect())
}

/// Bits in words.
fn reasons(bits: ThrottleReasons) -> Vec<Throttle> {
    let known = [
        (ThrottleReasons::GPU_IDLE, Throttle::Idle),
        (ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, Throttle::ClocksSetting),
        (ThrottleReasons::DISPLAY_CLOCK_SETTING, Throttle::DisplayClocks),
        (ThrottleReasons::SW_POWER_CAP, Throttle::PowerCap),
        (ThrottleReasons::SYNC_BOOST, Throttle::SyncBoost),
        (ThrottleReasons::SW_THERMAL_SLOWDOWN, Throttle::ThermalSlowdown),
        (ThrottleReasons::HW_SLOWDOWN, Throttle::HardwareSlowdown),
        (ThrottleReasons::HW_THERMAL_SLOWDOWN, Throttle::HardwareThermalSlowdown),
        (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, Throttle::PowerBrake),
    ];
    known.into_iter().filter(|(bit, _)| bits.contains(*bit)).map(|(_, reason)| reason).collect()
}

/// A newer driver may have reasons that the wrapper does not know: they are told beside those that it does.
fn unknown_bits(error: NvmlError) -> Result<Vec<Throttle>, NvmlError> {
    let NvmlError::IncorrectBits(nvml_wrapper::error::Bits::U64(bits)) = error else { return Err(error) };
    let mut all = reasons(ThrottleReasons::from_bits_truncate(bits));
    all.push(Throttle::Other);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nvml_wrapper::error::Bits;

    #[test]
    fn bits_become_words_and_unknown_ones_are_not_lost() {
        let bits = ThrottleReasons::SW_POWER_CAP | ThrottleReasons::HW_SLOWDOWN;
        assert_eq!(reasons(bits), [Throttle::PowerCap, Throttle::HardwareSlowdown]);
        assert_eq!(reasons(ThrottleReasons::NONE), []);
        let newer = NvmlError::IncorrectBits(Bits::U64(bits.bits() | 1 << 40));
        let expected = [Throttle::PowerCap, Throttle::HardwareSlowdown, Throttle::Other];
        assert_eq!(unknown_bits(newer).unwrap(), expected);
        assert!(unknown_bits(NvmlError::NotSupported).is_err());
    }

    #[test]
    fn a_field_that_fails_is_missing_with_what_the_driver_said() {
        let mut unread = Unread::new();
        assert_eq!(kept(&mut unread, "power_w", Err::<u32, _>(NvmlError::NotSupported)), None);
        assert_eq!(kept(&mut unread, "name", Ok(1)), Some(1));
        assert_eq!(unread["power_w"], "the requested operation is not available on the target device");
        assert_eq!(unread.len(), 1);
    }

    #[test]
    fn versions_and_units_are_those_of_people() {
        assert_eq!((version(13_000), version(12_040)), ("13.0".into(), "12.4".into()));
        assert_eq!(milli(350_500), 350.5);
    }
}
