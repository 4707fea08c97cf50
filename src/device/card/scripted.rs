//! A card whose readings are written down beforehand, for tests on machines without one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::Card;
use crate::environment::card::{CardIdentity, CardState};

/// Tells its states one after the other, and the last one for ever.
#[derive(Clone, Debug, Default)]
pub struct ScriptedCard {
    identity: CardIdentity,
    states: RefCell<VecDeque<CardState>>,
    energy_j: Cell<Option<f64>>,
}

impl ScriptedCard {
    /// A card with these readings to come.
    pub fn new(identity: CardIdentity, states: impl IntoIterator<Item = CardState>) -> Self {
        Self { identity, states: RefCell::new(states.into_iter().collect()), energy_j: Cell::new(None) }
    }

    /// Puts the energy counter to this many joules.
    pub fn set_energy(&self, joules: f64) {
        self.energy_j.set(Some(joules));
    }
}

impl Card for ScriptedCard {
    fn identity(&self) -> CardIdentity {
        self.identity.clone()
    }

    fn state(&self) -> CardState {
        let mut states = self.states.borrow_mut();
        let state = if states.len() > 1 { states.pop_front() } else { states.front().cloned() };
        state.unwrap_or_default()
    }

    fn energy_j(&self) -> Option<f64> {
        self.energy_j.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_state_stays_and_no_script_is_nothing_known() {
        let hot = |degrees| CardState { temperature_c: Some(degrees), ..CardState::default() };
        let card = ScriptedCard::new(CardIdentity::default(), [hot(40), hot(50)]);
        let degrees: Vec<_> = (0..3).map(|_| card.state().temperature_c).collect();
        assert_eq!(degrees, [Some(40), Some(50), Some(50)]);
        assert_eq!(ScriptedCard::default().state(), CardState::default());
        assert_eq!(card.energy_j(), None);
        card.set_energy(2.5);
        assert_eq!(card.energy_j(), Some(2.5));
    }
}
