//! From CUDA's number of a card to NVML's: the two count differently where the user hides or orders cards.
//!
//! NVML counts all cards in the order of the PCI bus. CUDA counts those that `CUDA_VISIBLE_DEVICES` leaves, the fastest
//! first unless `CUDA_DEVICE_ORDER=PCI_BUS_ID`. Where all cards are alike, the fastest-first order is that of the bus.

use super::CardError;

/// What the environment says about CUDA's view of the cards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visibility {
    /// `CUDA_VISIBLE_DEVICES`.
    pub devices: Option<String>,
    /// `CUDA_DEVICE_ORDER`.
    pub order: Option<String>,
}

/// A card as NVML lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its own identifier, `GPU-…`.
    pub uuid: String,
}

impl Visibility {
    /// As the process has it.
    pub fn of_this_process() -> Self {
        let variable = |name| std::env::var(name).ok();
        Self { devices: variable("CUDA_VISIBLE_DEVICES"), order: variable("CUDA_DEVICE_ORDER") }
    }

    /// The place in `cards` of the card that CUDA calls `number`.
    ///
    /// Errors if it is hidden, or if the orders of unlike cards cannot be told apart.
    pub fn place(&self, number: usize, cards: &[Listed]) -> Result<u32, CardError> {
        let Some(variable) = &self.devices else { return self.by_number(number, number, cards) };
        let hidden = || CardError::Hidden { number, variable: variable.clone() };
        let word = variable.split(',').map(str::trim).nth(number).ok_or_else(hidden)?;
        if let Ok(index) = word.parse::<usize>() {
            return self.by_number(number, index, cards).map_err(|error| match error {
                CardError::NoCard { .. } => hidden(),
                other => other,
            });
        }
        let named = |card: &Listed| !word.is_empty() && card.uuid.starts_with(word);
        let place = cards.iter().position(named).ok_or_else(hidden)?;
        Ok(place as u32)
    }

    fn by_number(&self, number: usize, index: usize, cards: &[Listed]) -> Result<u32, CardError> {
        let alike = cards.windows(2).all(|pair| pair[0].name == pair[1].name);
        if !alike && self.order.as_deref() != Some("PCI_BUS_ID") {
            return Err(CardError::Ambiguous(number));
        }
        let reason = format!("it has {}", cards.len());
        let number = index as u32;
        if index < cards.len() { Ok(number) } else { Err(CardError::NoCard { number, reason }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cards(names: &[&str]) -> Vec<Listed> {
        let card = |(at, name): (usize, &&str)| Listed { name: (*name).into(), uuid: format!("GPU-{at}abc") };
        names.iter().enumerate().map(card).collect()
    }

    fn place(devices: Option<&str>, order: Option<&str>, number: usize, names: &[&str]) -> Option<u32> {
        let seen = Visibility { devices: devices.map(Into::into), order: order.map(Into::into) };
        seen.place(number, &cards(names)).ok()
    }

    #[test]
    fn cards_that_are_alike_are_counted_as_the_bus_has_them() {
        assert_eq!(place(None, None, 1, &["A", "A"]), Some(1));
        assert_eq!(place(None, None, 2, &["A", "A"]), None);
        assert_eq!(place(Some("1"), None, 0, &["A", "A"]), Some(1));
        assert_eq!(place(Some("1,0"), None, 1, &["A", "A"]), Some(0));
        assert_eq!(place(Some(""), None, 0, &["A", "A"]), None);
        assert_eq!(place(Some("5"), None, 0, &["A", "A"]), None);
    }

    #[test]
    fn unlike_cards_are_told_apart_by_the_bus_or_by_their_own_name_only() {
        assert_eq!(place(None, None, 0, &["A", "B"]), None);
        assert_eq!(place(None, Some("PCI_BUS_ID"), 1, &["A", "B"]), Some(1));
        assert_eq!(place(Some("GPU-1a"), None, 0, &["A", "B"]), Some(1));
        assert_eq!(place(Some("GPU-9"), None, 0, &["A", "B"]), None);
    }

    #[test]
    fn what_cannot_be_told_says_what_to_set() {
        let error = Visibility::default().place(1, &cards(&["A", "B"])).unwrap_err().to_string();
        assert!(error.contains("cuda:1") && error.contains("CUDA_DEVICE_ORDER=PCI_BUS_ID"), "{error}");
        let hidden = Visibility { devices: Some("-1".into()), order: None };
        let error = hidden.place(0, &cards(&["A"])).unwrap_err().to_string();
        assert!(error.contains("CUDA_VISIBLE_DEVICES=-1"), "{error}");
    }
}
