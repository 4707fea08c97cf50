//! The sentences that tell the box's limit from the software's, at the longest length of an arm.

use super::document::Document;
use super::groups::Group;
use super::growth::Phase;
use super::headline::Sentence;
use super::roof::{self, Reached, reached};
use crate::stats::percentile::median;
use crate::units::{significant, thousands};

/// Share of a limit from which on it is the box that holds an arm back.
const NEAR: f64 = 0.8;

/// Share above which the limit itself must be wrong; below it is noise.
const BEYOND: f64 = 1.02;

/// One sentence for prefill and one for decode; none where the box's rates were not measured.
pub fn sentences(document: &Document, group: &Group) -> Vec<Sentence> {
    let Some(roof) = group.fit.and_then(|fit| roof::roof(document, fit)) else { return Vec::new() };
    let of_phase = |phase| {
        let reached = reached(&roof, phase, &group.cases);
        sentence(phase, reached.last()?)
    };
    [Phase::Prefill, Phase::Decode].into_iter().filter_map(of_phase).collect()
}

fn sentence(phase: Phase, at: &Reached) -> Option<Sentence> {
    let (share, rate) = (at.share().filter(|share| share.is_finite())?, median(&at.rates)?);
    let place = match phase {
        Phase::Prefill => "At",
        Phase::Decode => "With",
    };
    let place = format!("{place} {} tokens", thousands(at.tokens.round() as i64));
    let place = if phase == Phase::Decode { format!("{place} in the cache") } else { place };
    let rates = format!("{} of {} tokens/s", significant(rate), significant(at.limit));
    let key = format!("{:.0} %", 100.0 * share);
    let after = match share {
        s if s > BEYOND => {
            "so the limit was measured too low: stop other work on this box, and measure again"
        }
        s if s >= NEAR => "it is the box that limits here, not the software",
        _ => "the rest is lost to software, or to other work on this box",
    };
    let before = format!("{place} {} reaches ", phase.name());
    Some(Sentence::new(before, key, format!(" of what this box allows ({rates}); {after}.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use crate::report::groups::groups;

    fn told(rate: f64) -> String {
        let at = Reached { tokens: 4096.0, rates: vec![rate; 3], limit: 1000.0 };
        sentence(Phase::Prefill, &at).unwrap().text()
    }

    #[test]
    fn the_box_and_the_software_are_told_apart() {
        assert_eq!(
            told(170.0),
            "At 4,096 tokens prefill reaches 17 % of what this box allows (170 of 1,000 tokens/s); the rest is lost to \
             software, or to other work on this box."
        );
        assert!(told(850.0).ends_with("it is the box that limits here, not the software."));
        assert!(told(1100.0).contains("110 % of") && told(1100.0).contains("measured too low"));
    }

    #[test]
    fn an_arm_without_a_roof_is_not_spoken_of() {
        let mut document = fixture::document();
        let spoken = |document: &Document| sentences(document, &groups(document)[0]).len();
        assert_eq!(spoken(&document), 2);
        document.environment.memory_bandwidth_bytes_per_s = None;
        document.fits[0].roof = None;
        assert_eq!(spoken(&document), 0);
    }
}
