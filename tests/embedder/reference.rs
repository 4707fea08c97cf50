//! The tiny models: every path against transformers, packed as alone, and cut where it says.

use ctxbench::clock::ManualClock;
use ctxbench::retrieval::embedder::{StandInEmbedder, embed_texts};
use ctxbench::retrieval::{Embedder, TextRole};
use serde::Deserialize;

use super::{NEAR, difference, embedder, fixture};

const KINDS: [&str; 3] = ["bert_mean", "bert_first", "qwen3_embedding"];

#[derive(Deserialize)]
pub struct Reference {
    pub ids: Vec<u32>,
    pub vector: Vec<f32>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    document: Reference,
    query: Reference,
}

fn texts(kind: &str) -> Vec<Text> {
    let path = fixture(kind).join("reference.json");
    serde_json::from_slice(&std::fs::read(path).expect("the reference")).expect("its form")
}

#[test]
fn every_kind_gives_the_vectors_of_transformers() {
    for kind in KINDS {
        let mut embedder = embedder(&fixture(kind));
        for text in texts(kind) {
            for (role, expected) in [(TextRole::Document, &text.document), (TextRole::Query, &text.query)] {
                let ids = embedder.tokenize(&text.text, role).unwrap();
                assert_eq!(ids, expected.ids, "{kind} {role:?}: '{}'", text.text);
                let vector = embedder.embed(&[ids]).unwrap().remove(0);
                let off = difference(&vector, &expected.vector);
                assert!(off < NEAR, "{kind} {role:?}: '{}' is off by {off}", text.text);
                assert_eq!(vector.len(), embedder.dimensions());
            }
        }
        assert!(!embedder.is_stand_in());
    }
}

#[test]
fn a_batch_of_all_lengths_gives_the_vectors_of_single_texts() {
    for kind in KINDS {
        let mut embedder = embedder(&fixture(kind));
        let texts: Vec<String> = texts(kind).into_iter().map(|text| text.text).collect();
        let ids: Vec<Vec<u32>> =
            texts.iter().map(|text| embedder.tokenize(text, TextRole::Document).unwrap()).collect();
        let together = embedder.embed(&ids).unwrap();
        for (ids, together) in ids.iter().zip(&together) {
            let alone = embedder.embed(std::slice::from_ref(ids)).unwrap().remove(0);
            assert!(difference(&alone, together) < 1e-6, "{kind}: {}", difference(&alone, together));
        }
        assert!(embedder.embed(&[]).unwrap().is_empty());
    }
}

#[test]
fn an_instruction_changes_questions_only_and_only_where_there_is_one() {
    for (kind, instructed) in [("bert_mean", false), ("bert_first", true), ("qwen3_embedding", true)] {
        let embedder = embedder(&fixture(kind));
        let ids = |role| embedder.tokenize("pump", role).unwrap();
        assert_eq!(ids(TextRole::Query) != ids(TextRole::Document), instructed, "{kind}");
    }
}

#[test]
fn long_texts_are_cut_where_the_settings_say_and_keep_their_last_mark() {
    let endless = "Who keeps the key? ".repeat(500);
    for (kind, longest, last) in [("bert_mean", 40, 3), ("bert_first", 40, 3), ("qwen3_embedding", 256, 509)]
    {
        let mut embedder = embedder(&fixture(kind));
        let ids = embedder.tokenize(&endless, TextRole::Document).unwrap();
        assert_eq!((ids.len(), ids[ids.len() - 1]), (longest, last), "{kind}");
        assert_eq!(embedder.embed(&[ids]).unwrap().len(), 1);
    }
}

#[test]
fn many_texts_are_embedded_in_their_order_and_counted() {
    let texts: Vec<String> = (0..90).map(|i| format!("Row {i} {}", "of the field ".repeat(i % 7))).collect();
    let clock = ManualClock::default();
    for mut embedder in [embedder(&fixture("bert_mean")), Box::new(StandInEmbedder)] {
        let all = embed_texts(embedder.as_mut(), &texts, TextRole::Document, &clock).unwrap();
        let ids: Vec<_> = texts.iter().map(|t| embedder.tokenize(t, TextRole::Document).unwrap()).collect();
        assert_eq!(all.tokens, ids.iter().map(|ids| ids.len() as u64).sum::<u64>());
        assert_eq!((all.vectors.len(), all.ms), (90, 0.0));
        let last = embedder.embed(&ids[89..]).unwrap().remove(0);
        assert!(difference(&last, &all.vectors[89]) < 1e-6);
    }
}

#[test]
fn ids_that_no_model_has_are_refused() {
    for kind in KINDS {
        let mut embedder = embedder(&fixture(kind));
        let unknown = embedder.embed(&[vec![2, 99_999]]).unwrap_err().to_string();
        assert!(unknown.contains("99999") && unknown.contains("vocabulary"), "{kind}: {unknown}");
        let empty = embedder.embed(&[vec![]]).unwrap_err().to_string();
        assert!(empty.contains("id"), "{kind}: {empty}");
    }
    let mut bert = embedder(&fixture("bert_mean"));
    let long = bert.embed(&[vec![5; 65]]).unwrap_err().to_string();
    assert!(long.contains("65 ids") && long.contains("1 to 64"), "{long}");
}

#[test]
fn the_fingerprint_is_of_the_weights_and_of_what_else_makes_a_vector() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(fixture("bert_mean").join(file), folder.path().join(file)).unwrap();
    }
    let (first, other) = (embedder(&fixture("bert_mean")), embedder(folder.path()));
    let sha256 = ctxbench::hub::sha256(&folder.path().join("model.safetensors")).unwrap();
    assert!(first.fingerprint().starts_with(&format!("{sha256}/mean/40/")), "{}", first.fingerprint());
    // Without the settings' files the whole of its positions is used.
    assert!(other.fingerprint().starts_with(&format!("{sha256}/mean/64/")), "{}", other.fingerprint());
}

#[test]
fn the_end_of_text_is_added_where_the_tokenizer_does_not() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("qwen3_embedding").join(file), folder.path().join(file)).unwrap();
    }
    let own = std::fs::read(fixture("qwen3_embedding").join("tokenizer.json")).unwrap();
    let mut file: serde_json::Value = serde_json::from_slice(&own).unwrap();
    assert_eq!(file["post_processor"]["processors"][1].take()["type"], "TemplateProcessing");
    file["post_processor"]["processors"].as_array_mut().unwrap().truncate(1);
    std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
    let (bare, marked) = (embedder(folder.path()), embedder(&fixture("qwen3_embedding")));
    for text in ["", "pump", &"Who keeps the key? ".repeat(500)] {
        let ids = |embedder: &dyn Embedder| embedder.tokenize(text, TextRole::Document).unwrap();
        assert_eq!(ids(bare.as_ref()), ids(marked.as_ref()));
    }
}
