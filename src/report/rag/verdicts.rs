//! The verdicts as cards in plain words: those that were decided first.

use super::super::document::Document;
use super::super::one_line;
use crate::units::significant;
use crate::verdict::claims::{Outcome, Verdict};

/// Heading over the cards.
pub const HEADING: &str = "The article's claims, held against this box";

/// One claim and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// `H6` and the like.
    pub id: String,
    /// The claim.
    pub claim: String,
    /// The answer.
    pub outcome: Outcome,
    /// The number that decided, with its interval and what it is; `None` where there is none.
    pub number: Option<String>,
    /// The rule, with its margin.
    pub rule: String,
    /// Why it came out so.
    pub reason: String,
}

/// One per verdict; empty for a document of `ctxbench run`.
pub fn cards(document: &Document) -> Vec<Card> {
    let mut cards: Vec<Card> = document.experiment.verdicts.iter().map(card).collect();
    cards.sort_by_key(|card| card.outcome == Outcome::NotTestable);
    cards
}

fn card(verdict: &Verdict) -> Card {
    Card {
        id: one_line(&verdict.id),
        claim: one_line(&verdict.claim),
        outcome: verdict.status,
        number: number(verdict),
        rule: one_line(&verdict.rule),
        reason: sentence(&verdict.reason),
    }
}

/// One line that begins with a capital, as codes of reasons do not.
fn sentence(text: &str) -> String {
    let line = one_line(text);
    let mut letters = line.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn number(verdict: &Verdict) -> Option<String> {
    let value = verdict.value?;
    let share = |share: f64| match value.abs() >= 2.0 {
        true => format!("{} times", significant(share)),
        false => format!("{} %", significant(100.0 * share)),
    };
    let interval = match verdict.ci_low.zip(verdict.ci_high) {
        Some((low, high)) => format!(" ({} to {})", share(low), share(high)),
        None => String::new(),
    };
    Some(format!("{}{interval}: {}", share(value), one_line(&verdict.measure)))
}

/// An answer as it is printed.
pub fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Supported => "Supported",
        Outcome::NotSupported => "Not supported",
        Outcome::NotTestable => "Not testable here",
    }
}

/// Verdicts with this answer.
pub fn count(verdicts: &[Verdict], outcome: Outcome) -> usize {
    verdicts.iter().filter(|verdict| verdict.status == outcome).count()
}

/// How to read the cards, in a sentence.
pub fn hint(document: &Document) -> String {
    let date =
        document.experiment.rules_date.as_deref().map_or(String::new(), |d| format!(" on {}", one_line(d)));
    format!(
        "Claims of the article on fine-tuning and RAG, each held against a rule that was written down{date}, before the run. A claim \
         is decided only where the whole interval lies on one side of the margin."
    )
}

/// What no run of this program can test yet, one line each.
pub fn not_tested(document: &Document) -> Vec<String> {
    let line = |left: &super::super::document::LeftOut| {
        format!("{} It {}.", one_line(&left.what), one_line(&left.why))
    };
    document.experiment.not_tested.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn what_was_decided_comes_before_what_was_not() {
        let cards = cards(&fixture::experiment());
        let open = cards.iter().position(|card| card.outcome == Outcome::NotTestable).unwrap();
        assert!(cards[open..].iter().all(|card| card.outcome == Outcome::NotTestable) && open > 0);
        assert_eq!(cards[0].id, "H6");
        assert!(cards[0].number.as_deref().unwrap().contains(" times ("), "{:?}", cards[0]);
    }

    #[test]
    fn a_verdict_without_a_number_shows_none() {
        let cards = cards(&fixture::experiment());
        let bare = cards.iter().find(|card| card.id == "H5").unwrap();
        assert!(bare.number.is_none() && bare.reason.starts_with("No adapter was given"), "{bare:?}");
    }
}
