//! Names and folders that give no embedder: each is told in a sentence with a way out.

use std::fs;
use std::path::Path;

use ctxbench::retrieval::embedder::EmbedderError;

use tempfile::TempDir;

use super::{fixture, try_embedder};

fn error(name: &str) -> String {
    try_embedder(name).err().expect("it is refused").to_string()
}

/// A copy of what a fixture cannot do without.
fn copied(kind: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(fixture(kind).join(file), folder.path().join(file)).expect("a writable folder");
    }
    folder
}

/// What is said of such a copy once it is spoilt.
fn spoilt(kind: &str, spoil: impl Fn(&Path)) -> String {
    let folder = copied(kind);
    spoil(folder.path());
    error(&folder.path().display().to_string())
}

fn edit(folder: &Path, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(folder.join(file)).expect("a text");
    assert!(text.contains(from), "{file} has no {from}");
    fs::write(folder.join(file), text.replace(from, to)).expect("a writable folder");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    for kind in ["bert_mean", "qwen3_embedding"] {
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            let message = spoilt(kind, |folder| fs::remove_file(folder.join(file)).unwrap());
            assert!(
                message.contains(&format!("holds no {file}")) && message.contains("take them"),
                "{message}"
            );
        }
    }
    assert!(error("./nowhere/model").contains("holds no config.json"));
}

#[test]
fn damaged_files_are_named_with_a_remedy() {
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        let message = spoilt("bert_mean", |folder| fs::write(folder.join(file), "{\"x\"").unwrap());
        assert!(message.contains(file), "{message}");
        assert!(message.contains("again"), "{message}");
    }
}

#[test]
fn other_architectures_and_activations_are_refused() {
    for (from, to, part) in [
        ("\"bert\"", "\"mpnet\"", "an architecture 'mpnet'"),
        ("\"gelu\"", "\"relu\"", "activation 'relu'"),
        ("\"is_decoder\": false", "\"is_decoder\": true", "is_decoder"),
        ("\"use_cache\": true", "\"position_embedding_type\": \"relative_key\"", "'relative_key'"),
        ("\"model_type\": \"bert\",", "", "no `model_type`"),
        ("\"num_attention_heads\": 4", "\"num_attention_heads\": 0", "num_attention_heads of 0"),
        ("\"num_attention_heads\": 4", "\"num_attention_heads\": 5", "num_attention_heads of 5"),
        ("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 99999999", "num_hidden_layers of 99999999"),
        ("\"hidden_size\": 48,", "", "missing field `hidden_size`"),
        ("\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": -1", "layer_norm_eps is -1"),
    ] {
        let message = spoilt("bert_mean", |folder| edit(folder, "config.json", from, to));
        assert!(message.contains(part) && message.contains("config.json"), "{message}");
    }
}

#[test]
fn tensors_that_do_not_fit_the_configuration_are_named() {
    for (kind, from, to, part) in [
        (
            "bert_mean",
            "\"intermediate_size\": 80",
            "\"intermediate_size\": 81",
            "[80, 48], but the configuration",
        ),
        ("bert_mean", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4", "encoder.layer.3.attention"),
        ("qwen3_embedding", "\"intermediate_size\": 80", "\"intermediate_size\": 81", "[80, 48], but the"),
        ("qwen3_embedding", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4", "layers.3."),
    ] {
        let message = spoilt(kind, |folder| edit(folder, "config.json", from, to));
        assert!(message.contains(part) && message.contains("one revision"), "{message}");
    }
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let swapped = |kind: &str, other: &str| {
        spoilt(kind, |folder| {
            fs::copy(fixture(other).join("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
        })
    };
    assert!(swapped("bert_mean", "qwen3_embedding").contains("vocabulary has 500"));
    // The end of text is added where no template does it; [CLS] and [SEP] cannot be.
    let bare = spoilt("bert_mean", |folder| {
        let path = folder.join("tokenizer.json");
        let mut file: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert!(file["post_processor"].take().is_object());
        fs::write(&path, file.to_string()).unwrap();
    });
    assert!(bare.contains("adds no [CLS] and [SEP]"), "{bare}");
    assert!(bare.contains("tokenizer.json"), "{bare}");
}

#[test]
fn a_length_without_room_for_text_is_refused() {
    let message = spoilt("bert_mean", |folder| {
        fs::write(folder.join("sentence_bert_config.json"), r#"{"max_seq_length": 2}"#).unwrap();
    });
    assert!(message.contains("no room"), "{message}");
    let message = spoilt("qwen3_embedding", |folder| {
        fs::create_dir(folder.join("1_Pooling")).unwrap();
        fs::write(folder.join("1_Pooling/config.json"), r#"{"pooling_mode": "mean"}"#).unwrap();
    });
    assert!(message.contains("pooling 'mean' of a decoder's states"), "{message}");
}

#[test]
fn names_that_mean_something_else_are_told_so() {
    assert!(error("all-minilm-l6").contains("did you mean all-minilm-l6-v2"));
    assert!(error("qwen3-0.6b").contains("generates text"));
    assert!(error("o/n:m.gguf").contains("with safetensors"));
}

#[test]
fn a_hub_out_of_reach_is_told_apart_and_nothing_stands_in() {
    for name in ["all-minilm-l6-v2", "sentence-transformers/all-MiniLM-L6-v2", "o/none"] {
        let error = try_embedder(name).err().expect("nothing is cached");
        assert!(matches!(&error, EmbedderError::OutOfReach { name: of, .. } if of == name), "{error:?}");
        assert!(error.to_string().contains("not on this machine"), "{error}");
    }
    let stand_in = try_embedder("stand-in").unwrap();
    assert!(stand_in.is_stand_in() && stand_in.id() == "stand-in" && stand_in.dimensions() == 384);
}

#[test]
fn no_number_in_a_configuration_makes_it_panic() {
    for kind in ["bert_mean", "qwen3_embedding"] {
        let text = fs::read(fixture(kind).join("config.json")).unwrap();
        let config: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&text).unwrap();
        for (key, _) in config.iter().filter(|(_, value)| value.is_number()) {
            for number in ["0", "1", "-1", "1048577", "4611686018427387904", "18446744073709551615", "1e300"]
            {
                let mut changed = config.clone();
                changed[key] = serde_json::from_str(number).unwrap();
                let folder = copied(kind);
                fs::write(folder.path().join("config.json"), serde_json::to_vec(&changed).unwrap()).unwrap();
                if let Err(error) = try_embedder(&folder.path().display().to_string()) {
                    assert!(error.to_string().len() > 20, "{kind}, {key} {number}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for kind in ["bert_mean", "qwen3_embedding", "cross_encoder"] {
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            let whole = fs::read(fixture(kind).join(file)).unwrap();
            for part in [0, 1, 8, whole.len() / 2, whole.len() - 1] {
                let folder = copied(kind);
                // The last byte of a text file may be its line's end.
                let length = if part + 1 == whole.len() { whole.trim_ascii_end().len() - 1 } else { part };
                fs::write(folder.path().join(file), &whole[..length]).unwrap();
                let message = error(&folder.path().display().to_string());
                assert!(message.contains(file), "{kind} {file}, {length} bytes: {message}");
            }
        }
    }
}
