//! Every reason for doubt: its stable code, its weight, and a sentence that ends in the remedy.
//!
//! Comes in: what was seen, as numbers. Goes out: a [`Reason`]. Not here: when one applies
//! (that is [`super::judge`]'s).

use super::validity::{Reason, Status};
use crate::units;

fn reason(code: &str, status: Status, text: String) -> Reason {
    Reason { code: code.into(), status, text }
}

fn caveat(code: &str, text: String) -> Reason {
    reason(code, Status::Caveat, text)
}

fn invalid(code: &str, text: String) -> Reason {
    reason(code, Status::Invalid, text)
}

fn percent(share: f64) -> String {
    format!("{} %", units::significant(100.0 * share))
}

/// The program was built without optimisation.
pub fn debug_build() -> Reason {
    invalid(
        "debug_build",
        "This is a debug build, many times slower than what anyone would run; \
         measure with `cargo run --release -- run`."
            .into(),
    )
}

/// The clock of the processor or accelerator fell by `share` (0.2 is 20 %) during the case.
pub fn throttled(share: f64, status: Status) -> Reason {
    reason(
        "throttled",
        status.max(Status::Caveat),
        format!(
            "The clock fell by {} while this was measured, through heat or a power limit; \
             let the box cool, plug it in or fix its clocks, and measure again.",
            percent(share)
        ),
    )
}

/// Something held the card's clocks down after a sample; `why` is in words.
pub fn card_held(why: &[String]) -> Reason {
    caveat(
        "card_held",
        format!(
            "The card's clocks were held below what they could be ({}), so this is what it does under that limit; raise \
             its power limit or cool it, and measure again for more.",
            why.join(", ")
        ),
    )
}

/// The card's hardware braked it after a sample; `why` is in words.
pub fn card_slowed(why: &[String]) -> Reason {
    invalid(
        "card_slowed",
        format!(
            "The card's hardware halved its clocks or more ({}); look at its cooling and its power supply, and measure \
             again.",
            why.join(", ")
        ),
    )
}

/// `count` other processes had the card open, with `bytes` of its memory.
pub fn shared_card(count: u32, bytes: Option<u64>) -> Reason {
    let memory =
        bytes.map_or(String::new(), |bytes| format!(" and held {} of its memory", units::bytes(bytes)));
    let (who, them) = if count == 1 { ("Another process", "it") } else { ("Other processes", "them") };
    caveat(
        "shared_card",
        format!(
            "{who} ({count}) had the card open{memory} while this was measured; stop {them} (`nvidia-smi` names {them}) \
             and measure again."
        ),
    )
}

/// The device ran out of memory after `n` complete samples.
pub fn out_of_memory(n: u32) -> Reason {
    let status = if n == 0 { Status::Invalid } else { Status::Caveat };
    reason(
        "out_of_memory",
        status,
        format!(
            "The device ran out of memory after {n} complete samples of this case; its `error` says what \
             has fitted; take that, or a smaller quantization, and measure again."
        ),
    )
}

/// Other processes took `share` of the processor time of the box during the case.
pub fn busy_machine(share: f64, status: Status) -> Reason {
    reason(
        "busy_machine",
        status.max(Status::Caveat),
        format!(
            "Other processes took {} of the processor time while this was measured; \
             stop them and measure again.",
            percent(share)
        ),
    )
}

/// The load average stood `load` high where the engine itself runs `threads` threads.
pub fn high_load(load: f64, threads: u32) -> Reason {
    caveat(
        "busy_machine",
        format!(
            "The load average was {} where this program runs {threads} threads, so something else \
             was running; stop it and measure again.",
            units::significant(load)
        ),
    )
}

/// Memory of `bytes` went to swap during the case.
pub fn swap_used(bytes: u64, status: Status) -> Reason {
    reason(
        "swap_used",
        status.max(Status::Caveat),
        format!(
            "{} went to swap while this was measured; use a smaller model, context or quantization, \
             or free memory, and measure again.",
            units::bytes(bytes)
        ),
    )
}

/// The first timed sample took `first_ms`, the slowest of the others `slowest_other_ms`.
pub fn first_run_slow(first_ms: f64, slowest_other_ms: f64) -> Reason {
    caveat(
        "first_run_slow",
        format!(
            "The first sample took {} and the slowest of the others {}, so warm-up was not over; \
             raise --max-time for a longer warm-up and measure again.",
            units::milliseconds(first_ms),
            units::milliseconds(slowest_other_ms)
        ),
    )
}

/// Warm-up ended after `warmups` runs without coming to rest.
pub fn not_settled(warmups: u32) -> Reason {
    caveat(
        "not_settled",
        format!(
            "The times were still moving after {warmups} warm-up runs; raise --max-time, \
             or look for what disturbs the box, and measure again."
        ),
    )
}

