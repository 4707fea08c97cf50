//! A graphics card and what can be read of it, whether or not this build can compute on it.
//!
//! Comes in: the name of a device. Goes out: a [`Card`] that tells its [`CardIdentity`] and [`CardState`]. The real
//! one asks the driver through NVML ([`nvml`]), which is loaded when it is first asked for, so that no build needs
//! or links it; [`scripted`] stands in for it in tests. Not here: computing on a card ([`super::select`]), and what a
//! reading means (`verdict`).

pub mod nvml;
pub mod place;
pub mod scripted;

use thiserror::Error;

use super::select::DeviceChoice;
use crate::environment::card::{CardIdentity, CardRecord, CardState, Unread};

/// Why nothing can be read of a card.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CardError {
    /// The driver's library is not there or does not answer.
    #[error("the driver's library (NVML, libnvidia-ml.so.1) could not be asked: {0}")]
    NoLibrary(String),
    /// There is no card of that number.
    #[error("the driver knows no card {number}: {reason}")]
    NoCard {
        /// Its number as NVML counts.
        number: u32,
        /// What the driver said.
        reason: String,
    },
    /// NVML and CUDA count differently here.
    #[error(
        "which card is cuda:{0} cannot be told; set CUDA_DEVICE_ORDER=PCI_BUS_ID, and CUDA counts as the driver does"
    )]
    Ambiguous(usize),
    /// `CUDA_VISIBLE_DEVICES` hides it, or names it in a way that is not understood here.
    #[error(
        "CUDA_VISIBLE_DEVICES={variable} leaves no cuda:{number} that could be found among the driver's cards"
    )]
    Hidden {
        /// What was asked for.
        number: usize,
        /// The variable's value.
        variable: String,
    },
}

/// A card that can be asked about itself. A reading takes up to some milliseconds: never between two clock reads.
pub trait Card {
    /// What it is.
    fn identity(&self) -> CardIdentity;

    /// How it is now.
    fn state(&self) -> CardState;

    /// Energy used since the driver was loaded, in joules; `None` where the card has no such counter.
    fn energy_j(&self) -> Option<f64>;
}

/// The card behind `device`: `None` for a device that is no NVIDIA card.
///
/// Errors if the driver's library does not answer or the card cannot be found.
pub fn of(device: DeviceChoice) -> Option<Result<Box<dyn Card>, CardError>> {
    let DeviceChoice::Cuda(number) = device else { return None };
    Some(nvml::Driver::load().and_then(|driver| {
        let card = driver.visible(number, &place::Visibility::of_this_process())?;
        Ok(Box::new(card) as Box<dyn Card>)
    }))
}

/// Every card that the driver knows, in its order.
///
/// Errors if its library does not answer.
pub fn all() -> Result<Vec<Box<dyn Card>>, CardError> {
    let driver = nvml::Driver::load()?;
    let cards = driver.cards()?.into_iter();
    Ok(cards.map(|card| Box::new(card) as Box<dyn Card>).collect())
}

/// Memory that can still be taken on the card behind `device`; `None` where there is no card, or it does not tell.
pub fn free_bytes(device: DeviceChoice) -> Option<u64> {
    of(device)?.ok()?.state().memory_free_bytes
}

/// What a run starts its record of a card with.
pub fn record(card: &Result<Box<dyn Card>, CardError>) -> CardRecord {
    match card {
        Ok(card) => CardRecord { identity: card.identity(), before: card.state(), after: None },
        Err(error) => {
            let unread = Unread::from([("card".to_owned(), error.to_string())]);
            CardRecord {
                identity: CardIdentity { unread, ..CardIdentity::default() },
                ..CardRecord::default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_no_card_and_has_no_card_memory() {
        assert!(of(DeviceChoice::Cpu).is_none() && of(DeviceChoice::Metal).is_none());
        assert_eq!(free_bytes(DeviceChoice::Cpu), None);
    }

    #[test]
    fn a_card_that_cannot_be_asked_is_a_record_of_nothing_with_the_reason() {
        let record = record(&Err(CardError::NoLibrary("no such file".into())));
        assert_eq!((record.identity.name, record.before, record.after), (None, CardState::default(), None));
        assert!(
            record.identity.unread["card"].contains("libnvidia-ml.so.1) could not be asked: no such file")
        );
    }
}
