//! The growth law by architecture: what is counted, and what the first lines make of a hybrid beside attention.

mod common;

use common::pair::{ATTENTION, Engine, HYBRID, PLAIN, attention_shape, document, hybrid_shape, measured};
use common::{assert_golden, ctxbench, golden, text};
use ctxbench::model::shape::ModelShape;
use ctxbench::report::Exporter;
use ctxbench::report::document::Document;
use ctxbench::report::growth_table;
use ctxbench::report::headline::headlines;
use ctxbench::report::json::Json;
use ctxbench::report::terminal::Terminal;
use ctxbench::report::theory::{Counts, Theory};

const LENGTHS: &[u32] = &[512, 1024, 2048, 4096];

/// Counts with weights and cache of two bytes a value, and without the state of constant size.
fn in_bf16(shape: &ModelShape) -> Theory {
    let weights = 2 * (shape.matrix_parameters_per_token() + shape.head_parameters());
    let counts =
        Counts { shape, decode_weight_bytes: Some(weights), kv_bytes_per_token: shape.kv_bytes_per_token(2) };
    Theory::of(&counts, &[])
}

/// The sentences of the pair; empty where the first headline is not one.
fn pair(document: &Document) -> Vec<String> {
    let first = &headlines(document)[0];
    let of_pair = first.subject.contains(" against ");
    first.sentences.iter().filter(|_| of_pair).map(|sentence| sentence.text()).collect()
}

#[test]
fn attention_alone_crosses_over_where_it_was_worked_out_by_hand() {
    // 28 layers x (1024 x (2048 + 2 x 1024) + 2048 x 1024 + 3 x 1024 x 3072) = 440,401,920 weights;
    // 2 x that / (2 x 28 x 16 x 128) = 7,680 tokens.
    // (440,401,920 + 1024 x 151,936) x 2 bytes / (2 x 28 x 8 x 128 x 2 bytes) = 10,393 tokens.
    let theory = in_bf16(&attention_shape());
    assert_eq!(theory.prefill_flops.constant, 2.0 * 1024.0 * 151_936.0);
    assert_eq!(theory.prefill_flops.per_token, 880_803_840.0);
    assert_eq!(theory.prefill_flops.per_token_squared, 114_688.0);
    assert_eq!(theory.decode_bytes.unwrap().per_token, 114_688.0);
    assert_eq!(theory.decode_bytes.unwrap().constant, 2.0 * 595_984_384.0);
    assert_eq!(theory.crossover_tokens.prefill, Some(7_680));
    assert_eq!(theory.crossover_tokens.decode, Some(10_393));
    assert!(!theory.is_hybrid());
}

#[test]
fn the_hybrid_crosses_over_where_it_was_worked_out_by_hand() {
    let shape = hybrid_shape();
    let theory = in_bf16(&shape);
    // Attention: 6 x (1024 x (2 x 2048 + 2 x 512) + 2048 x 1024); delta nets: 18 x (1024 x (6144 + 2048 + 32)
    // + 2048 x 1024); feed-forward: 24 x 3 x 1024 x 3584.
    let matrices: u64 = 6 * (1024 * (2 * 2048 + 2 * 512) + 2048 * 1024)
        + 18 * (1024 * (6144 + 2048 + 32) + 2048 * 1024)
        + 24 * 3 * 1024 * 3584;
    assert_eq!(shape.matrix_parameters_per_token(), matrices);
    // Delta nets in chunks of 64: (4 x 64 x 128 + 64 x 256 + 2 x 64 x 128 + 6 x 128 x 128) x 16 heads, and
    // a convolution of 4 over 6,144 channels, in 18 layers.
    let delta = 18 * (163_840 * 16 + 8 * 6144);
    assert_eq!(theory.prefill_flops.per_token, (2 * matrices + delta) as f64);
    assert_eq!(theory.prefill_flops.per_token_squared, 2.0 * 6.0 * 8.0 * 256.0);
    // 18 x (16 x 128 x 128 + 3 x 6,144) values of 4 bytes, moved twice in a step.
    assert_eq!(theory.cache_bytes.constant, 20_201_472);
    assert_eq!(theory.cache_bytes.per_token, 12_288);
    // Of all weights that are no embedding, and without what the delta nets add: 41k and 122k tokens.
    let weights = shape.parameters() - 1024 * 248_320;
    let bare = [weights as f64 / 12_288.0, (2 * shape.parameters()) as f64 / 12_288.0];
    assert_eq!(bare.map(|tokens| (tokens / 1000.0).round()), [41.0, 122.0]);
    assert_eq!(
        theory.crossover_tokens.prefill,
        Some(((2 * matrices + delta) as f64 / 24_576.0).round() as u64)
    );
    let constant = 2 * (matrices + 1024 * 248_320) + 2 * 20_201_472;
    assert_eq!(theory.crossover_tokens.decode, Some((constant as f64 / 12_288.0).round() as u64));
    assert!(theory.is_hybrid());
}

