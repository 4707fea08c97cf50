//! A GGUF's own tokenizer, from its metadata.
//!
//! candle-core has such a reader, but it turns what it does not know into GPT-2 without a word
//! (`qwen35` among them), which gives wrong ids. This one refuses. `add_bos_token` is not looked at:
//! no model of Qwen was trained with a token before the text, and some converters set it all the same.

use std::collections::HashMap;

use candle_core::quantized::gguf_file::Value;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, PreTokenizerWrapper, SplitDelimiterBehavior};

use super::TokenizerError;
use super::from_file::HubTokenizer;

/// Metadata of a GGUF file.
pub type Metadata = HashMap<String, Value>;

/// Splitting rule of Qwen2, Qwen2.5 and Qwen3.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Splitting rule of Qwen3.5: combining marks belong to words.
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// `tokenizer.ggml.token_type` of special tokens.
const CONTROL: i64 = 3;
/// `tokenizer.ggml.token_type` of tokens that are matched whole but are ordinary text.
const USER_DEFINED: i64 = 4;

/// Where a file names ids that end a text or a turn. Either may be missing.
const END_KEYS: [&str; 2] = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"];

/// Builds the tokenizer that the metadata describes.
pub fn build(metadata: &Metadata) -> Result<HubTokenizer, TokenizerError> {
    let kind = string(metadata, "tokenizer.ggml.model")?;
    if kind != "gpt2" {
        return Err(unsupported("tokenizer.ggml.model", kind, "gpt2"));
    }
    let regex = match string(metadata, "tokenizer.ggml.pre")? {
        "qwen2" => QWEN2,
        "qwen35" => QWEN35,
        other => return Err(unsupported("tokenizer.ggml.pre", other, "qwen2, qwen35")),
    };
    let tokens = strings(metadata, "tokenizer.ggml.tokens")?;
    let mut tokenizer = pipeline(&tokens, merges(metadata)?, regex)
        .map_err(|e: tokenizers::Error| TokenizerError::Build(e.to_string()))?;
    add_marked_tokens(&mut tokenizer, &tokens, &types(metadata, tokens.len())?)?;
    Ok(HubTokenizer::new(tokenizer, "gguf").ending_in(named_ends(metadata, tokens.len())?))
}

/// Ids that the file itself names as the end of a text or a turn.
fn named_ends(metadata: &Metadata, tokens: usize) -> Result<Vec<u32>, TokenizerError> {
    let present = END_KEYS.iter().filter_map(|key| metadata.get(*key).map(|value| (*key, value)));
    let id = |(key, value)| match integer(value).and_then(|id| u32::try_from(id).ok()) {
        Some(id) if (id as usize) < tokens => Ok(id),
        _ => Err(bad(key, format!("it is {value:?}, which is no id below {tokens}"))),
    };
    present.map(id).collect()
}

fn pipeline(
    tokens: &[&str],
    merges: Vec<(String, String)>,
    regex: &str,
) -> tokenizers::Result<tokenizers::Tokenizer> {
    let vocab = tokens.iter().zip(0u32..).map(|(token, id)| (token.to_string(), id));
    let bpe = BPE::builder().vocab_and_merges(vocab.collect::<Vocab>(), merges).build()?;
    let mut tokenizer = tokenizers::Tokenizer::new(bpe);
    let bytes = ByteLevel::new(false, false, false);
    let split = Split::new(SplitPattern::Regex(regex.into()), SplitDelimiterBehavior::Isolated, false)?;
    tokenizer.with_normalizer(Some(NFC))?;
    tokenizer
        .with_pre_tokenizer(Some(PreTokenizerWrapper::from(Sequence::new(vec![split.into(), bytes.into()]))));
    tokenizer.with_decoder(Some(bytes));
    tokenizer.with_post_processor(Some(bytes));
    Ok(tokenizer)
}

