//! The laws over the cases: one [`Fit`] per model, weight type and device.

use super::document::{Case, Fit, RatioAt};
use super::summarise::mean_depth;
use super::theory::{Counts, Theory};
use crate::sample::Sample;
use crate::stats::fit::{Point, fit, slope_per_1000};
use crate::stats::ratio::ratio;

/// Fits every group of cases; `seed` is the run's, `counts_of` knows the arm of a case.
pub fn fits<'a>(cases: &[Case], seed: u64, counts_of: &dyn Fn(&Case) -> Option<Counts<'a>>) -> Vec<Fit> {
    let mut fits: Vec<Fit> = Vec::new();
    for case in cases {
        let known = |fit: &Fit| same_group(fit, case);
        if !fits.iter().any(known) {
            let group: Vec<&Case> =
                cases.iter().filter(|other| belongs_with(case, other) && is_whole(other)).collect();
            let theory = counts_of(case).map(|counts| Theory::of(&counts, &group));
            fits.push(Fit { theory, ..fit_group(case, &group, seed) });
        }
    }
    fits
}

fn same_group(fit: &Fit, case: &Case) -> bool {
    fit.model == case.model && fit.quantization == case.quantization && fit.device == case.device
}

fn belongs_with(a: &Case, b: &Case) -> bool {
    a.model == b.model && a.quantization == b.quantization && a.device == b.device
}

/// Whether its prefill is all of its prompt: not where a prefix was cached or a router came first.
fn is_whole(case: &Case) -> bool {
    ["short", "rag", "decode", "padded"].contains(&case.scenario.as_str())
}

fn fit_group(first: &Case, group: &[&Case], seed: u64) -> Fit {
    let ttft = points(group, |s| Some((f64::from(s.prompt_tokens), s.ttft_ms?)));
    let tpot = points(group, |s| Some((mean_depth(s), s.tpot_ms()?)));
    Fit {
        model: first.model.clone(),
        quantization: first.quantization.clone(),
        device: first.device.clone(),
        ttft: fit(&ttft, seed),
        tpot: fit(&tpot, seed),
        ttft_ms_per_1000_tokens: slope_per_1000(&ttft, seed),
        tpot_ms_per_1000_tokens: slope_per_1000(&tpot, seed),
        rag_over_short_ttft: ratios(group),
        theory: None,
        roof: None,
    }
}

fn points(group: &[&Case], value: fn(&Sample) -> Option<(f64, f64)>) -> Vec<Point> {
    let samples = group.iter().flat_map(|case| &case.samples).filter(|s| s.is_complete());
    let point = |(tokens, value): (f64, f64)| Point { tokens: tokens.round() as u32, value };
    samples.filter_map(value).map(point).collect()
}

/// TTFT of each `rag` case over that of the `short` case.
fn ratios(group: &[&Case]) -> Vec<RatioAt> {
    let Some(short) = group.iter().find(|case| case.scenario == "short") else { return Vec::new() };
    let below = ttft(short);
    let at = |case: &&&Case| {
        let ratio = ratio(&ttft(case), &below)?;
        Some(RatioAt { context_tokens: case.prompt_tokens, short_tokens: short.prompt_tokens, ratio })
    };
    let mut ratios: Vec<RatioAt> =
        group.iter().filter(|case| case.scenario == "rag").filter_map(|c| at(&c)).collect();
    ratios.sort_by_key(|r| r.context_tokens);
    ratios
}

fn ttft(case: &Case) -> Vec<f64> {
    case.samples.iter().filter(|s| s.is_complete()).filter_map(|s| s.ttft_ms).collect()
}
