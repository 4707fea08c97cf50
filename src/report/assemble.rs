//! Everything a run knows to a [`Document`]: the only writer of its fields.

use super::definitions::definitions;
use super::document::{Case, Document, Fit, LeftOut, ModelRecord, SCHEMA_VERSION};
use super::during::CardDuring;
use super::experiment::Experiment;
use super::fits::fits;
use super::roof::{self, Roof};
use super::summarise::{Limits, summarise};
use super::theory::Counts;
use crate::environment::card::Severity;
use crate::environment::{Environment, Tool};
use crate::model::shape::ModelShape;
use crate::sample::Sample;
use crate::sample::case::{CaseProgress, Kind};
use crate::verdict::judge::{CardFacts, CaseFacts, RunFacts, judge_case, judge_run};
use crate::verdict::validity::Validity;

/// What stays the same during a run.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// The program.
    pub tool: Tool,
    /// When it began, RFC 3339 in UTC.
    pub started_at: String,
    /// The command as typed.
    pub command: Vec<String>,
    /// The box.
    pub environment: Environment,
    /// Seed of everything.
    pub seed: u64,
    /// Models, in the order they were named.
    pub models: Vec<ModelRecord>,
    /// Half the interval's width aimed at; `None` where a number of runs was asked for.
    pub target_half_width: Option<f64>,
    /// What is known about the whole run.
    pub facts: RunFacts,
}

/// One model in one weight type, and what was taken for it.
pub struct ArmRecord<'a> {
    /// [`ModelRecord::id`].
    pub model: &'a str,
    /// As in [`Case::quantization`].
    pub quantization: &'a str,
    /// Type of the activations.
    pub dtype: &'a str,
    /// Device.
    pub device: &'a str,
    /// Its shape.
    pub shape: &'a ModelShape,
    /// Attention implementation, once it was loaded.
    pub attention_path: Option<&'a str>,
    /// Bytes of weights that a decode step reads, once it was loaded.
    pub decode_weight_bytes: Option<u64>,
    /// What the weights take in memory.
    pub weights_bytes: Option<u64>,
    /// Cache bytes per token.
    pub kv_bytes_per_token: u64,
    /// Why it could not be loaded.
    pub error: Option<&'a str>,
    /// Its cases.
    pub cases: &'a [CaseProgress],
}

/// Puts a document together; cases without a sample and without an error are left away.
pub fn assemble(record: &RunRecord, arms: &[ArmRecord<'_>], left_out: Vec<LeftOut>) -> Document {
    let cases: Vec<Case> = arms
        .iter()
        .flat_map(|arm| arm.cases.iter().map(move |progress| (arm, progress)))
        .filter(|(arm, progress)| has_result(arm, progress))
        .map(|(arm, progress)| case(record, arm, progress))
        .collect();
    let stamps: Vec<Validity> = cases.iter().map(|case| case.validity.clone()).collect();
    Document {
        schema_version: SCHEMA_VERSION,
        tool: record.tool.clone(),
        started_at: record.started_at.clone(),
        command: record.command.clone(),
        environment: record.environment.clone(),
        definitions: definitions(),
        seed: record.seed,
        models: record.models.clone(),
        fits: all_fits(record, arms, &cases),
        cases,
        left_out,
        longest_contexts: Vec::new(),
        start_up: None,
        experiment: Experiment::default(),
        interrupted: record.facts.interrupted,
        validity: judge_run(&stamps, &record.facts),
    }
}

/// The laws of every arm, and its roof.
fn all_fits(record: &RunRecord, arms: &[ArmRecord<'_>], cases: &[Case]) -> Vec<Fit> {
    let arm_of = |[model, quantization, device]: [&str; 3]| {
        let same =
            |arm: &&ArmRecord<'_>| [arm.model, arm.quantization, arm.device] == [model, quantization, device];
        arms.iter().find(same)
    };
    let counts_of = |case: &Case| arm_of([&case.model, &case.quantization, &case.device]).map(counts);
    let roof_of =
        |fit: &Fit| roof(&record.environment, arm_of([&fit.model, &fit.quantization, &fit.device])?);
    let fits = fits(cases, record.seed, &counts_of);
    fits.into_iter().map(|fit| Fit { roof: roof_of(&fit), ..fit }).collect()
}

/// What is counted for an arm.
fn counts<'a>(arm: &ArmRecord<'a>) -> Counts<'a> {
    Counts {
        shape: arm.shape,
        decode_weight_bytes: arm.decode_weight_bytes,
        kv_bytes_per_token: arm.kv_bytes_per_token,
    }
}

/// What the box allows an arm; `None` where no rate was measured.
fn roof(environment: &Environment, arm: &ArmRecord<'_>) -> Option<Roof> {
    let operand = roof::operand(arm.quantization, arm.dtype);
    let roof = Roof::of(&counts(arm), operand, environment);
    (roof.prefill_ms.is_some() || roof.decode_ms.is_some()).then_some(roof)
}

/// The median length of its prompts, which in `ctxbench run` all have the same.
fn typical_tokens(progress: &CaseProgress) -> u32 {
    let mut counts: Vec<u32> = progress.samples.iter().map(|s| s.prompt_tokens).filter(|n| *n > 0).collect();
    counts.sort();
    counts.get(counts.len() / 2).copied().unwrap_or(progress.spec.tokens)
}

fn has_result(arm: &ArmRecord<'_>, progress: &CaseProgress) -> bool {
    !progress.samples.is_empty() || progress.error.is_some() || arm.error.is_some()
}

