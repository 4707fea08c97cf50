//! What each number means: the `definitions` block of every document, and the footer of every page.
//!
//! Names and formulas only. Computing them is [`crate::sample`]'s and the statistics' work.

use std::collections::BTreeMap;

/// Every metric that a document holds, by the name of its key.
pub const DEFINITIONS: &[(&str, &str)] = &[
    ("prompt_tokens", "Ids fed to the model, after the chat template, special tokens included."),
    (
        "context_tokens",
        "prompt_tokens of a case: the length that was asked for, met exactly, in scenario short too.",
    ),
    (
        "output_tokens",
        "n, the ids generated per request. The end-of-sequence token does not stop a timed run, so n is fixed.",
    ),
    (
        "tokenize_ms",
        "Prompt text to ids, wall clock. Part of ttft_ms, and always shown as a field of its own.",
    ),
    (
        "prefill_ms",
        "Forward pass over the whole prompt to the logits of its last position; the device is synchronised \
         before both clock reads.",
    ),
    (
        "ttft_ms",
        "Time to first token: prompt text in hand to first output id on the host. tokenize + prefill + sample.",
    ),
    (
        "ttft_ids_ms",
        "ttft_ms - tokenize_ms: the one to hold against tools that start their clock with ids in hand.",
    ),
    (
        "token_ready_ms",
        "Offset from prompt text in hand at which each output id was on the host; [0] equals ttft_ms.",
    ),
    (
        "tpot_ms",
        "Time per output token after the first: (last token ready - first token ready) / (n - 1). \
         Absent, never 0, for n < 2.",
    ),
    (
        "itl_ms",
        "Inter-token latency: each gap between consecutive output ids. Its n counts gaps, its interval requests.",
    ),
    ("e2e_ms", "Prompt text in hand to last output id: the last of token_ready_ms."),
    ("decode_tokens_per_s", "1000 / tpot_ms. Prefill is not in it."),
    ("prefill_tokens_per_s", "1000 x prompt_tokens / prefill_ms. Decode is not in it."),
    (
        "depth_tokens",
        "Tokens in the KV cache before the first timed decode step, whatever put them there (scenario decode).",
    ),
    (
        "mbu",
        "Memory bandwidth utilisation: bytes that a decode step must move (weights in their stored type + KV \
         cache of this depth + any state of constant size, read and written) / tpot / the bandwidth measured \
         on this device.",
    ),
    (
        "mfu",
        "FLOP utilisation: FLOPs that this prefill must do / prefill_ms / the peak measured on this device for \
         products in the type of the weights (int8 for all quantized types, bf16, f32).",
    ),
    (
        "prefill_of_limit",
        "The shortest time that this device allows / prefill_ms. That time is the matrices' FLOPs / the peak of \
         their type + the FLOPs of attention and delta nets / the peak of f32, and no less than reading the \
         weights once takes. What it lacks to 100 % is the software's; of decode, mbu says the same.",
    ),
    (
        "roof",
        "The shortest times that the measured peaks and bandwidth allow, as laws of the context: prefill_ms of n \
         tokens, decode_ms of a step at depth n.",
    ),
    (
        "peak_memory_bytes",
        "Highest resident set (CPU) or device memory (GPU) while the case ran; weights_bytes is what the \
         weights alone take.",
    ),
    (
        "median, ci_low, ci_high, ci_level",
        "Middle value of the complete samples, and an interval around it that holds the true median as often as \
         ci_level says: 0.95 from 6 samples on, less for 3 to 5 samples, where it spans all of them; none for \
         fewer. sd is the sample standard deviation (n - 1).",
    ),
    (
        "ttft_ms_per_1000_tokens",
        "Slope of the law fitted to TTFT against prompt tokens, times 1,000, with its interval; it holds \
         for the measured range and says nothing outside.",
    ),
    (
        "tpot_ms_per_1000_tokens",
        "Slope of the law fitted to TPOT against the depth of the cache, times 1,000, with its interval.",
    ),
    (
        "rag_over_short_ttft",
        "TTFT of the rag case / TTFT of the short case of the same model, quantization and device, with its \
         interval.",
    ),
    (
        "theory",
        "Work counted from the model's shape, as a function of n tokens of context: FLOPs of a prefill, bytes \
         that a decode step moves, bytes that a sequence keeps. crossover_tokens is where the part that grows \
         equals the rest.",
    ),
    (
        "growth",
        "What one token costs at a length / what it costs at the shortest length measured. counted: FLOPs per \
         prompt token, or bytes of a decode step. measured: prefill_ms / prompt_tokens, or tpot_ms, with its \
         interval. Where measured exceeds counted, the engine slows down with length, not only the model.",
    ),
    (
        "validity",
        "VALID: nothing speaks against the number. CAVEAT: usable if the reasons are read. INVALID: do not \
         use it.",
    ),
];

