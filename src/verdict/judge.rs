//! The rules: which reasons for doubt apply to a case, and to a run.
//!
//! Comes in: plain numbers. Goes out: a stamp. Not here: measuring any of them, wording.
//! A fact that could not be read is `None` and raises no reason: nobody is accused unseen.

use super::reasons;
use super::validity::{Reason, Status, Validity};
use crate::stats::estimate::{Estimate, LEVEL};
use crate::stats::outliers::outliers;

/// Share of the box's processor time taken by others that is worth a caveat, and that spoils a case.
const OTHERS: [f64; 2] = [0.05, 0.25];
/// Loss of clock that is worth a caveat, and that spoils a case.
const CLOCK_LOSS: [f64; 2] = [0.05, 0.25];
/// Growth of swap that is worth a caveat, and that spoils a case, in bytes.
const SWAP: [f64; 2] = [(1 << 20) as f64, (64 << 20) as f64];
/// Load average above the engine's own threads that is worth a caveat.
const EXTRA_LOAD: f64 = 0.5;
/// By how much of the others' median the first sample must lie beyond the slowest of them to be called slow.
const FIRST_RUN_MARGIN: f64 = 0.05;
/// Share by which stages may be off the time that they are part of.
const STAGES_AGREE: f64 = 0.01;

/// What is known about one case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CaseFacts {
    /// The headline metric of every complete sample, in the order taken: TTFT in ms, or TPOT
    /// in scenario `decode`.
    pub headline_ms: Vec<f64>,
    /// Requests that failed.
    pub failed: u32,
    /// Warm-up runs before the first sample.
    pub warmups: u32,
    /// Whether warm-up came to rest; `None` if there was none to judge.
    pub settled: Option<bool>,
    /// Half the interval's width that was aimed at, relative to the median; `None` where a
    /// number of runs was asked for instead.
    pub target_half_width: Option<f64>,
    /// Share of the box's processor time that other processes took during the case.
    pub others_share: Option<f64>,
    /// One-minute load average at the end of the case.
    pub load_average: Option<f64>,
    /// Threads of the engine.
    pub threads: Option<u32>,
    /// Bytes by which swap in use grew during the case.
    pub swap_growth_bytes: Option<u64>,
    /// Clock at the end of the case over the clock at its beginning, both under load.
    pub clock_ratio: Option<f64>,
    /// Whether every output was finite; `None` if nobody looked.
    pub output_finite: Option<bool>,
    /// Whether a cache served part of a prompt where none was asked for.
    pub prefix_reused: bool,
    /// The length asked for, where the prompt had to be cut to fit it.
    pub truncated_to: Option<u32>,
    /// Whether the prompt went in as plain text for want of a chat template.
    pub no_chat_template: bool,
    /// By what share of the time to the first token its stages are off, one a sample that has stages.
    pub stages_off: Vec<f64>,
    /// Whether the case ended for want of memory.
    pub out_of_memory: bool,
    /// What the card did, where one ran.
    pub card: CardFacts,
}

/// What is known about the card that a case ran on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CardFacts {
    /// Its lowest clock over its highest, both right after a sample.
    pub clock_ratio: Option<f64>,
    /// What held its clocks below what they could be, in words.
    pub held: Vec<String>,
    /// What made its hardware slow it down by half or more, in words.
    pub slowed: Vec<String>,
    /// Processes other than this one that had it open for computing.
    pub other_processes: u32,
    /// What they held of its memory; `None` where one of them did not tell.
    pub other_bytes: Option<u64>,
}

/// What is known about a whole run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFacts {
    /// Whether the program was built without optimisation.
    pub debug_build: bool,
    /// Whether some weights are random.
    pub random_weights: bool,
    /// Whether random weights choose among some model's experts.
    pub random_routing: bool,
    /// Why random weights stood in for real ones that were wanted, as a clause.
    pub fallback: Option<String>,
    /// Whether some model's ids came from the stand-in tokenizer.
    pub stand_in_tokenizer: bool,
    /// Whether one request ran at a time.
    pub single_stream: bool,
    /// Whether the run was stopped before its plan was done.
    pub interrupted: bool,
}

/// The stamp on a case.
pub fn judge_case(facts: &CaseFacts) -> Validity {
    stamp([series(facts), machine(facts), card(&facts.card), content(facts)].concat())
}

