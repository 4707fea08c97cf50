//! The sentences that every format opens with: what context costs on this box, in words.
//!
//! Cases and fits come in, sentences go out. A number that is missing is `n/a` with its reason.

use super::contrast::contrasts;
use super::document::{Document, RatioAt, WeightsOrigin};
use super::groups::{Group, groups};
use super::{NOT_AVAILABLE, limits, one_line, rag};
use crate::stats::estimate::Interval;
use crate::stats::fit::{Law, LawKind};
use crate::units::{milliseconds, significant, thousands};

/// The findings for one model in one weight type on one device, or for two of them side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    /// E.g. `qwen3-0.6b, q8_0 on cpu`.
    pub subject: String,
    /// One finding each.
    pub sentences: Vec<Sentence>,
}

/// A sentence around the number that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// Up to the number.
    pub before: String,
    /// The number with its unit, or `n/a`: what a renderer may emphasise.
    pub key: String,
    /// From there to the full stop.
    pub after: String,
}

impl Sentence {
    /// A sentence of three parts.
    pub fn new(before: impl Into<String>, key: impl Into<String>, after: impl Into<String>) -> Self {
        Self { before: before.into(), key: key.into(), after: after.into() }
    }

    /// The sentence without emphasis.
    pub fn text(&self) -> String {
        format!("{}{}{}", self.before, self.key, self.after)
    }
}

/// What the page is about: the processor or accelerator that ran.
pub fn title(document: &Document) -> String {
    let accelerated = document.cases.iter().any(|case| case.device != "cpu");
    let accelerator = document.environment.accelerators.first().filter(|_| accelerated);
    let name = accelerator.or(document.environment.cpu.as_ref());
    let what = if rag::is_experiment(document) { "RAG" } else { "context length" };
    format!("What {what} costs on {}", name.map_or("this box".into(), |name| one_line(name)))
}

/// Hybrid against attention where both were measured, then the findings per model, weight type and device.
/// Of an experiment its own findings only.
pub fn headlines(document: &Document) -> Vec<Headline> {
    if let Some(experiment) = rag::headline::headline(document) {
        return vec![experiment];
    }
    let headline = |group: &Group| {
        let costs = [cost_of_context(group), rag_against_short(group), cost_of_depth(group)];
        let limits = limits::sentences(document, group);
        Headline { subject: group.subject(), sentences: costs.into_iter().flatten().chain(limits).collect() }
    };
    contrasts(document).into_iter().chain(groups(document).iter().map(headline)).collect()
}

/// What limits the whole report: random weights, a stopped run, failed cases.
pub fn limits(document: &Document) -> Vec<String> {
    let mut limits = Vec::new();
    let random: Vec<String> = document
        .models
        .iter()
        .filter(|model| model.weights == WeightsOrigin::Random)
        .map(|model| one_line(&model.id))
        .collect();
    if !random.is_empty() {
        limits.push(format!(
            "Random weights ({}): speed is valid, text and quality are not.",
            random.join(", ")
        ));
    }
    if document.interrupted {
        limits.push("The run was stopped before its plan was done: this is what had been measured.".into());
    }
    let failed = document.cases.iter().filter(|case| case.error.is_some()).count();
    if failed > 0 {
        let has = if failed == 1 { "has" } else { "have" };
        limits.push(format!("{failed} of {} cases failed and {has} no numbers.", document.cases.len()));
    }
    if document.cases.is_empty() {
        limits.push("This report holds no case: nothing had been measured when it was written.".into());
    }
    limits
}

fn cost_of_context(group: &Group) -> Option<Sentence> {
    if let Some((fit, slope)) = group.fit.and_then(|fit| Some((fit, fit.ttft_ms_per_1000_tokens?))) {
        return Some(slope_sentence(slope, ["context", "TTFT"], fit.ttft.as_ref()));
    }
    let lengths = group.lengths(|case| case.summary.ttft_ms.is_some());
    (group.any("short") || group.any("rag")).then(|| no_slope("further context in TTFT", lengths))
}

fn cost_of_depth(group: &Group) -> Option<Sentence> {
    if let Some((fit, slope)) = group.fit.and_then(|fit| Some((fit, fit.tpot_ms_per_1000_tokens?))) {
        return Some(slope_sentence(slope, ["depth", "TPOT"], fit.tpot.as_ref()));
    }
    let lengths = group.lengths(|case| case.summary.tpot_ms.is_some());
    Some(no_slope("further depth in TPOT", lengths))
}

fn no_slope(of: &str, lengths: usize) -> Sentence {
    let why = match lengths {
        0 => "no case has the number".into(),
        1 => "only one length was measured; give --context or --depth more of them".into(),
        more => format!("{more} lengths were measured, with too few samples for a slope; give more --runs"),
    };
    Sentence::new(format!("Cost of {of}: "), NOT_AVAILABLE, format!(", {why}."))
}