/// `n` samples, too few for an interval of 95 %.
pub fn too_few_samples(n: u32) -> Reason {
    let has = match n {
        0..=2 => "have no interval",
        3 => "give an interval that holds the median in 75 % of cases, not 95 %",
        4 => "give an interval that holds the median in 87.5 % of cases, not 95 %",
        _ => "give an interval that holds the median in 93.8 % of cases, not 95 %",
    };
    caveat("too_few_samples", format!("{n} samples {has}; raise --runs or --max-time to 6 samples or more."))
}

/// The interval of the median is ± `half_width` of it where ± `target` was aimed at.
pub fn interval_too_wide(half_width: f64, target: f64, n: u32) -> Reason {
    caveat(
        "too_few_samples",
        format!(
            "After {n} samples the median is known to ± {}, and ± {} was aimed at; \
             raise --max-time or --runs.",
            percent(half_width),
            percent(target)
        ),
    )
}

/// `count` of `n` samples stand far apart from the rest.
pub fn outliers(count: u32, n: u32) -> Reason {
    caveat(
        "outliers",
        format!(
            "{count} of {n} samples stand apart (modified z-score above 3.5); they are kept, and the \
             median hardly feels them, but look for what disturbs the box and measure again."
        ),
    )
}

/// Part of a prompt came from a cache where none was asked for.
pub fn prefix_reuse() -> Reason {
    invalid(
        "prefix_reuse",
        "Part of a prompt was served from a cache, so prefill was not measured in full; \
         switch prefix caching off, or ask for warm prompts by name."
            .into(),
    )
}

/// Logits or outputs held NaN or infinity.
pub fn output_not_finite() -> Reason {
    invalid(
        "output_not_finite",
        "The model's output held NaN or infinity, so it did not compute what it should; \
         check the files with `ctxbench fetch`, prove the engine with `ctxbench verify`, or try --dtype f32."
            .into(),
    )
}

/// The user asked for random weights.
pub fn random_weights() -> Reason {
    caveat(
        "random_weights",
        "The weights are seeded random numbers in the model's exact shape: speed and memory are valid, \
         text and quality are not testable here; use --weights hub for the real ones."
            .into(),
    )
}

/// Random weights choose among the experts of some model.
pub fn random_routing() -> Reason {
    caveat(
        "random_routing",
        "The routers of the experts are random and spread tokens nearly evenly, which real ones do not. A token \
         costs as many operations either way, but how many experts a prefill reads, and how well they stay in \
         caches, is not the real model's; use --weights hub for that."
            .into(),
    )
}

/// Random weights stood in since the real ones could not be had; `why` is a clause, e.g.
/// `the hub did not answer`.
pub fn fallback_to_random_weights(why: &str) -> Reason {
    caveat(
        "fallback_to_random_weights",
        format!(
            "Real weights were asked for, but {why}, and seeded random ones stood in; fetch the model \
             where the hub can be reached (`ctxbench fetch`), or insist with --weights hub."
        ),
    )
}

/// One request at a time was measured.
pub fn single_stream() -> Reason {
    caveat(
        "single_stream",
        "One request ran at a time: this is a floor for the box, not what an endpoint on it can carry; \
         do not multiply it by users, but measure the endpoint under load."
            .into(),
    )
}

/// Ids came from the stand-in and not from the model's tokenizer.
pub fn stand_in_tokenizer() -> Reason {
    caveat(
        "stand_in_tokenizer",
        "Prompts were cut by a stand-in tokenizer: token counts are exact, the text behind them is not \
         the model's, and tokenize_ms is not its tokenizer's; use a model with a tokenizer.json for that."
            .into(),
    )
}

/// The model has no chat template.
pub fn no_chat_template() -> Reason {
    caveat(
        "no_chat_template",
        "The model has no chat template, so prompts went in as plain text; \
         use an instruct model for prompts as an application sends them."
            .into(),
    )
}

/// A context of `asked` tokens was too short for the whole prompt.
pub fn context_truncated(asked: u32) -> Reason {
    caveat(
        "context_truncated",
        format!(
            "{} tokens are too few for passages, system text and question, so some were cut; \
             the speed is valid, the prompt is not a real one; ask for a longer --context.",
            units::tokens(asked)
        ),
    )
}

/// The run was stopped before its plan was done.
pub fn interrupted() -> Reason {
    caveat(
        "interrupted",
        "The run was stopped before its plan was done; `ctxbench run --resume` and its folder go on with a run, and \
         `ctxbench rag` begins again with the index it has."
            .into(),
    )
}

/// `failed` of `n` requests failed.
pub fn failed_samples(failed: u32, n: u32) -> Reason {
    let status = if failed >= n { Status::Invalid } else { Status::Caveat };
    reason(
        "failed_samples",
        status,
        format!(
            "{failed} of {n} requests failed and are in no summary; read their `error` in report.json, \
             mend what it names, and measure again."
        ),
    )
}

/// Nothing was measured.
pub fn no_samples() -> Reason {
    invalid("no_samples", "No sample was taken; read the case's `error`, or raise --max-time.".into())
}

