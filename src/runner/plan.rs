//! Which cases an arm gets, and what the whole will take: pure counting, before anything is loaded.

use std::time::Duration;

use crate::cli::Scenario;
use crate::config::{Lengths, RunConfig};
use crate::sample::case::{CaseSpec, Kind, Wish};

/// Lengths that an arm can hold, and what keeps it from more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Longest prompt with its output that the model was made for.
    pub max_positions: u32,
    /// Longest that fits the memory; `None` if not one token does.
    pub memory: Option<u32>,
    /// Whose memory that is, e.g. `this box's`.
    pub whose: &'static str,
}

/// What one arm is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArmPlan {
    /// In order.
    pub cases: Vec<CaseSpec>,
    /// Lengths of the default plan that it cannot hold, with the reason.
    pub too_long: Vec<TooLong>,
}

/// A case of the default plan that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The case.
    pub spec: CaseSpec,
    /// Why.
    pub why: String,
}

/// Lays out the cases of an arm whose short prompts have `short_tokens`.
///
/// Errors if a length that the user named cannot be held; the sentence says the longest that can.
pub fn plan(config: &RunConfig, name: &str, short_tokens: u32, room: Room) -> anyhow::Result<ArmPlan> {
    let mut plan = ArmPlan::default();
    for scenario in &config.scenarios {
        let (kind, lengths) = match scenario {
            Scenario::Short => (Kind::Short, Lengths::Named(vec![short_tokens])),
            Scenario::Rag => (Kind::Rag, config.contexts.clone()),
            Scenario::Decode => (Kind::Decode, config.depths.clone()),
        };
        let (lengths, asked_for) = match lengths {
            Lengths::Named(lengths) => (lengths, Wish::User),
            Lengths::Default(lengths) => (lengths, Wish::Plan),
        };
        for tokens in lengths {
            let spec = CaseSpec { kind, tokens, output_tokens: config.output_tokens, asked_for };
            match (room.refusal(&spec), asked_for) {
                (None, _) => plan.cases.push(spec),
                (Some(why), Wish::Plan) => plan.too_long.push(TooLong { spec, why }),
                (Some(why), Wish::User) => anyhow::bail!("{name} at {} tokens: {why}", spec.tokens),
            }
        }
    }
    Ok(plan)
}

impl Room {
    /// Why a case does not fit, if it does not.
    fn refusal(&self, spec: &CaseSpec) -> Option<String> {
        let needed = spec.tokens.saturating_add(spec.output_tokens);
        if needed > self.max_positions {
            let largest = self.max_positions.saturating_sub(spec.output_tokens);
            let remedy = match spec.kind {
                Kind::Rag | Kind::Decode if largest > 0 => format!("the largest context is {largest}"),
                _ => "lower --output-tokens".into(),
            };
            return Some(format!(
                "with {} output tokens that is {needed} positions, and the model was made for {}; {remedy}",
                spec.output_tokens, self.max_positions,
            ));
        }
        match self.memory {
            None => Some(format!(
                "the model itself does not fit {} free memory; take a smaller model or quantization",
                self.whose
            )),
            Some(fits) if needed > fits => Some(format!(
                "weights and cache would not fit {} free memory; the largest context that does is {}",
                self.whose,
                fits.saturating_sub(spec.output_tokens)
            )),
            Some(_) => None,
        }
    }
}

/// Rates for an estimate before anything ran.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// FLOPs of prefill per second.
    pub prefill_flops_per_s: f64,
    /// Bytes read by decode per second.
    pub decode_bytes_per_s: f64,
}

/// Estimated time of the least number of samples of a case, with one warm-up.
pub fn estimate(spec: &CaseSpec, least: u32, flops: f64, step_bytes: f64, rates: Rates) -> Duration {
    let prefill = flops / rates.prefill_flops_per_s;
    let steps = f64::from(spec.output_tokens) * step_bytes / rates.decode_bytes_per_s;
    Duration::from_secs_f64(((prefill + steps) * f64::from(least + 1)).clamp(0.0, 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn config(line: &str) -> RunConfig {
        let words = ["ctxbench", "run"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words).unwrap().command {
            Command::Run(args) => RunConfig::new(&args).unwrap(),
            _ => panic!("not a run"),
        }
    }

    const ROOM: Room = Room { max_positions: 4096, memory: Some(100_000), whose: "this box's" };

    #[test]
    fn the_default_plan_keeps_what_the_model_can_hold_and_names_the_rest() {
        let plan = plan(&config(""), "m", 48, ROOM).unwrap();
        let labels: Vec<String> = plan.cases.iter().map(CaseSpec::label).collect();
        assert_eq!(labels, ["short/48", "rag/512", "rag/1024", "rag/2048"]);
        // 4,096 tokens of prompt leave no position for the output.
        assert_eq!(plan.too_long.len(), 4);
        assert!(plan.too_long[0].why.contains("largest context is 4064"), "{}", plan.too_long[0].why);
    }

    #[test]
    fn a_named_length_that_does_not_fit_is_an_error_that_says_the_largest() {
        let error = plan(&config("--context 4k"), "m", 48, ROOM).unwrap_err().to_string();
        assert!(error.contains("4096 tokens") && error.contains("4064"), "{error}");
        let little = Room { max_positions: 40_960, whose: "the card's", memory: Some(1000) };
        let error = plan(&config("--context 2k"), "m", 48, little).unwrap_err().to_string();
        assert!(error.contains("the card's free memory") && error.contains("968"), "{error}");
        let none = Room { max_positions: 40_960, memory: None, ..ROOM };
        assert!(plan(&config(""), "m", 48, none).unwrap_err().to_string().contains("smaller model"));
    }

    #[test]
    fn an_estimate_is_work_over_rate() {
        let spec = CaseSpec { kind: Kind::Rag, tokens: 100, output_tokens: 10, asked_for: Wish::Plan };
        let rates = Rates { prefill_flops_per_s: 1e9, decode_bytes_per_s: 1e9 };
        assert_eq!(estimate(&spec, 3, 2e9, 1e8, rates), Duration::from_secs(12));
    }
}
