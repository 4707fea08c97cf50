//! A conversation of several turns. In candle 0.11.1's quantized models, tokens that were decoded are forgotten
//! by the next prefill on the CPU: logits are 28 % off.

use candle_core::Tensor;
use ctxbench::engine::Engine as _;
use ctxbench::engine::candle::CandleEngine;
use ctxbench::engine::load::OpenModel;

use crate::models::{KINDS, NATIVE, all_logits, decoder, difference, fixture_engine, folder, ids, reference};

/// A model whose file holds blocks of 8 bits, and whose cache therefore holds f16.
fn quantized(kind: &str, capacity: usize) -> CandleEngine {
    let file = folder(kind).join("model-q8_0.gguf");
    let model = decoder(&mut OpenModel::gguf(&file).expect("the fixture opens"), NATIVE);
    CandleEngine::new(model, capacity).expect("the engine starts")
}

fn largest(x: &Tensor) -> f32 {
    x.abs().and_then(|x| x.max_all()?.to_scalar()).expect("numbers")
}

#[test]
fn prefill_after_decode_after_prefill_equals_one_prefill() {
    for kind in KINDS {
        let long: Vec<u32> = ids(&reference(kind)["long_ids"]).into_iter().cycle().take(300).collect();
        let engines = [(fixture_engine(kind, 300), "f32", 1e-4), (quantized(kind, 300), "f16", 0.02)];
        for (mut engine, kv, bar) in engines {
            assert_eq!(engine.attention_path(), format!("tiled, {kv} KV"));
            engine.prefill(&long[..150]).unwrap();
            engine.decode(long[150]).unwrap();
            engine.decode(long[151]).unwrap();
            let turn = engine.logits_of_all(&long[152..]).unwrap();
            let whole = all_logits(&mut engine, &long, &[300]).narrow(0, 152, 148).unwrap();
            let relative = difference(&turn, &whole) / largest(&whole);
            assert!(relative < bar, "{kind}, {kv}: {relative}");
        }
    }
}