/// The stamp on a run: its own reasons, then each reason of its cases once.
///
/// A reason of some cases weighs no more than a caveat on the run, unless every case is
/// invalid: one spoilt case does not spoil the others.
pub fn judge_run(cases: &[Validity], facts: &RunFacts) -> Validity {
    let own = [
        facts.debug_build.then(reasons::debug_build),
        facts.fallback.as_deref().map(reasons::fallback_to_random_weights),
        facts.random_weights.then(reasons::random_weights),
        facts.random_routing.then(reasons::random_routing),
        facts.stand_in_tokenizer.then(reasons::stand_in_tokenizer),
        facts.single_stream.then(reasons::single_stream),
        facts.interrupted.then(reasons::interrupted),
        cases.is_empty().then(reasons::no_samples),
    ];
    let mut validity = stamp(own.into_iter().flatten().collect());
    let all_invalid = cases.iter().all(|case| case.status == Status::Invalid);
    for reason in cases.iter().flat_map(|case| &case.reasons) {
        if !validity.reasons.iter().any(|known| known.code == reason.code) {
            validity.add(over_cases(reason, cases, all_invalid));
        }
    }
    validity
}

/// A case's reason as it reads on the run.
fn over_cases(reason: &Reason, cases: &[Validity], all_invalid: bool) -> Reason {
    let has = |case: &&Validity| case.reasons.iter().any(|other| other.code == reason.code);
    let bearers: Vec<&Validity> = cases.iter().filter(has).collect();
    let worst = bearers.iter().flat_map(|case| &case.reasons).filter(|other| other.code == reason.code);
    let worst = worst.max_by_key(|other| other.status).unwrap_or(reason);
    let status = if all_invalid { worst.status } else { worst.status.min(Status::Caveat) };
    let text = match (bearers.len(), cases.len()) {
        (_, 1) => worst.text.clone(),
        (some, all) => format!("In {some} of {all} cases; one of them: {}", worst.text),
    };
    Reason { code: worst.code.clone(), status, text }
}

