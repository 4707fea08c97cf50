//! A vocabulary as llama.cpp's converter puts it into a GGUF file, and back through our reader.

use std::collections::HashMap;
use std::io::{Seek, Write};

use candle_core::quantized::gguf_file::{self, Value};
use ctxbench::tokenizer::from_file::HubTokenizer;
use ctxbench::tokenizer::from_gguf;
use serde_json::Value as Json;

const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// What the tokenizer's keys hold.
pub struct Vocabulary {
    pub tokens: Vec<String>,
    pub types: Vec<i32>,
    pub merges: Vec<String>,
}

impl Vocabulary {
    /// Ordinary tokens in the order of their ids.
    pub fn new(tokens: Vec<String>, merges: Vec<String>) -> Self {
        let types = vec![NORMAL; tokens.len()];
        Self { tokens, types, merges }
    }

    /// The content of a tokenizer.json.
    pub fn from_json(file: &Json) -> Self {
        let vocab = file["model"]["vocab"].as_object().expect("a vocabulary");
        let mut tokens: Vec<(u64, &String)> =
            vocab.iter().map(|(token, id)| (id.as_u64().expect("an id"), token)).collect();
        tokens.sort();
        let merges = file["model"]["merges"].as_array().expect("merges").iter().map(|merge| {
            let part = |side: usize| merge[side].as_str().expect("a merge is two pieces");
            format!("{} {}", part(0), part(1))
        });
        let tokens = tokens.into_iter().map(|(_, token)| token.clone()).collect();
        let mut vocabulary = Self::new(tokens, merges.collect());
        for added in file["added_tokens"].as_array().expect("added tokens") {
            assert_eq!(added["id"].as_u64(), Some(vocabulary.tokens.len() as u64), "ids without a gap");
            let special = added["special"].as_bool().expect("special or not");
            vocabulary.add(added["content"].as_str().expect("a token"), special);
        }
        vocabulary
    }

    /// Adds a marked token; the converter takes `<|...|>` for special whatever its file says.
    pub fn add(&mut self, token: &str, special: bool) {
        let control = special || token.starts_with("<|") && token.ends_with("|>");
        self.types.push(if control { CONTROL } else { USER_DEFINED });
        self.tokens.push(token.into());
    }

    /// Whether a text holds a marked token, written out.
    pub fn marks(&self, text: &str) -> bool {
        let marked =
            self.tokens.iter().zip(&self.types).filter(|(_, kind)| [CONTROL, USER_DEFINED].contains(kind));
        text.contains('<') && marked.into_iter().any(|(token, _)| text.contains(token.as_str()))
    }

    /// Fills up to the rows of the model's embedding table. Returns how many tokens that took.
    pub fn pad(&mut self, rows: usize) -> usize {
        let real = self.tokens.len();
        self.tokens.extend((real..rows).map(|id| format!("[PAD{id}]")));
        self.types.resize(rows, UNUSED);
        rows - real
    }

    /// Writes a GGUF file that holds only this, and reads it as a model's file is read.
    pub fn through_gguf(&self, pre: &str) -> HubTokenizer {
        let text = |text: &str| Value::String(text.into());
        let texts = |texts: &[String]| Value::Array(texts.iter().map(|t| text(t)).collect());
        let types = self.types.iter().map(|kind| Value::I32(*kind)).collect();
        let keys: HashMap<&str, Value> = HashMap::from([
            ("tokenizer.ggml.model", text("gpt2")),
            ("tokenizer.ggml.pre", text(pre)),
            ("tokenizer.ggml.tokens", texts(&self.tokens)),
            ("tokenizer.ggml.token_type", Value::Array(types)),
            ("tokenizer.ggml.merges", texts(&self.merges)),
            ("tokenizer.ggml.add_bos_token", Value::Bool(false)),
        ]);
        let metadata: Vec<(&str, &Value)> = keys.iter().map(|(key, value)| (*key, value)).collect();
        let mut file = tempfile::tempfile().expect("a temporary file");
        let mut buffered = std::io::BufWriter::new(&mut file);
        gguf_file::write(&mut buffered, &metadata, &[]).expect("a writable file");
        buffered.flush().expect("a writable file");
        drop(buffered);
        file.rewind().expect("a file that can be read again");
        let content = gguf_file::Content::read(&mut std::io::BufReader::new(file)).expect("a GGUF file");
        from_gguf::build(&content.metadata).expect("a tokenizer")
    }
}