fn case(record: &RunRecord, arm: &ArmRecord<'_>, progress: &CaseProgress) -> Case {
    let spec = &progress.spec;
    let flops = |tokens| arm.shape.prefill_flops(tokens);
    let environment = &record.environment;
    let roof = roof(environment, arm).and_then(|roof| roof.prefill_ms);
    let prefill_limit_ms = |tokens| roof.map(|roof| roof.at(tokens as f64));
    let limits = Limits {
        decode_constant_bytes: arm
            .decode_weight_bytes
            .map(|bytes| bytes + 2 * arm.shape.constant_state_bytes()),
        kv_bytes_per_token: arm.kv_bytes_per_token,
        prefill_flops: &flops,
        prefill_limit_ms: &prefill_limit_ms,
        bandwidth: environment.memory_bandwidth_bytes_per_s,
        matmul_rate: roof::rate(environment, roof::operand(arm.quantization, arm.dtype)),
    };
    Case {
        id: format!("{}/{}/{}", arm.model, arm.quantization, spec.label()),
        model: arm.model.into(),
        quantization: arm.quantization.into(),
        dtype: arm.dtype.into(),
        device: arm.device.into(),
        attention_path: arm.attention_path.unwrap_or("not loaded").into(),
        scenario: spec.kind.name().into(),
        context_tokens: spec.tokens,
        prompt_tokens: typical_tokens(progress),
        output_tokens: spec.output_tokens,
        depth_tokens: (spec.kind == Kind::Decode).then_some(spec.tokens),
        peak_memory_bytes: progress.observed.iter().filter_map(|o| o.peak_memory_bytes).max(),
        weights_bytes: arm.weights_bytes,
        samples: progress.samples.clone(),
        warmups: progress.warmups_s.len() as u32,
        summary: summarise(spec.kind, &progress.samples, &limits),
        validity: judge_case(&case_facts(record, progress)),
        error: arm.error.map(Into::into).or_else(|| progress.error.clone()),
        out_of_memory: progress.out_of_memory,
        card: CardDuring::of(progress),
    }
}

fn case_facts(record: &RunRecord, progress: &CaseProgress) -> CaseFacts {
    let failed = progress.samples.iter().filter(|s| !s.is_complete()).count() as u32;
    let shares: Vec<f64> = progress.observed.iter().filter_map(|o| o.others_share).collect();
    let clocks: Vec<f64> = progress.observed.iter().filter_map(|o| o.clock_mhz).collect();
    let swap: Vec<u64> = progress.observed.iter().filter_map(|o| o.swap_growth_bytes).collect();
    CaseFacts {
        headline_ms: progress.headline_ms(),
        failed: failed + u32::from(progress.error.is_some() && failed == 0),
        warmups: progress.warmups_s.len() as u32,
        settled: progress.settled,
        target_half_width: record.target_half_width,
        others_share: crate::stats::percentile::median(&shares),
        threads: record.environment.threads,
        swap_growth_bytes: (!swap.is_empty()).then(|| swap.iter().sum()),
        clock_ratio: clocks.first().zip(clocks.last()).map(|(first, last)| last / first),
        output_finite: progress.output_finite,
        truncated_to: progress.truncated.then_some(progress.spec.tokens),
        no_chat_template: progress.no_chat_template,
        stages_off: progress.samples.iter().filter_map(stages_off).collect(),
        out_of_memory: progress.out_of_memory,
        card: card_facts(progress),
        ..CaseFacts::default()
    }
}

/// What a card did to a case.
fn card_facts(progress: &CaseProgress) -> CardFacts {
    let Some(during) = CardDuring::of(progress) else { return CardFacts::default() };
    let words = |severity| -> Vec<String> {
        let reasons = during.throttle_reasons.iter().flatten().filter(|reason| reason.severity() == severity);
        reasons.map(|reason| reason.words().to_owned()).collect()
    };
    let others = during.other_processes.as_deref().unwrap_or_default();
    CardFacts {
        clock_ratio: during.sm_clock_mhz.filter(|clock| clock.high > 0.0).map(|clock| clock.low / clock.high),
        held: words(Severity::Held),
        slowed: words(Severity::Slowed),
        other_processes: others.len() as u32,
        other_bytes: others.iter().map(|process| process.memory_bytes).sum(),
    }
}

/// By what share of the measured time the stages of a sample are off, where they have both.
fn stages_off(sample: &Sample) -> Option<f64> {
    let whole = sample.rag_ttft_ms.filter(|ms| *ms > 0.0)?;
    Some((sample.stages_ms?.sum() - whole).abs() / whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shape::qwen3_0_6b;

    fn arm<'a>(shape: &'a ModelShape, quantization: &'a str) -> ArmRecord<'a> {
        ArmRecord {
            model: "m",
            quantization,
            dtype: "f32",
            device: "cpu",
            shape,
            attention_path: None,
            decode_weight_bytes: None,
            weights_bytes: None,
            kv_bytes_per_token: 1,
            error: None,
            cases: &[],
        }
    }

    #[test]
    fn an_arm_is_held_against_the_rate_of_its_own_type_and_against_none_without_rates() {
        let shape = qwen3_0_6b();
        let rates = [("f32", 2e11), ("int8", 4e11)].map(|(name, rate)| (name.to_owned(), rate));
        let environment = Environment { matmul_flops_per_s: rates.into(), ..Environment::default() };
        let head = 2.0 * shape.head_parameters() as f64;
        let constant = |quantization| {
            let roof = roof(&environment, &arm(&shape, quantization))?;
            Some(roof.prefill_ms?.constant)
        };
        assert_eq!(constant("q4_k"), Some(1000.0 * head / 4e11));
        assert_eq!(constant("file:F16"), Some(1000.0 * head / 2e11));
        assert_eq!(roof(&Environment::default(), &arm(&shape, "q4_k")), None);
    }
}