/// Control tokens become special, user-defined ones are matched whole; unused ones are left alone.
fn add_marked_tokens(
    tokenizer: &mut tokenizers::Tokenizer,
    tokens: &[&str],
    types: &[i64],
) -> Result<(), TokenizerError> {
    let marked = tokens.iter().zip(types).filter_map(|(token, kind)| match *kind {
        CONTROL => Some(AddedToken::from(*token, true)),
        USER_DEFINED => Some(AddedToken::from(*token, false)),
        _ => None,
    });
    let marked: Vec<AddedToken> = marked.map(|token| token.normalized(false)).collect();
    tokenizer.add_tokens(marked).map_err(|e| TokenizerError::Build(e.to_string()))?;
    Ok(())
}

fn merges(metadata: &Metadata) -> Result<Vec<(String, String)>, TokenizerError> {
    const KEY: &str = "tokenizer.ggml.merges";
    let pair = |line: &str| match line.split_once(' ') {
        Some((left, right)) => Ok((left.to_string(), right.to_string())),
        None => Err(bad(KEY, format!("'{line}' is not two pieces with a space between"))),
    };
    strings(metadata, KEY)?.into_iter().map(pair).collect()
}

fn types(metadata: &Metadata, tokens: usize) -> Result<Vec<i64>, TokenizerError> {
    const KEY: &str = "tokenizer.ggml.token_type";
    let types: Option<Vec<i64>> = array(metadata, KEY)?.iter().map(integer).collect();
    let types = types.ok_or_else(|| bad(KEY, "an entry is not an integer"))?;
    match types.len() == tokens {
        true => Ok(types),
        false => Err(bad(KEY, format!("{} entries for {tokens} tokens", types.len()))),
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::U8(v) => Some(i64::from(*v)),
        Value::I8(v) => Some(i64::from(*v)),
        Value::U16(v) => Some(i64::from(*v)),
        Value::I16(v) => Some(i64::from(*v)),
        Value::U32(v) => Some(i64::from(*v)),
        Value::I32(v) => Some(i64::from(*v)),
        Value::I64(v) => Some(*v),
        Value::U64(v) => i64::try_from(*v).ok(),
        _ => None,
    }
}

/// The string under `key`.
pub(super) fn string<'a>(metadata: &'a Metadata, key: &str) -> Result<&'a str, TokenizerError> {
    match metadata.get(key) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(bad(key, format!("it is {:?}, not a string", other.value_type()))),
        None => Err(bad(key, "it is missing")),
    }
}

fn strings<'a>(metadata: &'a Metadata, key: &str) -> Result<Vec<&'a str>, TokenizerError> {
    let text = |value: &'a Value| match value {
        Value::String(text) => Ok(text.as_str()),
        other => Err(bad(key, format!("an entry is {:?}, not a string", other.value_type()))),
    };
    array(metadata, key)?.iter().map(text).collect()
}

fn array<'a>(metadata: &'a Metadata, key: &str) -> Result<&'a [Value], TokenizerError> {
    match metadata.get(key) {
        Some(Value::Array(values)) => Ok(values),
        Some(other) => Err(bad(key, format!("it is {:?}, not an array", other.value_type()))),
        None => Err(bad(key, "it is missing")),
    }
}

fn bad(key: &str, reason: impl Into<String>) -> TokenizerError {
    TokenizerError::Metadata { key: key.into(), reason: reason.into() }
}

