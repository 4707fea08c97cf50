//! Hybrid against attention: how much less further context costs where most layers keep a state of constant
//! size.
//!
//! A document comes in, one [`Headline`] per pair of arms goes out. Nothing is said of lengths that one of
//! the two was not measured at.

use super::document::{Case, Document};
use super::groups::{Group, groups};
use super::growth::{Measured, Phase, measured};
use super::headline::{Headline, Sentence, percent};
use super::theory::Theory;
use super::{NOT_AVAILABLE, one_line};
use crate::stats::estimate::Interval;
use crate::stats::percentile::median;
use crate::stats::ratio::ratio;
use crate::stats::two_samples;
use crate::units::{bytes, milliseconds, significant, thousands};

/// One of the two arms.
struct Arm<'a> {
    name: String,
    parameters: u64,
    theory: &'a Theory,
    cases: &'a [&'a Case],
}

/// What the longer of two lengths adds to the time of one token.
struct Added {
    /// Difference in milliseconds.
    ms: Interval,
    /// Ratio of the times.
    ratio: Interval,
    /// Ratio of the counted work.
    counted_ratio: f64,
    /// Difference of the counted work.
    counted: f64,
}

/// The two lengths that both arms were measured at.
#[derive(Clone, Copy)]
struct Range {
    phase: Phase,
    low: u32,
    high: u32,
}

/// What the samples of two arms say of each other.
#[derive(Debug, PartialEq)]
enum Finding {
    /// Neither has an added time above 0.
    NoCost,
    /// One has, the other has not.
    OnlyOnOne,
    /// The intervals overlap.
    NoDifference,
    /// They do not, but the smaller one may be 0: the least factor between them, and its level.
    AtLeast { factor: f64, level: f64 },
    /// Ratio of the larger to the smaller.
    Times(Interval),
}

/// A headline for each hybrid arm and the attention arm that is nearest to it in parameters, of the
/// same weight type on the same device.
pub fn contrasts(document: &Document) -> Vec<Headline> {
    let groups = groups(document);
    let headline = |group: &Group| {
        let hybrid = arm(document, group).filter(|arm| arm.theory.is_hybrid())?;
        let distance = |other: &Arm| other.parameters.abs_diff(hybrid.parameters);
        let others = groups.iter().filter(|other| comparable(group, other));
        let attention = others.filter_map(|other| arm(document, other)).filter(|arm| !arm.theory.is_hybrid());
        let attention = attention.min_by_key(distance)?;
        let sentences = [
            cost(Phase::Prefill, &hybrid, &attention),
            cost(Phase::Decode, &hybrid, &attention),
            Some(memory(&hybrid, &attention)),
        ];
        let case = group.cases.first()?;
        Some(Headline {
            subject: one_line(&format!(
                "{} (hybrid) against {} (attention only), {} on {}",
                hybrid.name, attention.name, case.quantization, case.device
            )),
            sentences: sentences.into_iter().flatten().collect(),
        })
    };
    groups.iter().filter_map(headline).collect()
}

fn comparable(a: &Group, b: &Group) -> bool {
    let [Some(a), Some(b)] = [a, b].map(|group| group.cases.first()) else { return false };
    (&a.quantization, &a.device, &a.dtype) == (&b.quantization, &b.device, &b.dtype)
}

fn arm<'a>(document: &Document, group: &'a Group) -> Option<Arm<'a>> {
    let theory = group.fit?.theory.as_ref()?;
    let id = &group.cases.first()?.model;
    let model = document.models.iter().find(|model| model.id == *id)?;
    Some(Arm { name: one_line(id), parameters: model.parameters, theory, cases: &group.cases })
}