#[test]
fn time_in_proportion_to_work_is_measured_as_counted() {
    let exact = Engine { attention: 1.0, cache: 1.0, ..PLAIN };
    let document = measured([exact; 2], [LENGTHS; 2]);
    for fit in &document.fits {
        let theory = fit.theory.as_ref().unwrap();
        assert_eq!((theory.prefill.len(), theory.decode.len()), (4, 5), "{}", fit.model);
        assert!(theory.prefill[0].growth.is_none() && theory.decode[0].growth.is_none());
        for at in theory.prefill.iter().chain(&theory.decode).filter(|at| at.growth.is_some()) {
            let growth = at.growth.unwrap();
            let measured = growth.measured.unwrap();
            assert!(measured.low <= growth.counted && growth.counted <= measured.high, "{at:?}");
        }
        let rates = |work: &[ctxbench::report::theory::WorkAt], expected: f64| {
            work.iter().all(|at| (at.work_per_s.unwrap().median / expected - 1.0).abs() < 0.02)
        };
        assert!(rates(&theory.prefill, PLAIN.flops_per_s), "{:?}", theory.prefill);
        assert!(rates(&theory.decode, PLAIN.bytes_per_s), "{:?}", theory.decode);
    }
}

#[test]
fn the_first_lines_say_how_much_less_context_costs_on_the_hybrid() {
    let sentences = pair(&document());
    assert_eq!(sentences.len(), 3);
    let [prefill, decode, memory] = [0, 1, 2].map(|at| sentences[at].as_str());
    assert!(
        prefill.starts_with("Context costs 4.")
            && prefill.contains(" times less on synthetic-hybrid-0.8b than on")
    );
    assert!(
        prefill.contains("from 512 to 4,096 tokens of context") && prefill.contains("; counted 4.7"),
        "{prefill}"
    );
    assert!(
        decode.starts_with("Depth costs 9.") && decode.contains("from 0 to 4,096 tokens in the cache"),
        "{decode}"
    );
    assert!(memory.starts_with("A token in the cache takes 24.0 KiB against 224 KiB (counted)"), "{memory}");
}

#[test]
fn the_first_lines_turn_when_the_data_does() {
    // A hybrid whose attention is forty times as slow as its matrices costs more for context, and is said to.
    let slow = Engine { attention: 40.0, cache: 40.0, ..PLAIN };
    let sentences = pair(&measured([slow, PLAIN], [LENGTHS; 2]));
    let turned = format!(" times less on {ATTENTION} than on {HYBRID}");
    assert!(sentences[0].contains(&turned) && sentences[1].contains(&turned), "{sentences:#?}");
}

#[test]
fn added_times_that_are_equal_show_no_difference() {
    // The hybrid adds 4.7 times fewer FLOPs and 9.3 times fewer bytes, here at as many times the time each.
    let equal = Engine { attention: 2.0 * 4.71, cache: 1.5 * 9.33, ..PLAIN };
    let sentences = pair(&measured([equal, PLAIN], [LENGTHS; 2]));
    assert!(sentences[0].starts_with("No difference shown in what context costs on"), "{}", sentences[0]);
    assert!(sentences[1].starts_with("No difference shown in what depth costs on"), "{}", sentences[1]);
}