/// What a document of `ctxbench rag` holds beyond that.
pub const OF_EXPERIMENT: &[(&str, &str)] = &[
    (
        "rag_ttft_ms",
        "Question in hand to first output id on the host, the whole pipeline, by two clock reads of its own. In arms          without retrieval it has only the stages that they have.",
    ),
    (
        "stages_ms",
        "Where rag_ttft_ms went: route, tokenize_query, embed, search, fetch, rerank, assemble, tokenize, prefill,          first_token. A stage that a request has not is null. Their sum agrees with rag_ttft_ms within 1 %, or the          sample is stamped.",
    ),
    (
        "scenario",
        "short: the question alone. padded: as long as its rag twin, without retrieval. rag: the whole pipeline.          rag_warm_prefix, rag_warm_document: the same with the system text, or that and the first document, already in          the cache. hybrid: the model, or a router before it, decides whether to retrieve.",
    ),
    (
        "context tax",
        "padded - short, same question, same block: what the length of the prompt costs by itself.",
    ),
    (
        "retrieval tax",
        "rag - padded, same question, same block: embedding the question, searching, fetching, reranking, putting the          prompt together.",
    ),
    (
        "pairs",
        "Paired differences a - b and ratios a / b, one per question and block. median is the Hodges-Lehmann estimate          (the median of the means of any two), with the interval of Wilcoxon's signed ranks.",
    ),
    (
        "recall_at_10",
        "Of the 10 chunks nearest by looking at every vector, the share that the store's search found.",
    ),
    (
        "gold_in_hits",
        "Share of the questions whose passage with the answer is among the chunks put into the prompt.",
    ),
    (
        "embed_tokens_per_s",
        "Tokens of chunks embedded per second, in batches, while the index was built: what a change of the data costs.",
    ),
    (
        "mix",
        "A stream of questions of which the share r is routed to retrieval, drawn from the samples of routed and          unrouted requests. p95 is null below 130 samples of a kind.",
    ),
    (
        "box_seconds_per_1k",
        "Seconds that this box is busy with 1,000 questions, one after the other, from the question in hand to the last id.",
    ),
    (
        "precision, recall",
        "Of the router: the share of the questions it routed that needed the handbook, and the share of those that needed          it that it routed.",
    ),
    (
        "verdicts",
        "supported: the whole interval lies on the claim's side of the margin. not_supported: on the other side.          not_testable: anything else, with the reason.",
    ),
];

/// What a document of a run on a card holds beyond that, or one whose longest context was looked for.
pub const OF_DEVICE: &[(&str, &str)] = &[
    (
        "card",
        "What the driver tells of the graphics card (NVML): before anything was loaded, right after each sample, and after \
         the last one. null is what it did not tell, and unread says why. Not read between two clock reads.",
    ),
    (
        "prefill_energy, output_energy",
        "Joules by the card's own counter, idle power included, over passes of their own that are no samples, repeated for \
         2 s or more; j_per_token is joules / tokens. null where there is no counter, or it did not move.",
    ),
    (
        "longest_contexts",
        "The longest prompt that really ran with one decode step behind it, on a grid of powers of two, the midpoints \
         between them, and the most that should fit; memory_bytes is what was in use then.",
    ),
];

/// What a document that tells of the time before its first sample holds beyond that.
pub const OF_START_UP: &[(&str, &str)] = &[(
    "start_up",
    "What came before the first sample, none of it in any other number: device_ms, opening the device; kernels_ms, loading \
     our kernels, which the driver compiles unless it remembers them; and of each model and quantization at its first \
     load load_ms, the first prompt and the first decode step of its warm-up, and capture_ms, the second step, in which a \
     card captures the graph that it plays from then on. null where there is no such thing.",
)];

/// The definitions of [`OF_START_UP`].
pub fn of_start_up() -> BTreeMap<String, String> {
    block(OF_START_UP.iter())
}

/// The definitions of [`OF_DEVICE`].
pub fn of_device() -> BTreeMap<String, String> {
    block(OF_DEVICE.iter())
}

/// The `definitions` block of a document.
pub fn definitions() -> BTreeMap<String, String> {
    block(DEFINITIONS.iter())
}

/// The `definitions` block of a document with an experiment.
pub fn with_experiment() -> BTreeMap<String, String> {
    block(DEFINITIONS.iter().chain(OF_EXPERIMENT))
}

fn block<'a>(entries: impl Iterator<Item = &'a (&'a str, &'a str)>) -> BTreeMap<String, String> {
    entries.map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::Summary;

    #[test]
    fn every_summarised_metric_is_defined() {
        let summary = serde_json::to_value(Summary::default()).unwrap();
        let definitions = definitions();
        for metric in summary.as_object().unwrap().keys() {
            assert!(definitions.contains_key(metric), "{metric} has no definition");
        }
    }

    #[test]
    fn no_name_is_defined_twice() {
        assert_eq!(definitions().len(), DEFINITIONS.len());
        assert_eq!(with_experiment().len(), DEFINITIONS.len() + OF_EXPERIMENT.len());
        let all: BTreeMap<String, String> =
            with_experiment().into_iter().chain(of_device()).chain(of_start_up()).collect();
        assert_eq!(all.len(), with_experiment().len() + OF_DEVICE.len() + OF_START_UP.len());
    }
}
