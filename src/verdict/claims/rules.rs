//! The rules as data: `claims.toml`, read and checked. Not here: what they say of a run (`judge`).

use serde::Deserialize;
use thiserror::Error;

const SHIPPED: &str = include_str!("claims.toml");

/// All rules.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// When they were written down.
    pub date: String,
    /// Where the claims come from.
    pub source: String,
    /// Level below which an interval decides nothing.
    pub least_level: f64,
    /// Claims that a run answers.
    #[serde(rename = "claim")]
    pub claims: Vec<Claim>,
    /// Claims that no run of this program can answer yet.
    pub later: Vec<Later>,
}

/// One claim and its rule.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// `H6` and the like.
    pub id: String,
    /// In the article's sense.
    pub claim: String,
    /// What the number is.
    pub measure: String,
    /// What the second number is, for a claim that rests on two.
    pub other_measure: Option<String>,
    /// Where the claim's side ends, in the number's unit.
    pub margin: f64,
    /// The claim's side.
    pub holds: Side,
    /// Promised TTFTs in ms, the strictest first; for H9.
    #[serde(default)]
    pub sla_ms: Vec<f64>,
    /// Loss of accuracy that is no loss yet; for H11.
    pub accuracy_margin: Option<f64>,
    /// In words, with `{margin}` in place of the number.
    rule: String,
    /// What we expected.
    pub prior: String,
}

/// On which side of the margin a claim holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Above it.
    Above,
    /// Below it.
    Below,
}

/// A claim for later.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Later {
    /// `H1` and the like.
    pub id: String,
    /// In the article's sense.
    pub claim: String,
    /// What it takes.
    pub needs: String,
}

/// Rules that cannot be used.
#[derive(Debug, Error)]
pub enum RulesError {
    /// Not the form of `claims.toml`.
    #[error("the rules of the claims cannot be read: {0}; correct the file or use the one that is built in")]
    Syntax(#[from] toml::de::Error),
    /// A claim that this program has no measure for, or the same twice.
    #[error("the rules name claim '{0}', which is not one of {known} or stands there twice", known = KNOWN.join(", "))]
    Claim(String),
}

/// Claims that `judge` has a measure for, in the order in which they are told.
pub(super) const KNOWN: [&str; 8] = ["H5", "H6", "H6a", "H6b", "H7", "H8a", "H9", "H11"];

impl Rules {
    /// The rules that are built in.
    pub fn shipped() -> Result<Self, RulesError> {
        Self::parse(SHIPPED)
    }

    /// Rules from the text of a file of the same form. Errors name the line.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let rules: Self = toml::from_str(text)?;
        for (at, claim) in rules.claims.iter().enumerate() {
            let twice = rules.claims[..at].iter().any(|earlier| earlier.id == claim.id);
            if twice || !KNOWN.contains(&claim.id.as_str()) {
                return Err(RulesError::Claim(claim.id.clone()));
            }
        }
        Ok(rules)
    }
}

impl Claim {
    /// The rule in words, with its margin.
    pub fn rule(&self) -> String {
        let percent = format!("{:.1}", 100.0 * self.margin.abs());
        self.rule.replace("{margin}", percent.strip_suffix(".0").unwrap_or(&percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_rules_name_every_claim_once_and_tell_their_margin() {
        let rules = Rules::shipped().unwrap();
        assert_eq!(rules.date, "2026-11-23");
        let ids: Vec<&str> = rules.claims.iter().map(|claim| claim.id.as_str()).collect();
        assert_eq!(ids, KNOWN);
        let later: Vec<&str> = rules.later.iter().map(|later| later.id.as_str()).collect();
        assert_eq!(later, ["H1", "H2", "H3", "H4", "H8b", "H8c", "H10", "H12", "H13", "H14"]);
        for claim in &rules.claims {
            assert!(!claim.rule().contains('{') && !claim.prior.is_empty(), "{claim:?}");
        }
        assert!(rules.claims[1].rule().contains("above 5 % of the TTFT"), "{}", rules.claims[1].rule());
    }

    #[test]
    fn rules_that_mean_nothing_are_refused() {
        let unknown = SHIPPED.replacen("id = \"H5\"", "id = \"H99\"", 1);
        assert!(Rules::parse(&unknown).unwrap_err().to_string().contains("'H99'"));
        let twice = SHIPPED.replacen("id = \"H5\"", "id = \"H6\"", 1);
        assert!(Rules::parse(&twice).unwrap_err().to_string().contains("'H6'"));
        let typo = SHIPPED.replacen("margin = ", "margn = ", 1);
        assert!(Rules::parse(&typo).unwrap_err().to_string().contains("margn"));
    }
}
