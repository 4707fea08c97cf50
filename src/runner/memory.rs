//! A device that runs out of memory ends a case, not the arm and not the run.

use super::visit::Visit;
use crate::engine::out_of_memory::is_out_of_memory;
use crate::sample::case::CaseProgress;

impl Visit<'_, '_> {
    /// Gives case `index` up if `error` tells of memory that could not be had; whether it did. What it has stays.
    pub(super) fn end_for_want_of_memory(&mut self, index: usize, error: &str) -> bool {
        if !is_out_of_memory(error) {
            return false;
        }
        let fitted = longest_that_ran(self.cases(), self.cases()[index].spec.tokens);
        let case = &mut self.outcome.arms[self.turn.arm].cases[index];
        case.error = Some(sentence(error, case, fitted));
        case.out_of_memory = true;
        true
    }

    /// The cases that may still be tried after a load with room for all of `open` failed.
    ///
    /// For want of memory those go that need more than half as much room; for any other reason all do, and the arm
    /// has the error.
    pub(super) fn open_after_failed_load(&mut self, open: Vec<usize>, error: &str) -> Vec<usize> {
        if !is_out_of_memory(error) {
            self.outcome.arms[self.turn.arm].error = Some(error.into());
            return Vec::new();
        }
        let most = open.iter().map(|i| self.room(*i)).max().unwrap_or(0);
        let (kept, gone): (Vec<usize>, Vec<usize>) =
            open.into_iter().partition(|i| self.room(*i) <= most / 2);
        for index in gone {
            self.end_for_want_of_memory(index, error);
        }
        kept
    }
}

/// The longest prompt below `tokens` that has run on the arm.
fn longest_that_ran(cases: &[CaseProgress], tokens: u32) -> Option<u32> {
    let ran = |case: &&CaseProgress| {
        case.error.is_none() && (!case.warmups_s.is_empty() || case.samples.iter().any(|s| s.is_complete()))
    };
    cases.iter().filter(ran).map(|case| case.spec.tokens).filter(|ran| *ran < tokens).max()
}

fn sentence(error: &str, case: &CaseProgress, fitted: Option<u32>) -> String {
    let what_fits = match fitted {
        Some(tokens) => format!("what has fitted here is {tokens} tokens"),
        None => "nothing shorter had been run here".into(),
    };
    format!(
        "out of memory with {} tokens and {} of output: {what_fits}; take a shorter context or a smaller --quant, free \
         the device's memory, or let --longest-context look for the most that fits ({error})",
        case.spec.tokens, case.spec.output_tokens
    )
}