#[test]
fn noise_beyond_the_growth_claims_nothing() {
    let noisy = Engine { noise: 60.0, ..PLAIN };
    let sentences = pair(&measured([noisy; 2], [&[512, 640]; 2]));
    for (sentence, noun) in sentences.iter().zip(["context", "depth"]) {
        assert!(sentence.starts_with(&format!("No cost of {noun} shown on either")), "{sentence}");
    }
}

#[test]
fn a_law_without_growth_on_one_side_has_no_factor() {
    let level = Engine { attention: -1.0, cache: -1.0, ..PLAIN };
    let sentences = pair(&measured([level, PLAIN], [LENGTHS; 2]));
    let start = format!("No cost of context shown on {HYBRID}, unlike on {ATTENTION}: ");
    assert!(sentences[0].starts_with(&start), "{}", sentences[0]);
}

#[test]
fn lengths_that_are_not_shared_are_not_compared() {
    let sentences = pair(&measured([PLAIN; 2], [&[512, 4096], &[1024, 2048]]));
    assert!(sentences[0].starts_with("Cost of context, compared: n/a, the two were not"), "{}", sentences[0]);
    // Of unequal ranges the shared part is compared and nothing beyond it.
    let sentences = pair(&measured([PLAIN; 2], [LENGTHS, &LENGTHS[..3]]));
    assert!(sentences[0].contains("from 512 to 2,048 tokens"), "{}", sentences[0]);
    assert!(!sentences.iter().any(|sentence| sentence.contains("4,096")), "{sentences:#?}");
}

#[test]
fn two_samples_claim_nothing() {
    let few = Engine { samples: 2, ..PLAIN };
    let sentences = pair(&measured([few; 2], [LENGTHS; 2]));
    assert!(
        sentences[0].starts_with("Cost of context, compared: n/a, fewer than 3 samples"),
        "{}",
        sentences[0]
    );
    assert!(sentences[1].starts_with("Cost of depth, compared: n/a"), "{}", sentences[1]);
    let table = growth_table::rows(&measured([few; 2], [LENGTHS; 2]));
    assert!(table.iter().any(|row| row.contains(&"n/a".to_owned())), "{table:?}");
}

#[test]
fn one_architecture_alone_is_not_compared_with_itself() {
    let mut document = document();
    document.cases.retain(|case| case.model == HYBRID);
    assert_eq!(pair(&document), Vec::<String>::new());
    let mut other_weights = common::pair::document();
    let attention = other_weights.cases.iter_mut().filter(|case| case.model == ATTENTION);
    attention.for_each(|case| case.dtype = "bf16".into());
    assert_eq!(pair(&other_weights), Vec::<String>::new());
}

#[test]
fn a_report_from_before_the_counts_is_still_read() {
    let mut value = serde_json::to_value(document()).unwrap();
    for fit in value["fits"].as_array_mut().unwrap() {
        assert!(fit.as_object_mut().unwrap().remove("theory").is_some());
    }
    let document: Document = serde_json::from_value(value).unwrap();
    assert!(pair(&document).is_empty() && growth_table::laws(&document).is_empty());
}

#[test]
fn every_format_shows_the_counts_beside_the_times() {
    let mut json = Vec::new();
    Json.write(&document(), &mut json).unwrap();
    assert_golden("hybrid_pair.json", &text(&json));
    let file = golden("hybrid_pair.json");
    for (format, name) in [("md", "hybrid_pair.md"), ("html", "hybrid_pair.html")] {
        let output = ctxbench(&["report", file.to_str().unwrap(), "--format", format]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_golden(name, &text(&output.stdout));
    }
    for width in [80, 100] {
        let mut out = Vec::new();
        Terminal { width }.write(&document(), &mut out).unwrap();
        let shown = text(&out);
        assert!(shown.lines().all(|line| line.chars().count() <= width.into()), "{shown}");
        assert_golden(&format!("hybrid_pair_{width}.txt"), &shown);
    }
}