/// Reasons that lie in the samples themselves.
fn series(facts: &CaseFacts) -> Vec<Reason> {
    let n = facts.headline_ms.len() as u32;
    let apart = outliers(&facts.headline_ms).len() as u32;
    [
        (facts.failed > 0).then(|| reasons::failed_samples(facts.failed, facts.failed + n)),
        facts.out_of_memory.then(|| reasons::out_of_memory(n)),
        (n == 0 && facts.failed == 0).then(reasons::no_samples),
        (facts.settled == Some(false)).then(|| reasons::not_settled(facts.warmups)),
        first_run_slow(&facts.headline_ms),
        too_few_samples(facts),
        (apart > 0).then(|| reasons::outliers(apart, n)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Reasons that lie in the box.
fn machine(facts: &CaseFacts) -> Vec<Reason> {
    let loss = facts.clock_ratio.map(|ratio| 1.0 - ratio);
    let swap = facts.swap_growth_bytes;
    [
        loss.and_then(|loss| Some(reasons::throttled(loss, weight(loss, CLOCK_LOSS)?))),
        busy(facts),
        swap.and_then(|bytes| Some(reasons::swap_used(bytes, weight(bytes as f64, SWAP)?))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Reasons that lie in the card.
fn card(facts: &CardFacts) -> Vec<Reason> {
    let loss = facts.clock_ratio.map(|ratio| 1.0 - ratio);
    let others = facts.other_processes;
    [
        loss.and_then(|loss| Some(reasons::throttled(loss, weight(loss, CLOCK_LOSS)?))),
        (!facts.slowed.is_empty()).then(|| reasons::card_slowed(&facts.slowed)),
        (!facts.held.is_empty()).then(|| reasons::card_held(&facts.held)),
        (others > 0).then(|| reasons::shared_card(others, facts.other_bytes)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Reasons that lie in what went in and came out.
fn content(facts: &CaseFacts) -> Vec<Reason> {
    [
        (facts.output_finite == Some(false)).then(reasons::output_not_finite),
        facts.prefix_reused.then(reasons::prefix_reuse),
        facts.truncated_to.map(reasons::context_truncated),
        facts.no_chat_template.then(reasons::no_chat_template),
        stages_disagree(&facts.stages_off),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The first sample is slow if it lies beyond the slowest of at least two others by more than
/// the whole spread of those, and by more than 5 % of their median.
fn first_run_slow(values: &[f64]) -> Option<Reason> {
    let (first, others) = values.split_first().filter(|(_, others)| others.len() >= 2)?;
    let others = Estimate::of(others)?;
    let margin = (others.max - others.min).max(FIRST_RUN_MARGIN * others.median);
    (*first > others.max + margin).then(|| reasons::first_run_slow(*first, others.max))
}

fn too_few_samples(facts: &CaseFacts) -> Option<Reason> {
    let estimate = Estimate::of(&facts.headline_ms)?;
    if estimate.ci_level != Some(LEVEL) {
        return Some(reasons::too_few_samples(estimate.n));
    }
    let (half_width, target) = (estimate.relative_half_width()?, facts.target_half_width?);
    (half_width > target).then(|| reasons::interval_too_wide(half_width, target, estimate.n))
}

/// The share of others where it is known; the load average, which cannot tell whose it is, where not.
fn busy(facts: &CaseFacts) -> Option<Reason> {
    if let Some(share) = facts.others_share {
        return Some(reasons::busy_machine(share, weight(share, OTHERS)?));
    }
    let (load, threads) = (facts.load_average?, facts.threads?);
    (load > f64::from(threads) + EXTRA_LOAD).then(|| reasons::high_load(load, threads))
}

/// Caveat from the first bound on, invalid from the second; `None` below both.
fn weight(amount: f64, [caveat, invalid]: [f64; 2]) -> Option<Status> {
    match amount {
        a if a >= invalid => Some(Status::Invalid),
        a if a >= caveat => Some(Status::Caveat),
        _ => None,
    }
}

fn stamp(reasons: Vec<Reason>) -> Validity {
    let mut validity = Validity::default();
    for reason in reasons {
        validity.add(reason);
    }
    validity
}

/// Samples whose stages do not add up to the time that was measured beside them.
fn stages_disagree(off: &[f64]) -> Option<Reason> {
    let beyond: Vec<f64> = off.iter().copied().filter(|share| *share > STAGES_AGREE).collect();
    let worst = beyond.iter().copied().reduce(f64::max)?;
    Some(reasons::stages_disagree(beyond.len(), worst))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CALM: [f64; 8] = [100.0, 101.0, 99.0, 100.5, 99.5, 100.2, 99.8, 100.1];

    fn calm() -> CaseFacts {
        CaseFacts {
            headline_ms: CALM.to_vec(),
            warmups: 3,
            settled: Some(true),
            target_half_width: Some(0.05),
            others_share: Some(0.01),
            load_average: Some(9.0),
            threads: Some(2),
            swap_growth_bytes: Some(0),
            clock_ratio: Some(0.99),
            output_finite: Some(true),
            ..CaseFacts::default()
        }
    }

    fn codes(validity: &Validity) -> Vec<&str> {
        validity.reasons.iter().map(|reason| reason.code.as_str()).collect()
    }

    #[test]
    fn a_calm_case_is_valid_and_what_nobody_knows_raises_nothing() {
        assert_eq!(judge_case(&calm()), Validity::default());
        let unknown = CaseFacts { headline_ms: CALM.to_vec(), ..CaseFacts::default() };
        assert_eq!(judge_case(&unknown), Validity::default());
    }

    #[test]
    fn each_fact_raises_its_own_reason() {
        let set = |change: fn(&mut CaseFacts)| {
            let mut facts = calm();
            change(&mut facts);
            facts
        };
        let table = [
            (set(|f| f.failed = 1), "failed_samples", Status::Caveat),
            (set(|f| f.settled = Some(false)), "not_settled", Status::Caveat),
            (set(|f| f.headline_ms = vec![1.0, 1.0]), "too_few_samples", Status::Caveat),
            (set(|f| f.headline_ms = vec![1.0; 5]), "too_few_samples", Status::Caveat),
            (set(|f| f.target_half_width = Some(0.001)), "too_few_samples", Status::Caveat),
            (set(|f| f.headline_ms[4] = 150.0), "outliers", Status::Caveat),
            (set(|f| f.others_share = Some(0.06)), "busy_machine", Status::Caveat),
            (set(|f| f.others_share = Some(0.5)), "busy_machine", Status::Invalid),
            (set(|f| f.others_share = None), "busy_machine", Status::Caveat),
            (set(|f| f.swap_growth_bytes = Some(2 << 20)), "swap_used", Status::Caveat),
            (set(|f| f.swap_growth_bytes = Some(1 << 30)), "swap_used", Status::Invalid),
            (set(|f| f.clock_ratio = Some(0.9)), "throttled", Status::Caveat),
            (set(|f| f.clock_ratio = Some(0.5)), "throttled", Status::Invalid),
            (set(|f| f.output_finite = Some(false)), "output_not_finite", Status::Invalid),
            (set(|f| f.prefix_reused = true), "prefix_reuse", Status::Invalid),
            (set(|f| f.truncated_to = Some(64)), "context_truncated", Status::Caveat),
            (set(|f| f.no_chat_template = true), "no_chat_template", Status::Caveat),
            (set(|f| f.stages_off = vec![0.002, 0.03]), "stages_disagree", Status::Caveat),
            (set(|f| f.headline_ms = vec![]), "no_samples", Status::Invalid),
            (set(|f| f.out_of_memory = true), "out_of_memory", Status::Caveat),
            (set(|f| f.card.clock_ratio = Some(0.9)), "throttled", Status::Caveat),
            (set(|f| f.card.clock_ratio = Some(0.5)), "throttled", Status::Invalid),
            (set(|f| f.card.held = vec!["heat".into()]), "card_held", Status::Caveat),
            (set(|f| f.card.slowed = vec!["heat".into()]), "card_slowed", Status::Invalid),
            (set(|f| f.card.other_processes = 1), "shared_card", Status::Caveat),
        ];
        for (facts, code, status) in table {
            let validity = judge_case(&facts);
            assert_eq!((codes(&validity), validity.status), (vec![code], status));
        }
    }

    #[test]
    fn the_first_run_is_slow_only_beyond_the_spread_of_the_others() {
        assert!(first_run_slow(&[120.0, 100.0, 101.0, 99.0]).is_some());
        assert!(first_run_slow(&[104.0, 100.0, 100.0, 100.0]).is_none(), "within 5 %");
        assert!(first_run_slow(&[120.0, 90.0, 112.0, 100.0]).is_none(), "within the spread");
        assert!(first_run_slow(&[100.0, 120.0, 100.0, 101.0]).is_none(), "another is slow");
        assert!(first_run_slow(&[900.0, 100.0]).is_none(), "one other says nothing");
    }

    #[test]
    fn one_spoilt_case_is_a_caveat_on_the_run_and_all_of_them_spoil_it() {
        let spoilt = judge_case(&CaseFacts { output_finite: Some(false), ..calm() });
        let run = judge_run(&[Validity::default(), spoilt.clone()], &RunFacts::default());
        assert_eq!((codes(&run), run.status), (vec!["output_not_finite"], Status::Caveat));
        assert!(run.reasons[0].text.starts_with("In 1 of 2 cases; one of them: The model's"), "{run:?}");
        let run = judge_run(&[spoilt.clone(), spoilt], &RunFacts::default());
        assert_eq!((run.reasons.len(), run.status), (1, Status::Invalid));
    }

    #[test]
    fn facts_of_the_run_stand_first_and_a_debug_build_spoils_all() {
        let facts = RunFacts {
            debug_build: true,
            random_weights: true,
            random_routing: true,
            fallback: Some("the hub did not answer".into()),
            stand_in_tokenizer: true,
            single_stream: true,
            interrupted: true,
        };
        let run = judge_run(&[Validity::default()], &facts);
        assert_eq!(run.status, Status::Invalid);
        let expected = [
            "debug_build",
            "fallback_to_random_weights",
            "random_weights",
            "random_routing",
            "stand_in_tokenizer",
            "single_stream",
            "interrupted",
        ];
        assert_eq!(codes(&run), expected);
        assert_eq!(codes(&judge_run(&[], &RunFacts::default())), ["no_samples"]);
    }

    proptest! {
        #[test]
        fn more_trouble_never_makes_a_case_more_trustworthy(
            share in 0.0..1.0f64, more in 0.0..1.0f64, loss in 0.0..1.0f64, swap in 0u64..1 << 33,
        ) {
            let facts = CaseFacts { others_share: Some(share), ..calm() };
            let worse = CaseFacts {
                others_share: Some(share + more),
                clock_ratio: Some(1.0 - loss),
                swap_growth_bytes: Some(swap),
                ..calm()
            };
            prop_assert!(judge_case(&worse).status >= judge_case(&facts).status);
        }
    }
}
