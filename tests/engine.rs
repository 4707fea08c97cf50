//! The engine as a library: cache, borders between blocks, going back in time, errors.
//! Logits against references are in `verify.rs`; against candle's own models in `engine/second_opinion.rs`.

#[path = "engine/models.rs"]
mod models;
#[path = "engine/quantized.rs"]
mod quantized;
#[path = "engine/routing.rs"]
mod routing;
#[path = "engine/second_opinion.rs"]
mod second_opinion;
#[path = "engine/turns.rs"]
mod turns;

use candle_core::{DType, Device};
use ctxbench::engine::Engine;
use ctxbench::engine::load::OpenModel;
use ctxbench::model::cache::{Cache, KvType};
use ctxbench::model::decoder::Logits;
use ctxbench::model::rope::Rope;
use ctxbench::model::shape::Architecture;
use models::{
    KINDS, NATIVE, all_logits, difference, fixture, fixture_engine, ids, random_engine, reference, shape,
};

#[test]
fn the_cache_after_a_prompt_is_that_of_transformers() {
    for kind in KINDS {
        let (decoder, reference) = (fixture(kind), reference(kind));
        let ids = ids(&reference["short_ids"]);
        let shape = &decoder.shape;
        let rope = Rope::new(64, shape.head_dim, shape.rope_theta, &Device::Cpu).unwrap();
        let mut cache = Cache::new(shape, 64, DType::F32, KvType::F32, &Device::Cpu).unwrap();
        for piece in [&ids[..20], &ids[20..]] {
            decoder.forward(piece, &rope, &mut cache, Logits::Last).unwrap();
        }
        assert_eq!(cache.len(), ids.len());
        for layer in 0..shape.layers {
            let seen = cache.seen(layer).unwrap().unwrap();
            let keys = difference(&seen.keys, &reference[&format!("state.{layer}.key")]);
            let values = difference(&seen.values, &reference[&format!("state.{layer}.value")]);
            assert!(keys < 1e-4 && values < 1e-4, "{kind} layer {layer}: {keys} {values}");
        }
    }
}

#[test]
fn prompts_across_the_borders_of_blocks_and_batches_agree_with_steps() {
    let ids: Vec<u32> = (0..1100).map(|i| (i * i + 7) % 300).collect();
    for (heads, kv_heads) in [(4, 2), (4, 4), (4, 1), (6, 2)] {
        let mut shape = shape(Architecture::Qwen3);
        (shape.heads, shape.kv_heads) = (heads, kv_heads);
        let mut engine = random_engine(&shape, 1, 1100);
        let whole = all_logits(&mut engine, &ids, &[1100]);
        for pieces in [&[1][..], &[127, 1, 1, 128, 129, 255], &[511, 2, 512, 75], &[513, 587]] {
            let worst = difference(&whole, &all_logits(&mut engine, &ids, pieces));
            // Random logits reach some hundreds: rounding alone moves them by 2e-4.
            assert!(worst < 1e-3, "{heads}/{kv_heads} heads, pieces {pieces:?}: {worst}");
        }
    }
}

#[test]
fn the_last_position_alone_has_the_logits_it_has_among_all() {
    let ids: Vec<u32> = (0..700).map(|i| (i * 31) % 300).collect();
    let mut engine = random_engine(&shape(Architecture::Qwen2), 1, 704);
    let all = all_logits(&mut engine, &ids, &[700]);
    let row: Vec<f32> = all.get(699).unwrap().to_vec1().unwrap();
    let best = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
    engine.reset().unwrap();
    engine.prefill(&ids).unwrap();
    assert_eq!(engine.sample().unwrap() as usize, best);
    assert!(engine.output_is_finite().unwrap());
}

#[test]
fn beyond_position_2048_a_prefill_agrees_with_steps() {
    for kind in KINDS {
        let short = ids(&reference(kind)["long_ids"]);
        let ids: Vec<u32> = short.iter().copied().cycle().take(2300).collect();
        let mut engine = fixture_engine(kind, 2300);
        let whole = all_logits(&mut engine, &ids, &[2300]);
        engine.reset().unwrap();
        engine.prefill(&ids[..2250]).unwrap();
        assert_eq!(engine.depth(), 2250);
        for (at, id) in ids.iter().enumerate().skip(2250) {
            let row = engine.logits_of_all(&[*id]).unwrap();
            let worst = difference(&row, &whole.narrow(0, at, 1).unwrap());
            assert!(worst < 1e-4, "{kind} position {at}: {worst}");
        }
    }
}