fn unsupported(key: &str, found: &str, supported: &str) -> TokenizerError {
    TokenizerError::Unsupported { key: key.into(), found: found.into(), supported: supported.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::Tokenizer;
    use crate::tokenizer::fixture::{self, MIXED_TEXTS, QWEN2_REGEX, QWEN35_REGEX};

    #[test]
    fn metadata_and_tokenizer_json_encode_alike() {
        for (pre, regex) in [("qwen2", QWEN2_REGEX), ("qwen35", QWEN35_REGEX)] {
            let from_file = fixture::bpe(regex);
            let from_gguf = build(&fixture::gguf_metadata(pre)).unwrap();
            assert_eq!(from_gguf.vocab_size(), from_file.vocab_size());
            for text in MIXED_TEXTS {
                let ids = from_gguf.encode(text).unwrap();
                assert_eq!(ids, from_file.encode(text).unwrap(), "{pre}: {text:?}");
                assert_eq!(from_gguf.decode(&ids).unwrap(), from_file.decode(&ids).unwrap(), "{text:?}");
            }
        }
    }

    #[test]
    fn marks_belong_to_hindi_words_in_qwen35_only() {
        let old = build(&fixture::gguf_metadata("qwen2")).unwrap();
        let new = build(&fixture::gguf_metadata("qwen35")).unwrap();
        let hindi = "हिन्दी में पूछें";
        assert_ne!(old.encode(hindi).unwrap(), new.encode(hindi).unwrap());
        assert_eq!(old.decode(&old.encode(hindi).unwrap()).unwrap(), hindi);
        assert_eq!(new.decode(&new.encode(hindi).unwrap()).unwrap(), hindi);
        let english = "The pump restarts after 90 seconds.";
        assert_eq!(old.encode(english).unwrap(), new.encode(english).unwrap());
    }

    #[test]
    fn control_tokens_vanish_in_decoding_and_user_defined_ones_stay() {
        let tokenizer = build(&fixture::gguf_metadata("qwen2")).unwrap();
        let ids = tokenizer.encode("<|im_start|><think>a").unwrap();
        assert_eq!(ids.len(), 3);
        assert_eq!(tokenizer.decode(&ids).unwrap(), "<think>a");
        // An unused token is not matched as a whole.
        assert!(tokenizer.encode("[PAD0]").unwrap().len() > 1);
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (key, value, expected) in [
            ("tokenizer.ggml.pre", "llama-bpe", "'llama-bpe'; supported: qwen2, qwen35"),
            ("tokenizer.ggml.model", "llama", "'llama'; supported: gpt2"),
        ] {
            let mut metadata = fixture::gguf_metadata("qwen2");
            metadata.insert(key.into(), Value::String(value.into()));
            let message = build(&metadata).err().expect("an error").to_string();
            assert!(message.contains(key) && message.contains(expected), "{message}");
        }
    }

    #[test]
    fn missing_and_mistyped_keys_are_named() {
        for key in ["model", "pre", "tokens", "token_type", "merges"].map(|k| format!("tokenizer.ggml.{k}")) {
            let mut metadata = fixture::gguf_metadata("qwen2");
            metadata.remove(&key);
            assert!(build(&metadata).err().expect("an error").to_string().contains(&key), "{key}");
            metadata.insert(key.clone(), Value::F32(1.0));
            assert!(build(&metadata).err().expect("an error").to_string().contains(&key), "{key}");
        }
    }

    #[test]
    fn ends_are_the_known_ones_and_those_that_the_file_names() {
        let mut metadata = fixture::gguf_metadata("qwen35");
        let im_end = fixture::im_start() + 1;
        assert_eq!(build(&metadata).unwrap().stop_ids(), [im_end]);
        metadata.insert("tokenizer.ggml.eos_token_id".into(), Value::U32(7));
        metadata.insert("tokenizer.ggml.eot_token_id".into(), Value::U32(im_end));
        assert_eq!(build(&metadata).unwrap().stop_ids(), [7, im_end]);
        for value in [Value::U32(im_end + 2), Value::I32(-1), Value::String("</s>".into())] {
            metadata.insert("tokenizer.ggml.eos_token_id".into(), value);
            let message = build(&metadata).err().expect("an error").to_string();
            assert!(message.contains("eos_token_id") && message.contains("no id below"), "{message}");
        }
    }

    #[test]
    fn no_token_comes_before_the_text() {
        let mut metadata = fixture::gguf_metadata("qwen2");
        let ids = build(&metadata).unwrap().encode("a b").unwrap();
        metadata.insert("tokenizer.ggml.add_bos_token".into(), Value::Bool(true));
        metadata.insert("tokenizer.ggml.bos_token_id".into(), Value::U32(3));
        assert_eq!(build(&metadata).unwrap().encode("a b").unwrap(), ids);
    }

    #[test]
    fn merges_of_unknown_pieces_are_an_error() {
        let mut metadata = fixture::gguf_metadata("qwen2");
        let merge = Value::Array(vec![Value::String("never seen".into())]);
        metadata.insert("tokenizer.ggml.merges".into(), merge);
        assert!(matches!(build(&metadata), Err(TokenizerError::Build(_))));
    }
}
