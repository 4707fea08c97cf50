//! The graphics card in words, for `ctxbench doctor` and every format: what it is, its state, and each case on it.
//!
//! Not here: reading it (`device::card`), and whether its state spoils a number (`verdict`).

use super::NOT_AVAILABLE;
use super::document::{Case, Document};
use super::during::Range;
use super::one_line;
use super::rag::Section;
use super::table::{Column, Grid, number, number_or_missing, text};
use crate::environment::card::{CardIdentity, CardRecord, CardState, Throttle, Unread};
use crate::units::{bytes, significant, thousands};

const HEADING: &str = "The card while each case ran";

const HINT: &str = "Clocks and power are read right after each sample, the lowest and the highest of a case. Energy is the \
                    card's own counter over passes of its own, repeated for two seconds or more.";

/// What a card is, as label and value, without its name.
pub fn identity(card: &CardIdentity) -> Vec<(&'static str, String)> {
    let word = |value: &Option<String>| value.as_deref().map_or(NOT_AVAILABLE.into(), one_line);
    let driver = format!(
        "{}, CUDA up to {}, compute capability {}",
        word(&card.driver_version),
        word(&card.cuda_version),
        word(&card.compute_capability)
    );
    let limits = format!(
        "{} memory, SM clock {}, memory clock {}, power {}",
        known(card.memory_total_bytes, bytes),
        known(card.sm_clock_max_mhz, mhz),
        known(card.memory_clock_max_mhz, mhz),
        known(card.power_limit_w, watts)
    );
    vec![("driver", driver), ("limits", limits)]
}

/// A reading in one line.
pub fn state(state: &CardState) -> String {
    let held = state.throttle_reasons.as_ref().map_or(NOT_AVAILABLE.into(), |reasons| held(reasons));
    let open = state.processes.as_ref().map_or(NOT_AVAILABLE.into(), |all| match all.len() {
        0 => "no process".into(),
        n => format!("{n} ({})", all.iter().map(|p| p.pid.to_string()).collect::<Vec<_>>().join(", ")),
    });
    format!(
        "{} used, {} free, SM clock {}, memory clock {}, power {}, {}, clocks held down by {held}, processes {open}",
        known(state.memory_used_bytes, bytes),
        known(state.memory_free_bytes, bytes),
        known(state.sm_clock_mhz, mhz),
        known(state.memory_clock_mhz, mhz),
        known(state.power_w, watts),
        known(state.temperature_c, |degrees| format!("{degrees} °C")),
    )
}

