//! LoRA adapters merged at load, held to peft: `tests/fixtures/make_adapters.py` made them and the logits.

#[path = "engine/models.rs"]
#[allow(dead_code, reason = "shared with tests/engine.rs, which uses all of it")]
mod models;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use ctxbench::cli::Quantization;
use ctxbench::engine::candle::CandleEngine;
use ctxbench::engine::load::OpenModel;
use ctxbench::model::linear::Matrix;
use ctxbench::weights::TensorSource;
use ctxbench::weights::adapter::{Adapted, Adapter};
use ctxbench::weights::cut::Cut;
use ctxbench::weights::packing::unpacked;
use ctxbench::weights::precision::Precision;
use ctxbench::weights::safetensors::SafetensorsSource;
use models::{NATIVE, difference, folder, ids};

/// Each adapter, and the fixture it was made for.
const ADAPTERS: [(&str, &str); 6] = [
    ("dense", "qwen3"),
    ("patterns", "qwen2"),
    ("hybrid", "qwen3_5"),
    ("wrapped", "qwen3_5_wrapped"),
    ("interleaved", "qwen3_next"),
    ("tables", "qwen3_untied"),
];

const Q8_0: Precision = Precision { quantization: Quantization::Q8_0, dtype: DType::F32 };

fn adapter_folder(name: &str) -> PathBuf {
    folder("adapters").join(name)
}

fn adapter(name: &str) -> Adapter {
    Adapter::open(&adapter_folder(name)).expect("the adapter opens")
}

fn base(kind: &str) -> OpenModel {
    OpenModel::folder(&folder(kind)).expect("the fixture opens")
}

fn tensors(file: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(file, &Device::Cpu).expect("the fixture holds tensors")
}

fn logits(model: &mut OpenModel, precision: Precision, ids: &[u32]) -> Tensor {
    let decoder = models::decoder(model, precision);
    let mut engine = CandleEngine::new(decoder, 64).expect("the engine starts");
    engine.logits_of_all(ids).expect("logits")
}