/// What 1,000 more tokens of `axis` do to `metric`, over the range of the law.
fn slope_sentence(slope: Interval, [axis, metric]: [&str; 2], law: Option<&Law>) -> Sentence {
    if !(slope.value.is_finite() && slope.low.is_finite() && slope.high.is_finite()) {
        let before = format!("Cost of further {axis} in {metric}: ");
        return Sentence::new(before, NOT_AVAILABLE, ", the fit has no finite slope.");
    }
    let interval = format!("{} to {}", milliseconds(slope.low), milliseconds(slope.high));
    let interval = format!("({} interval {interval})", percent(slope.level));
    let range = law.map_or(String::new(), |law| {
        let [low, high] = law.range_tokens;
        format!(", measured from {} to {} tokens", thousands(low.into()), thousands(high.into()))
    });
    if slope.low <= 0.0 && slope.high >= 0.0 {
        let value = milliseconds(slope.value);
        let after =
            format!(" of further {axis} in {metric} shown: {value} per 1,000 tokens {interval}{range}.");
        return Sentence::new("", "No cost", after);
    }
    let bend = match law.map(|law| law.kind) {
        Some(LawKind::Quadratic) => " This is the mean over that range: the cost grows with length.",
        _ => "",
    };
    let (verb, preposition) = if slope.value < 0.0 { ("take", "off") } else { ("add", "to") };
    Sentence::new(
        format!("Each further 1,000 tokens of {axis} {verb} "),
        milliseconds(slope.value.abs()),
        format!(" {preposition} {metric} {interval}{range}.{bend}"),
    )
}

fn rag_against_short(group: &Group) -> Option<Sentence> {
    let ratios = group.fit.map_or(&[][..], |fit| &fit.rag_over_short_ttft);
    if let Some(at) = ratios.iter().filter(|at| at.ratio.value.is_finite()).max_by_key(|at| at.context_tokens)
    {
        return Some(ratio_sentence(group, at));
    }
    let has = |scenario: &str| {
        group.cases.iter().any(|case| case.scenario == scenario && case.summary.ttft_ms.is_some())
    };
    let why = match (has("rag"), has("short")) {
        _ if !group.any("rag") && !group.any("short") => return None,
        (false, _) => "no rag case has a TTFT",
        (true, false) => "no short case has a TTFT",
        (true, true) => "the samples support no interval",
    };
    Some(Sentence::new("RAG against short: ", NOT_AVAILABLE, format!(", {why}.")))
}

fn ratio_sentence(group: &Group, at: &RatioAt) -> Sentence {
    let ttft = |scenario: &str, tokens: u32| {
        let case = group.cases.iter().find(|c| c.scenario == scenario && c.context_tokens == tokens);
        let ttft = case.and_then(|case| case.summary.ttft_ms);
        let told = ttft.map_or(String::new(), |ttft| format!(" ({})", milliseconds(ttft.median)));
        format!("{} tokens{told}", thousands(tokens.into()))
    };
    Sentence::new(
        format!("RAG at {} takes ", ttft("rag", at.context_tokens)),
        format!("{} times", significant(at.ratio.value)),
        format!(
            " as long to the first token as short at {}; {} interval {} to {}.",
            ttft("short", at.short_tokens),
            percent(at.ratio.level),
            significant(at.ratio.low),
            significant(at.ratio.high),
        ),
    )
}

/// A level of confidence: `95 %`, `94 %` for 0.9375.
pub fn percent(level: f64) -> String {
    format!("{:.0} %", 100.0 * level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn law(kind: LawKind) -> Law {
        Law {
            kind,
            coefficients: Vec::new(),
            range_tokens: [64, 2048],
            points: 4,
            r_squared: 0.99,
            reason: String::new(),
        }
    }

    fn slope(value: f64, low: f64, high: f64) -> Interval {
        Interval { value, low, high, level: 0.95 }
    }

    #[test]
    fn a_slope_is_told_with_its_interval_and_its_range() {
        assert_eq!(
            slope_sentence(slope(812.0, 790.0, 834.0), ["context", "TTFT"], Some(&law(LawKind::Linear)))
                .text(),
            "Each further 1,000 tokens of context add 812 ms to TTFT (95 % interval 790 ms to 834 ms), \
             measured from 64 to 2,048 tokens."
        );
        let bent =
            slope_sentence(slope(812.0, 790.0, 834.0), ["context", "TTFT"], Some(&law(LawKind::Quadratic)))
                .text();
        assert!(bent.ends_with("the cost grows with length."), "{bent}");
    }

    #[test]
    fn an_interval_across_zero_claims_no_cost() {
        let told = slope_sentence(slope(0.1, -0.2, 0.4), ["depth", "TPOT"], None).text();
        assert!(told.starts_with("No cost of further depth in TPOT shown: 0.100 ms"), "{told}");
    }

    #[test]
    fn a_report_without_fits_says_not_available_and_why() {
        let mut document = fixture::document();
        document.fits.clear();
        for headline in headlines(&document) {
            assert!(headline.sentences.iter().all(|s| s.key == "n/a" && s.after.len() > 5), "{headline:?}");
        }
        document.cases.clear();
        assert!(headlines(&document).is_empty());
        assert!(limits(&document).iter().any(|limit| limit.contains("holds no case")));
    }

    #[test]
    fn random_weights_are_said_and_hub_weights_are_not() {
        let mut document = fixture::document();
        let random = |document: &Document| limits(document).iter().any(|l| l.starts_with("Random weights"));
        assert!(random(&document));
        document.models.iter_mut().for_each(|model| model.weights = WeightsOrigin::Hub);
        assert!(!random(&document));
    }

    #[test]
    fn the_ratio_told_is_the_one_at_the_largest_context() {
        let document = fixture::document();
        let largest = document.fits[0].rag_over_short_ttft.iter().map(|at| at.context_tokens).max().unwrap();
        let told: String = headlines(&document)[0].sentences.iter().map(Sentence::text).collect();
        assert!(told.contains(&format!("RAG at {} tokens", thousands(largest.into()))), "{told}");
    }
}