/// A stand-in embedded; `why` the embedder that was wanted is not at hand, where one was.
pub fn stand_in_embedder(why: Option<&str>) -> Reason {
    let why = why.map_or(String::new(), |why| format!(" ({why})"));
    caveat(
        "stand_in_embedder",
        format!(
            "A stand-in that counts words embedded the texts{why}: what retrieval finds and what embedding costs say \
             nothing of a real embedder; fetch one with `ctxbench fetch all-minilm-l6-v2`."
        ),
    )
}

/// `perturbed` of `chunks` vectors were made from others' instead of from their texts.
pub fn perturbed_vectors(perturbed: u64, chunks: u64) -> Reason {
    caveat(
        "perturbed_vectors",
        format!(
            "{perturbed} of the {chunks} vectors in the index are seeded perturbations of real embeddings, so search \
             times hold and what is found among them means nothing; --embed-all embeds every chunk."
        ),
    )
}

/// No adapter was given, so base weights stand in for a tuned model.
pub fn base_weights_stand_in() -> Reason {
    caveat(
        "base_weights_stand_in",
        "Base weights stand in for a tuned model: a merged LoRA adapter has the same shape and so the same speed, \
         but not the same answers; give one with --adapter."
            .into(),
    )
}

/// The hybrid's decisions were forced to this share.
pub fn forced_routing(share: f64) -> Reason {
    caveat(
        "forced_routing",
        format!(
            "The hybrid was made to route {} of its questions, whatever they were: its times hold, and its precision \
             and recall are not known; use real weights without --route, or --router similarity.",
            percent(share)
        ),
    )
}

/// Retrieval found nothing for `empty` of `all` questions.
pub fn nothing_retrieved(empty: usize, all: usize) -> Reason {
    caveat(
        "nothing_retrieved",
        format!(
            "Retrieval found no passage for {empty} of {all} questions, whose prompts are shorter for it; \
             look at the corpus and the index."
        ),
    )
}

/// In `n` samples the stages add up to something else than the time they are part of, by up to `worst`.
pub fn stages_disagree(n: usize, worst: f64) -> Reason {
    caveat(
        "stages_disagree",
        format!(
            "In {n} samples the stages add up to something else than the time to the first token that was measured \
             beside them, by up to {}; something outside the stages took time, so look at what else the box does.",
            percent(worst)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Reason> {
        vec![
            debug_build(),
            throttled(0.2, Status::Caveat),
            busy_machine(0.123, Status::Invalid),
            high_load(3.2, 2),
            swap_used(1 << 30, Status::Invalid),
            first_run_slow(120.0, 100.0),
            not_settled(4),
            too_few_samples(3),
            interval_too_wide(0.12, 0.05, 9),
            outliers(1, 9),
            prefix_reuse(),
            output_not_finite(),
            random_weights(),
            random_routing(),
            fallback_to_random_weights("the hub did not answer"),
            single_stream(),
            stand_in_tokenizer(),
            no_chat_template(),
            context_truncated(64),
            interrupted(),
            failed_samples(1, 9),
            no_samples(),
            card_held(&["heat".into()]),
            card_slowed(&["heat".into()]),
            shared_card(1, None),
            shared_card(2, Some(1 << 30)),
            out_of_memory(0),
        ]
    }

    #[test]
    fn every_reason_weighs_something_and_is_a_sentence_with_a_remedy() {
        for reason in all() {
            assert_ne!(reason.status, Status::Valid, "{}", reason.code);
            assert!(reason.text.ends_with('.'), "{}", reason.text);
            let remedy = reason.text.contains(';') || reason.text.contains("raise");
            assert!(remedy && !reason.text.contains("  "), "{}", reason.text);
            assert!(reason.code.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}", reason.code);
        }
    }

    #[test]
    fn a_status_that_was_passed_in_cannot_make_a_reason_valid() {
        assert_eq!(throttled(0.5, Status::Valid).status, Status::Caveat);
        assert_eq!(swap_used(1, Status::Valid).status, Status::Caveat);
        assert_eq!(busy_machine(0.5, Status::Valid).status, Status::Caveat);
    }

    #[test]
    fn numbers_stand_in_the_sentence() {
        assert!(busy_machine(0.123, Status::Caveat).text.contains("12.3 %"));
        assert!(swap_used(1 << 30, Status::Caveat).text.starts_with("1.00 GiB went to swap"));
        assert!(context_truncated(2048).text.starts_with("2k tokens"));
        assert!(shared_card(2, Some(1 << 30)).text.contains("(2) had the card open and held 1.00 GiB"));
        assert_eq!((out_of_memory(0).status, out_of_memory(3).status), (Status::Invalid, Status::Caveat));
        assert_eq!(failed_samples(9, 9).status, Status::Invalid);
        assert_eq!(failed_samples(8, 9).status, Status::Caveat);
    }
}