/// How much less one phase is slowed by length on one arm than on the other.
///
/// `None` where one of them was not measured in this phase at all.
fn cost(phase: Phase, hybrid: &Arm, attention: &Arm) -> Option<Sentence> {
    let samples = [hybrid, attention].map(|arm| measured(phase, arm.cases));
    if samples.iter().any(Vec::is_empty) {
        return None;
    }
    let missing =
        |why: String| Some(Sentence::new(format!("Cost of {}, compared: ", noun(phase)), NOT_AVAILABLE, why));
    let Some(range) = common_range(phase, &samples) else {
        return missing(
            ", the two were not measured at two common lengths; give both the same of them.".into(),
        );
    };
    let [a, b] =
        [(hybrid, &samples[0]), (attention, &samples[1])].map(|(arm, at)| added(range, arm.theory, at));
    let (Some(a), Some(b)) = (a, b) else {
        return missing(format!(
            ", fewer than 3 samples at {} or {} tokens; give more --runs.",
            thousands(range.low.into()),
            thousands(range.high.into())
        ));
    };
    Some(match a.ms.value <= b.ms.value {
        true => sentence(range, (hybrid, &a), (attention, &b)),
        false => sentence(range, (attention, &b), (hybrid, &a)),
    })
}

fn noun(phase: Phase) -> &'static str {
    match phase {
        Phase::Prefill => "context",
        Phase::Decode => "depth",
    }
}

fn common_range(phase: Phase, samples: &[Vec<Measured>; 2]) -> Option<Range> {
    let shared = |at: &&Measured| samples[1].iter().any(|other| other.tokens == at.tokens);
    let tokens: Vec<u32> = samples[0].iter().filter(shared).map(|at| at.tokens).collect();
    let [low, .., high] = tokens.as_slice() else { return None };
    Some(Range { phase, low: *low, high: *high })
}

/// `None` where the samples are too few for an interval.
fn added(range: Range, theory: &Theory, samples: &[Measured]) -> Option<Added> {
    let at = |tokens: u32| samples.iter().find(|at| at.tokens == tokens);
    let (short, long) = (at(range.low)?, at(range.high)?);
    let difference = median(&long.ms_per_token)? - median(&short.ms_per_token)?;
    let work = |at: &Measured| theory.token_cost(range.phase, at.counted_tokens);
    Some(Added {
        ms: two_samples::interval(&long.ms_per_token, &short.ms_per_token, difference, |x, y| x - y)?,
        ratio: ratio(&long.ms_per_token, &short.ms_per_token)?,
        counted_ratio: work(long)? / work(short)?,
        counted: work(long)? - work(short)?,
    })
}

/// What the intervals of the two added times say; `small` has the smaller value.
fn finding(small: &Interval, large: &Interval) -> Finding {
    let level = small.level + large.level - 1.0; // Both hold their truth at least this often (Bonferroni).
    match (small.low > 0.0, large.low > 0.0, small.high < large.low) {
        (false, false, _) => Finding::NoCost,
        (_, _, false) => Finding::NoDifference,
        (true, _, true) => Finding::Times(Interval {
            value: large.value / small.value,
            low: large.low / small.high,
            high: large.high / small.low,
            level,
        }),
        (false, true, true) if small.high > 0.0 => Finding::AtLeast { factor: large.low / small.high, level },
        (false, true, true) => Finding::OnlyOnOne,
    }
}

fn sentence(range: Range, (small, a): (&Arm, &Added), (large, b): (&Arm, &Added)) -> Sentence {
    let noun = noun(range.phase);
    let capital = if range.phase == Phase::Prefill { "Context" } else { "Depth" };
    let (one, other) = (&small.name, &large.name);
    let detail = detail(range, a, b);
    let counted = match b.counted / a.counted {
        factor if a.counted > 0.0 && factor.is_finite() => format!("; counted {}", significant(factor)),
        _ => String::new(),
    };
    match finding(&a.ms, &b.ms) {
        Finding::Times(times) => Sentence::new(
            format!("{capital} costs "),
            format!("{} times less", significant(times.value)),
            format!(
                " on {one} than on {other} ({} interval {} to {}{counted}): {detail}",
                percent(times.level),
                significant(times.low),
                significant(times.high)
            ),
        ),
        Finding::AtLeast { factor, level } => Sentence::new(
            format!("{capital} costs "),
            format!("at least {} times less", significant(factor)),
            format!(" on {one} than on {other} (confidence {}{counted}): {detail}", percent(level)),
        ),
        Finding::OnlyOnOne => Sentence::new(
            "",
            format!("No cost of {noun}"),
            format!(" shown on {one}, unlike on {other}: {detail}"),
        ),
        Finding::NoDifference => Sentence::new(
            "",
            "No difference",
            format!(" shown in what {noun} costs on {one} and on {other}: {detail}"),
        ),
        Finding::NoCost => Sentence::new(
            "",
            format!("No cost of {noun}"),
            format!(" shown on either, {one} or {other}: {detail}"),
        ),
    }
}

