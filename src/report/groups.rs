//! Cases by what they have in common: the unit of every headline, colour and legend.

use super::document::{Case, Document, Fit};
use super::one_line;

/// Cases that share a model, a weight type and a device, with the fit over them.
pub struct Group<'a> {
    /// In the order of the document; never empty.
    pub cases: Vec<&'a Case>,
    /// Absent where nothing could be fitted.
    pub fit: Option<&'a Fit>,
}

impl Group<'_> {
    /// Model, weight type and device, for a heading or a legend.
    pub fn subject(&self) -> String {
        self.cases.first().map_or(String::new(), |case| {
            one_line(&format!("{}, {} on {}", case.model, case.quantization, case.device))
        })
    }

    /// Distinct lengths that have a value of this kind.
    pub fn lengths(&self, has: fn(&Case) -> bool) -> usize {
        let mut lengths: Vec<u32> = self.cases.iter().filter(|c| has(c)).map(|c| c.context_tokens).collect();
        lengths.sort_unstable();
        lengths.dedup();
        lengths.len()
    }

    /// Whether a case of this scenario was planned, failed ones included.
    pub fn any(&self, scenario: &str) -> bool {
        self.cases.iter().any(|case| case.scenario == scenario)
    }
}

/// The cases of a document by model, weight type and device, in order of appearance.
pub fn groups(document: &Document) -> Vec<Group<'_>> {
    let mut groups: Vec<Group> = Vec::new();
    for case in &document.cases {
        let same = |other: &&Case| {
            (&other.model, &other.quantization, &other.device)
                == (&case.model, &case.quantization, &case.device)
        };
        match groups.iter_mut().find(|group| group.cases.first().is_some_and(same)) {
            Some(group) => group.cases.push(case),
            None => groups.push(Group { cases: vec![case], fit: fit_of(document, case) }),
        }
    }
    groups
}

fn fit_of<'a>(document: &'a Document, case: &Case) -> Option<&'a Fit> {
    document.fits.iter().find(|fit| {
        (&fit.model, &fit.quantization, &fit.device) == (&case.model, &case.quantization, &case.device)
    })
}