/// Why the model with the adapter does not load, in words.
fn refusal(base: OpenModel, adapter: Adapter) -> String {
    let loaded = base
        .with_adapter(adapter)
        .and_then(|mut model| model.decoder(NATIVE, &Device::Cpu, &mut |_, _| panic!("a layer was read")));
    match loaded {
        Ok(_) => panic!("it is not refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn merged_logits_are_those_of_peft_with_the_adapter_beside_the_weights() {
    for (name, kind) in ADAPTERS {
        let reference = tensors(&adapter_folder(name).join("reference.safetensors"));
        let ids = ids(&reference["ids"]);
        let without = logits(&mut base(kind), NATIVE, &ids);
        let merged = logits(&mut base(kind).with_adapter(adapter(name)).unwrap(), NATIVE, &ids);
        let moved = difference(&without, &reference["logits"]);
        let apart = difference(&merged, &reference["logits"]);
        println!(
            "{name} on {kind}: the adapter moves logits by {moved:.2}, the merge is {apart:.1e} from peft"
        );
        assert!(moved > 0.1, "{name} on {kind} changes nothing: {moved}");
        assert!(apart < 1e-3, "{name} on {kind}: {apart}");
    }
}

#[test]
fn quantized_after_the_merge_is_the_checkpoint_that_peft_merged_quantized() {
    let adapter = adapter("hybrid");
    let mut stored = SafetensorsSource::open(&[folder("qwen3_5").join("model.safetensors")]).unwrap();
    let file = adapter_folder("hybrid").join("merged/model.safetensors");
    let mut theirs = SafetensorsSource::open(std::slice::from_ref(&file)).unwrap();
    let mut ours = Adapted::new(&mut stored, &adapter);
    let (mut count, mut apart) = (0, 0);
    for (name, shape) in tensors(&file).iter().map(|(name, tensor)| (name, tensor.dims())) {
        let name = name.strip_prefix("model.").expect("all tensors have the prefix");
        let [rows, columns] = shape else { continue };
        let cut = Cut::whole(name, *rows, *columns);
        let weights = |source: &mut dyn TensorSource| match source.matrix(&cut, Q8_0, &Device::Cpu).unwrap() {
            Matrix::Packed(packed) if packed.kind().is_quantized() => unpacked(&packed),
            other => panic!("{name} is not quantized: {other:?}"),
        };
        let (ours, theirs) = (weights(&mut ours), weights(&mut theirs));
        count += ours.len();
        apart += ours.iter().zip(&theirs).filter(|(a, b)| a != b).count();
    }
    println!("{apart} of {count} weights differ");
    assert!(count > 60_000 && apart * 3_000 <= count, "{apart} of {count} weights differ");
}

#[test]
fn a_quantized_model_with_an_adapter_is_the_merged_model_quantized() {
    let reference = tensors(&adapter_folder("hybrid").join("reference.safetensors"));
    let ids = ids(&reference["ids"]);
    let ours = logits(&mut base("qwen3_5").with_adapter(adapter("hybrid")).unwrap(), Q8_0, &ids);
    let mut merged = OpenModel::folder(&adapter_folder("hybrid").join("merged")).unwrap();
    let theirs = logits(&mut merged, Q8_0, &ids);
    assert!(difference(&ours, &theirs) < 1e-3, "{}", difference(&ours, &theirs));
    assert!(difference(&ours, &reference["logits"]) > 1e-2, "nothing was quantized");
}

#[test]
fn a_gguf_in_floats_takes_an_adapter_and_one_in_blocks_does_not() {
    let reference = tensors(&adapter_folder("dense").join("reference.safetensors"));
    let gguf = |kind: &str, file| OpenModel::gguf(&folder(kind).join(file)).unwrap();
    let mut merged = gguf("qwen3", "model-f32.gguf").with_adapter(adapter("dense")).unwrap();
    let apart = difference(&logits(&mut merged, NATIVE, &ids(&reference["ids"])), &reference["logits"]);
    assert!(apart < 1e-3, "{apart}");
    let blocks = refusal(gguf("qwen3", "model-q8_0.gguf"), adapter("dense"));
    assert!(blocks.contains("quantized") && blocks.contains("model-q8_0.gguf"), "{blocks}");
    let reordered = refusal(gguf("qwen3_5", "model-f32.gguf"), adapter("hybrid"));
    assert!(reordered.contains("linear_attn") && reordered.contains("another order"), "{reordered}");
}

#[test]
fn random_weights_are_merged_like_any_others() {
    for (name, kind) in ADAPTERS {
        let reference = tensors(&adapter_folder(name).join("reference.safetensors"));
        let ids = ids(&reference["ids"]);
        let random = || OpenModel::random(base(kind).shape().clone(), 5);
        let merged = logits(&mut random().with_adapter(adapter(name)).unwrap(), NATIVE, &ids);
        assert!(difference(&merged, &logits(&mut random(), NATIVE, &ids)) > 1e-2, "{name} changes nothing");
    }
}

#[test]
fn an_adapter_of_another_model_is_refused_with_both_shapes_before_anything_is_read() {
    let wrong = refusal(base("qwen2"), adapter("dense"));
    assert!(
        wrong.contains("[128, 64]") && wrong.contains("[64, 64]") && wrong.contains("'qwen3'"),
        "{wrong}"
    );
    let tied = refusal(base("qwen3"), adapter("tables"));
    assert!(tied.contains("tied"), "{tied}");
    let twice = base("qwen3").with_adapter(adapter("dense")).unwrap();
    assert!(refusal(twice, adapter("dense")).contains("another adapter"));
}

/// A copy of an adapter whose tensors `change` has changed.
fn changed(name: &str, change: impl Fn(&mut HashMap<String, Tensor>)) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    let from = adapter_folder(name);
    std::fs::copy(from.join("adapter_config.json"), copy.path().join("adapter_config.json")).expect("a copy");
    let mut factors = tensors(&from.join("adapter_model.safetensors"));
    change(&mut factors);
    let file = copy.path().join("adapter_model.safetensors");
    candle_core::safetensors::save(&factors, file).expect("the copy is saved");
    copy
}

fn of_layer(layer: usize, part: &str) -> String {
    format!("base_model.model.model.layers.{layer}.self_attn.q_proj.{part}.weight")
}

#[test]
fn no_part_of_an_adapter_is_dropped_in_silence() {
    let beyond = changed("dense", |factors| {
        for part in ["lora_A", "lora_B"] {
            let factor = factors[&of_layer(0, part)].clone();
            factors.insert(of_layer(9, part), factor);
        }
    });
    let unread = refusal(base("qwen3"), Adapter::open(beyond.path()).unwrap());
    assert!(
        unread.contains("1 of the adapter's 29 matrices")
            && unread.contains("model.layers.9.self_attn.q_proj"),
        "{unread}"
    );

    let open = |copy: &tempfile::TempDir| Adapter::open(copy.path()).expect_err("it is refused").to_string();
    let left_out = changed("patterns", |factors| {
        for part in ["lora_A", "lora_B"] {
            let factor = factors[&of_layer(1, part)].clone();
            factors.insert(of_layer(2, part), factor);
        }
    });
    assert!(open(&left_out).contains("layers.2.self_attn.q_proj") && open(&left_out).contains("leaves out"));
    let half = changed("dense", |factors| drop(factors.remove(&of_layer(1, "lora_B"))));
    assert!(open(&half).contains("one factor of 'model.layers.1.self_attn.q_proj'"), "{}", open(&half));
    let strange = changed("dense", |factors| {
        let vector = Tensor::ones(128, DType::F32, &Device::Cpu).expect("a vector");
        factors.insert(of_layer(1, "lora_magnitude_vector"), vector);
    });
    assert!(open(&strange).contains("lora_magnitude_vector"), "{}", open(&strange));
    let thin = changed("dense", |factors| {
        let factor = factors[&of_layer(1, "lora_A")].narrow(0, 0, 3).expect("three rows");
        factors.insert(of_layer(1, "lora_A"), factor);
    });
    assert!(open(&thin).contains("[3, 64]") && open(&thin).contains("rank 4"), "{}", open(&thin));
    let twice = changed("dense", |factors| {
        for part in ["lora_A", "lora_B"] {
            let factor = factors[&of_layer(1, part)].clone();
            factors.insert(of_layer(1, part).replace(".layers", ".language_model.layers"), factor);
        }
    });
    assert!(open(&twice).contains("twice"), "{}", open(&twice));
    let none = changed("dense", HashMap::clear);
    assert!(open(&none).contains("holds no tensors"), "{}", open(&none));
}

#[test]
fn a_folder_that_is_no_adapter_is_refused_in_a_sentence() {
    let error = |folder: &Path| Adapter::open(folder).expect_err("it is refused").to_string();
    assert!(error(&folder("qwen3")).contains("adapter_config.json"), "{}", error(&folder("qwen3")));
    let copy = changed("dense", |_| {});
    let file = copy.path().join("adapter_model.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    assert!(error(copy.path()).contains("truncated"), "{}", error(copy.path()));
    std::fs::rename(&file, copy.path().join("adapter_model.bin")).unwrap();
    assert!(error(copy.path()).contains("adapter_model.bin"), "{}", error(copy.path()));
    std::fs::write(&file, &bytes).unwrap();
    std::fs::write(copy.path().join("adapter_config.json"), "{\"r\": 4").unwrap();
    assert!(error(copy.path()).contains("adapter_config.json"), "{}", error(copy.path()));
    let dora = std::fs::read_to_string(adapter_folder("dense").join("adapter_config.json")).unwrap();
    let dora = dora.replace("\"use_dora\": false", "\"use_dora\": true");
    std::fs::write(copy.path().join("adapter_config.json"), dora).unwrap();
    assert!(error(copy.path()).contains("use_dora") && error(copy.path()).contains("merge_and_unload"));
}

#[test]
fn an_adapter_says_what_it_is_and_what_it_was_trained_on() {
    let adapter = adapter("patterns");
    assert_eq!(adapter.description(), "LoRA of rank 2 to 8 on 6 matrices, merged at load");
    assert_eq!(adapter.base(), Some("qwen2"));
    assert!(adapter.remarks("Qwen/Qwen2").is_empty());
    let remarks = adapter.remarks("qwen3-0.6b");
    assert!(remarks.len() == 1 && remarks[0].contains("'qwen2'") && remarks[0].contains("'qwen3-0.6b'"));
}
