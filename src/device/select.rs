//! From the text of `--device` to a candle device, or to a sentence that says what is missing.
//!
//! The only file that asks which features were compiled in.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use candle_core::Device;
use thiserror::Error;

use crate::clock::{Clock, SystemClock};

/// Why a device cannot be used.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// Not a name of a device.
    #[error("'{0}' is not a device; write cpu, cuda, cuda:N or metal")]
    Unknown(String),
    /// This build has no code for it.
    #[error(
        "--device {device} needs a build with --features {feature}: \
         run `cargo build --release --features {feature}` {needs}, or use --device cpu"
    )]
    NotCompiledIn {
        /// What was asked for.
        device: DeviceChoice,
        /// Cargo feature that is missing.
        feature: &'static str,
        /// What that build needs.
        needs: &'static str,
    },
    /// Compiled in, but the machine does not have it or its driver refuses.
    #[error("--device {device} could not be opened: {reason}; {remedy}, or use --device cpu")]
    Absent {
        /// What was asked for.
        device: DeviceChoice,
        /// What the driver said.
        reason: String,
        /// What to look at.
        remedy: &'static str,
    },
}

/// A device, as it is named on the command line and in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU, by its number.
    Cuda(usize),
    /// Apple's GPU.
    Metal,
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown(text.to_owned());
        match text.to_ascii_lowercase().as_str() {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            other => {
                let number = other.strip_prefix("cuda:").ok_or_else(unknown)?;
                number.parse().map(Self::Cuda).map_err(|_| unknown())
            }
        }
    }
}

/// Cargo features of this build that bring a device.
pub fn compiled_features() -> Vec<String> {
    [("cuda", cfg!(feature = "cuda")), ("metal", cfg!(feature = "metal"))]
        .into_iter()
        .filter(|(_, compiled)| *compiled)
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Opens the device of that name.
///
/// Errors if the name is wrong, or the device is not compiled in or not present.
pub fn select(name: &str) -> Result<Device, DeviceError> {
    open(name.parse()?)
}

/// An open device, and what opening it took.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The device.
    pub device: Device,
    /// Until the driver had it open, with candle's own parts.
    pub device_took: Duration,
    /// Until the kernels were loaded, which the driver compiles for the card; `None` where none are loaded.
    pub kernels_took: Option<Duration>,
}

/// Opens a device.
///
/// Errors if it is not compiled in or not present.
pub fn open(device: DeviceChoice) -> Result<Device, DeviceError> {
    Ok(open_timed(device, &SystemClock::default())?.device)
}

/// As [`open`], with the time that each part of it took.
pub fn open_timed(choice: DeviceChoice, clock: &dyn Clock) -> Result<Opened, DeviceError> {
    let start = clock.now();
    match choice {
        DeviceChoice::Cpu => {
            Ok(Opened { device: Device::Cpu, device_took: clock.now() - start, kernels_took: None })
        }
        DeviceChoice::Cuda(number) => {
            compiled_in(choice, "cuda", "on a machine with the CUDA toolkit (nvcc)")?;
            let remedy = "`nvidia-smi` lists the GPUs this machine has and its driver";
            let device = Device::new_cuda(number).map_err(|error| absent(choice, &error, remedy))?;
            let opened = clock.now();
            crate::cuda::made_ready(&device).map_err(|error| absent(choice, &error, remedy))?;
            Ok(Opened { device, device_took: opened - start, kernels_took: Some(clock.now() - opened) })
        }
        DeviceChoice::Metal => {
            compiled_in(choice, "metal", "on a Mac")?;
            let remedy = "Metal needs a Mac with a GPU";
            let device = Device::new_metal(0).map_err(|error| absent(choice, &error, remedy))?;
            Ok(Opened { device, device_took: clock.now() - start, kernels_took: None })
        }
    }
}

fn compiled_in(device: DeviceChoice, feature: &'static str, needs: &'static str) -> Result<(), DeviceError> {
    let compiled = compiled_features().iter().any(|name| name == feature);
    compiled.then_some(()).ok_or(DeviceError::NotCompiledIn { device, feature, needs })
}

fn absent(device: DeviceChoice, error: &candle_core::Error, remedy: &'static str) -> DeviceError {
    let reason = error.to_string().lines().next().unwrap_or("no reason given").to_owned();
    DeviceError::Absent { device, reason, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case() {
        let read =
            ["cpu", "CUDA", "cuda:3", "metal"].map(|text| text.parse::<DeviceChoice>().unwrap().to_string());
        assert_eq!(read, ["cpu", "cuda:0", "cuda:3", "metal"]);
        for wrong in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0"] {
            let error = wrong.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(error.contains("write cpu, cuda, cuda:N or metal"), "{error}");
        }
    }

    #[test]
    fn the_cpu_is_always_there() {
        assert!(select("cpu").unwrap().is_cpu());
        let opened = open_timed(DeviceChoice::Cpu, &SystemClock::default()).unwrap();
        assert!(opened.device.is_cpu() && opened.kernels_took.is_none());
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_device_that_is_not_compiled_in_says_how_to_get_it() {
        let error = select("cuda:1").unwrap_err().to_string();
        assert!(error.starts_with("--device cuda:1 needs a build with --features cuda: run"), "{error}");
        assert!(error.ends_with("or use --device cpu"), "{error}");
    }
}