/// What could not be read and why; `None` if all was.
pub fn unread(identity: &Unread, state: &Unread) -> Option<String> {
    let all =
        identity.iter().chain(state).map(|(field, why)| format!("{}: {}", one_line(field), one_line(why)));
    let all: Vec<String> = all.collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Rows for the record of the box.
pub(super) fn facts(card: &CardRecord) -> Vec<(&'static str, String)> {
    let mut facts = vec![("Card", card.identity.name.as_deref().map_or(NOT_AVAILABLE.into(), one_line))];
    let labels = ["Its driver", "Its limits"];
    facts.extend(labels.into_iter().zip(identity(&card.identity)).map(|(label, (_, value))| (label, value)));
    facts.push(("Card before", state(&card.before)));
    facts.extend(card.after.as_ref().map(|after| ("Card after", state(after))));
    facts.extend(unread(&card.identity.unread, &card.before.unread).map(|why| ("Card, not told", why)));
    facts
}

/// One row a case that ran on a card; `None` where none did.
pub(super) fn section(document: &Document) -> Option<Section> {
    let on_a_card = document.cases.iter().filter(|case| case.card.is_some());
    let rows: Vec<Vec<String>> =
        on_a_card.map(|case| COLUMNS.iter().map(|column| (column.cell)(case)).collect()).collect();
    let grid = Some(Grid::new(COLUMNS, rows)).filter(|grid| !grid.rows.is_empty())?;
    Some(Section {
        heading: HEADING,
        hint: HINT.into(),
        grid: Some(grid),
        lines: idle(document).into_iter().collect(),
    })
}

/// The power that is in every joule, whatever runs.
fn idle(document: &Document) -> Option<String> {
    let power = document.environment.card.as_ref()?.before.power_w?;
    Some(format!("The card drew {} before anything was loaded; that is part of the energy.", watts(power)))
}

const COLUMNS: &[Column<Case>] = &[
    text("Model", 0, |case| one_line(&case.model)),
    text("Weights", 0, |case| one_line(&case.quantization)),
    text("Scenario", 0, |case| one_line(&case.scenario)),
    number("Context", "tokens", 0, |case| thousands(case.depth_tokens.unwrap_or(case.context_tokens).into())),
    number("Prefill", "J/token", 0, |case| {
        number_or_missing(case.card.as_ref().and_then(|card| card.prefill_energy).map(|e| e.j_per_token))
    }),
    number("Output", "J/token", 0, |case| {
        number_or_missing(case.card.as_ref().and_then(|card| card.output_energy).map(|e| e.j_per_token))
    }),
    number("SM clock", "MHz", 1, |case| range(case.card.as_ref().and_then(|card| card.sm_clock_mhz))),
    number("Memory clock", "MHz", 4, |case| range(case.card.as_ref().and_then(|card| card.memory_clock_mhz))),
    number("Power", "W", 2, |case| range(case.card.as_ref().and_then(|card| card.power_w))),
    number("Hottest", "°C", 5, |case| {
        number_or_missing(case.card.as_ref().and_then(|card| card.temperature_c).map(|range| range.high))
    }),
    text("Held down by", 3, |case| {
        let reasons = case.card.as_ref().and_then(|card| card.throttle_reasons.as_ref());
        reasons.map_or(NOT_AVAILABLE.into(), |reasons| held(reasons))
    }),
    number("Others", "processes", 3, |case| {
        let others = case.card.as_ref().and_then(|card| card.other_processes.as_ref());
        others.map_or(NOT_AVAILABLE.into(), |others| others.len().to_string())
    }),
];

fn held(reasons: &[Throttle]) -> String {
    let words: Vec<&str> = reasons.iter().map(|reason| reason.words()).collect();
    if words.is_empty() { "nothing".into() } else { words.join(", ") }
}

fn range(range: Option<Range>) -> String {
    match range {
        None => NOT_AVAILABLE.into(),
        Some(Range { low, high }) if low == high => significant(high),
        Some(Range { low, high }) => format!("{} to {}", significant(low), significant(high)),
    }
}

fn known<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or(NOT_AVAILABLE.into(), show)
}

fn mhz(clock: u32) -> String {
    format!("{} MHz", thousands(clock.into()))
}

fn watts(power: f64) -> String {
    format!("{} W", significant(power))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::during::CardDuring;
    use crate::report::fixture;
    use crate::sample::energy::PhaseEnergy;

    #[test]
    fn a_run_without_a_card_has_no_section() {
        assert_eq!(section(&fixture::document()), None);
    }

    #[test]
    fn a_case_on_a_card_has_a_row_and_what_is_missing_is_no_zero() {
        let mut document = fixture::document();
        let prefill = PhaseEnergy::of(900.0, 3000, 2.0);
        document.cases[1].card = Some(CardDuring {
            sm_clock_mhz: Some(Range { low: 1410.0, high: 1980.0 }),
            throttle_reasons: Some(vec![Throttle::PowerCap]),
            prefill_energy: prefill,
            ..CardDuring::default()
        });
        let grid = section(&document).and_then(|section| section.grid).expect("one case ran on a card");
        assert_eq!(grid.rows.len(), 1);
        let shown = ["0.300", "n/a", "1,410 to 1,980", "n/a", "n/a", "n/a", "the power limit", "n/a"];
        assert_eq!(grid.rows[0][4..], shown.map(String::from));
    }

    #[test]
    fn a_state_of_which_nothing_is_known_says_so_for_each_reading() {
        let shown = state(&CardState::default());
        assert_eq!(shown.matches(NOT_AVAILABLE).count(), 8, "{shown}");
        assert!(!shown.contains('0'), "{shown}");
    }
}