fn detail(range: Range, a: &Added, b: &Added) -> String {
    let what = match range.phase {
        Phase::Prefill => "tokens of context, prefill of a token",
        Phase::Decode => "tokens in the cache, a decode step",
    };
    format!(
        "from {} to {} {what} grows by {}, against {}.",
        thousands(range.low.into()),
        thousands(range.high.into()),
        growth(a, None),
        growth(b, Some(a.ratio.level))
    )
}

/// The level of the interval is told where it is not the one `told` before.
fn growth(added: &Added, told: Option<f64>) -> String {
    let level = added.ratio.level;
    let level = if told == Some(level) { String::new() } else { format!("{} interval ", percent(level)) };
    let share = |ratio: f64| significant(100.0 * (ratio - 1.0));
    format!(
        "{} or {} % ({level}{} to {} %; counted {} %)",
        milliseconds(added.ms.value),
        share(added.ratio.value),
        share(added.ratio.low),
        share(added.ratio.high),
        share(added.counted_ratio)
    )
}

/// What is kept per sequence; counted, so without an interval.
fn memory(hybrid: &Arm, attention: &Arm) -> Sentence {
    let [a, b] = [hybrid, attention].map(|arm| bytes(arm.theory.cache_bytes.per_token));
    let state = bytes(hybrid.theory.cache_bytes.constant);
    Sentence::new(
        "A token in the cache takes ",
        format!("{a} against {b}"),
        format!(" (counted); {} keeps {state} of state beside it at any length.", hybrid.name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(low: f64, high: f64) -> Interval {
        Interval { value: (low + high) / 2.0, low, high, level: 0.95 }
    }

    #[test]
    fn a_factor_has_an_interval_from_the_far_ends_of_both() {
        let Finding::Times(times) = finding(&interval(1.0, 3.0), &interval(6.0, 10.0)) else {
            panic!("both grow, and apart");
        };
        assert_eq!((times.value, times.low, times.high), (4.0, 2.0, 10.0));
        assert!((times.level - 0.9).abs() < 1e-12);
    }

    #[test]
    fn overlapping_intervals_show_no_difference() {
        assert_eq!(finding(&interval(1.0, 6.0), &interval(5.0, 10.0)), Finding::NoDifference);
        assert_eq!(finding(&interval(-1.0, 6.0), &interval(5.0, 10.0)), Finding::NoDifference);
    }

    #[test]
    fn a_cost_that_may_be_zero_gives_a_least_factor_or_none() {
        let Finding::AtLeast { factor, level } = finding(&interval(-1.0, 2.0), &interval(8.0, 10.0)) else {
            panic!("the smaller may be 0");
        };
        assert!(factor == 4.0 && (level - 0.9).abs() < 1e-12);
        assert_eq!(finding(&interval(-2.0, -1.0), &interval(8.0, 10.0)), Finding::OnlyOnOne);
    }

    #[test]
    fn what_grows_on_neither_is_said_so_whether_or_not_they_differ() {
        assert_eq!(finding(&interval(-1.0, 1.0), &interval(-0.5, 2.0)), Finding::NoCost);
        assert_eq!(finding(&interval(-9.0, -8.0), &interval(-1.0, 2.0)), Finding::NoCost);
    }
}
