//! A small byte-level BPE for tests: trained here, in milliseconds, and written in both forms a model ships.

use std::collections::HashMap;
use std::sync::OnceLock;

use candle_core::quantized::gguf_file::Value;
use serde_json::{Value as Json, json};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::BpeTrainer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::from_file::HubTokenizer;
use super::from_gguf::Metadata;

/// As in the tokenizer.json that Qwen3 ships.
pub(crate) const QWEN2_REGEX: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As in transformers' `tokenization_qwen3_5.py`.
pub(crate) const QWEN35_REGEX: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Unused, special, special, ordinary but whole; after the trained tokens, in this order.
const MARKED: [(&str, i32); 4] =
    [("[PAD0]", UNUSED), ("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL), ("<think>", 4)];
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const UNUSED: i32 = 5;

/// Text of the kinds that tell tokenizers apart.
pub(crate) const MIXED_TEXTS: [&str; 9] = [
    "fn main() {\n    let x: Vec<u8> = vec![0x1f; 12];\n\t// it's done\n}\r\n",
    "你好，世界。今天是2024年5月17日，气温23度。",
    "हिन्दी में पूछें: क्या पानी ठंडा है?",
    "🙂👩‍👩‍👧‍👦 café naïve e\u{301}galite\u{301} Å",
    "1234567890 3.14159 1,000,000 ٣٤٥ ½",
    "a  b   c\t\td \n\n  e \r\n   ",
    "I'm sure they'LL say it's fine, don't YOU?",
    "<|im_start|>user\nHello<|im_end|>\n<think>\n\n</think>",
    "",
];

const TRAINING: &str = include_str!("../../tests/fixtures/corpus/01-boilers.md");

/// The trained model as tokenizer.json has it: `vocab` and `merges`.
fn trained() -> &'static Json {
    static MODEL: OnceLock<Json> = OnceLock::new();
    MODEL.get_or_init(train)
}

fn train() -> Json {
    let trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(640)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let empty = json!({"type": "BPE", "vocab": {}, "merges": []});
    let mut tokenizer = from_json(&pipeline(QWEN35_REGEX, &empty, &[]));
    // Hindi often enough that pieces across combining marks are learnt.
    let hindi = "हिन्दी में पूछें ".repeat(40);
    let texts = [TRAINING, &hindi, MIXED_TEXTS[1]];
    tokenizer.train(&mut TrainerWrapper::from(trainer), texts.iter()).expect("trained");
    let whole = tokenizer.to_string(false).expect("a tokenizer in JSON");
    serde_json::from_str::<Json>(&whole).expect("JSON")["model"].take()
}

fn pipeline(regex: &str, model: &Json, added: &[Json]) -> Json {
    let bytes =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
    let split =
        json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, bytes]},
        "post_processor": bytes, "decoder": bytes, "model": model,
    })
}

fn from_json(json: &Json) -> tokenizers::Tokenizer {
    tokenizers::Tokenizer::from_bytes(json.to_string()).expect("a whole tokenizer")
}

/// Tokens of the trained model by id, then [`MARKED`].
fn tokens() -> Vec<String> {
    let vocab = trained()["vocab"].as_object().expect("a vocabulary");
    let mut tokens: Vec<(u64, &String)> =
        vocab.iter().map(|(token, id)| (id.as_u64().expect("an id"), token)).collect();
    tokens.sort();
    let plain = tokens.into_iter().map(|(_, token)| token.clone());
    plain.chain(MARKED.map(|(token, _)| token.to_string())).collect()
}

/// Id of `<|im_start|>`.
pub(crate) fn im_start() -> u32 {
    (tokens().len() - MARKED.len() + 1) as u32
}

/// The tokenizer as a tokenizer.json, splitting by `regex`.
pub(crate) fn tokenizer_json(regex: &str) -> String {
    let added = MARKED.iter().skip(1).zip(im_start()..);
    let added = added.map(|((token, kind), id)| {
        json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": *kind == CONTROL})
    });
    let mut model = trained().clone();
    model["vocab"][MARKED[0].0] = json!(im_start() - 1);
    pipeline(regex, &model, &added.collect::<Vec<_>>()).to_string()
}

/// The tokenizer, ready to use.
pub(crate) fn bpe(regex: &str) -> HubTokenizer {
    let json: Json = serde_json::from_str(&tokenizer_json(regex)).expect("JSON");
    HubTokenizer::new(from_json(&json), "tokenizer.json")
}

/// The tokenizer as the metadata of a GGUF with that `tokenizer.ggml.pre`.
pub(crate) fn gguf_metadata(pre: &str) -> Metadata {
    let text = |text: &str| Value::String(text.into());
    let tokens = tokens();
    let mut types = vec![NORMAL; tokens.len() - MARKED.len()];
    types.extend(MARKED.map(|(_, kind)| kind));
    let merges = trained()["merges"].as_array().expect("merges").iter();
    let merges = merges.map(|m| text(&format!("{} {}", part(m, 0), part(m, 1))));
    HashMap::from([
        ("tokenizer.ggml.model".into(), text("gpt2")),
        ("tokenizer.ggml.pre".into(), text(pre)),
        ("tokenizer.ggml.merges".into(), Value::Array(merges.collect())),
        ("tokenizer.ggml.tokens".into(), Value::Array(tokens.iter().map(|t| text(t)).collect())),
        ("tokenizer.ggml.token_type".into(), Value::Array(types.into_iter().map(Value::I32).collect())),
    ])
}

fn part(merge: &Json, side: usize) -> &str {
    merge[side].as_str().expect("a merge of two pieces")
}