#[test]
fn going_back_and_on_equals_starting_afresh() {
    for kind in KINDS {
        let long = ids(&reference(kind)["long_ids"]);
        let mut engine = fixture_engine(kind, 200);
        engine.prefill(&long[..60]).unwrap();
        engine.mark().unwrap();
        engine.prefill(&long[60..]).unwrap();
        engine.rewind().unwrap();
        assert!(engine.sample().is_err(), "logits are not restored");
        let again = engine.logits_of_all(&long[90..130]).unwrap();
        let fresh = all_logits(&mut engine, &[&long[..60], &long[90..130]].concat(), &[100]);
        let worst = difference(&again, &fresh.narrow(0, 60, 40).unwrap());
        assert!(worst < 1e-4, "{kind}: {worst}");
    }
}

#[test]
fn decode_after_a_rewind_is_decode_the_first_time_bit_for_bit() {
    for kind in ["qwen2_moe", "qwen3", "qwen3_next", "qwen3_5", "qwen3_5_moe", "qwen3_5_irregular"] {
        let long = ids(&reference(kind)["long_ids"]);
        let mut engine = fixture_engine(kind, 300);
        engine.prefill(&long).unwrap();
        engine.mark().unwrap();
        let depth = engine.depth();
        let mut run = || {
            let mut answers = vec![engine.decode(long[0]).unwrap()];
            for _ in 0..6 {
                answers.push(engine.decode(answers[answers.len() - 1]).unwrap());
            }
            let steps: Vec<_> = long[..5].iter().map(|id| engine.logits_of_all(&[*id]).unwrap()).collect();
            // A piece that takes the chunked form, so that a rewind must undo that too.
            let piece = engine.logits_of_all(&long[..70]).unwrap();
            engine.rewind().unwrap();
            assert_eq!(engine.depth(), depth, "{kind}");
            (answers, candle_core::Tensor::cat(&[steps, vec![piece]].concat(), 0).unwrap())
        };
        let (first, second, third) = (run(), run(), run());
        assert_eq!((&first.0, &first.0), (&second.0, &third.0), "{kind}");
        assert_eq!(difference(&first.1, &second.1), 0.0, "{kind}");
        assert_eq!(difference(&first.1, &third.1), 0.0, "{kind}");
    }
}

#[test]
fn what_does_not_fit_is_an_error_and_leaves_the_cache_usable() {
    let mut engine = random_engine(&shape(Architecture::Qwen3), 1, 16);
    engine.prefill(&[1; 10]).unwrap();
    let full = engine.prefill(&[1; 7]).unwrap_err().to_string();
    assert!(full.contains("7 more tokens do not fit the cache: it holds 10 of 16"), "{full}");
    let outside = engine.prefill(&[299, 300]).unwrap_err().to_string();
    assert!(outside.contains("id 300 lies outside the vocabulary of 300"), "{outside}");
    let empty = engine.prefill(&[]).unwrap_err().to_string();
    assert!(empty.contains("at least one id"), "{empty}");
    assert!(engine.rewind().is_err() && engine.sample().is_err());
    assert_eq!(engine.depth(), 10);
    engine.prefill(&[2; 6]).unwrap();
    assert!(engine.decode(1).is_err());
    assert_eq!((engine.depth(), engine.capacity()), (16, 16));
}

#[test]
fn the_seed_decides_the_logits() {
    let ids: Vec<u32> = (0..40).collect();
    for architecture in [Architecture::Qwen2, Architecture::Qwen3] {
        let logits = |seed| all_logits(&mut random_engine(&shape(architecture), seed, 40), &ids, &[40]);
        let (first, again, other) = (logits(1), logits(1), logits(2));
        assert_eq!(difference(&first, &again), 0.0);
        assert!(difference(&first, &other) > 0.1);
    }
}

#[test]
fn a_tensor_that_is_missing_at_the_end_is_found_before_the_first_layer_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/qwen3_moe");
    std::fs::copy(fixture.join("config.json"), folder.path().join("config.json")).unwrap();
    let mut weights = std::fs::read(fixture.join("model.safetensors")).unwrap();
    let name = b"layers.1.mlp.experts.5.up_proj";
    let at = weights.windows(name.len()).position(|bytes| bytes == name).unwrap();
    weights[at + name.len() - 1] = b'k';
    std::fs::write(folder.path().join("model.safetensors"), weights).unwrap();
    let mut layers_read = 0;
    let mut model = OpenModel::folder(folder.path()).unwrap();
    let error = model.decoder(NATIVE, &Device::Cpu, &mut |_, _| layers_read += 1).unwrap_err();
    assert!(error.to_string().contains("experts.5.up_proj.weight"), "{error}");
    assert_eq!(layers_read, 0);
}
