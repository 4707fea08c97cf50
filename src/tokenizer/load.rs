//! The tokenizer and chat template of a model, or the stand-in with a note that says why.
//!
//! Comes in: a model's folder, or its GGUF's metadata, and the size of its embedding table. Goes
//! out: [`Loaded`]. Nothing is replaced silently, and nothing here is fatal: speed needs no text.

use std::path::Path;

use serde_json::Value as Json;

use super::chat::ChatTemplate;
use super::from_file::HubTokenizer;
use super::from_gguf::Metadata;
use super::stand_in::StandIn;
use super::{Tokenizer, TokenizerError, from_file, from_gguf};

/// What a model brings to turn messages into ids.
pub struct Loaded {
    /// The model's own, or the stand-in.
    pub tokenizer: Box<dyn Tokenizer>,
    /// The model's own; always `None` beside the stand-in, which has no special tokens.
    pub template: Option<ChatTemplate>,
    /// What was missing or unusable and what took its place, in sentences for the report.
    pub notes: Vec<String>,
}

/// Reads tokenizer.json and the chat template of a folder. `vocab_size` is the model's.
pub fn from_folder(folder: &Path, vocab_size: usize) -> Loaded {
    let file = folder.join("tokenizer.json");
    match from_file::read(&file).and_then(|t| fitting(t, vocab_size)) {
        Ok(tokenizer) => with_template(tokenizer, template_source(folder)),
        Err(error) => stand_in(vocab_size, &error.to_string()),
    }
}

/// Builds tokenizer and chat template from a GGUF's metadata. `vocab_size` is the model's.
pub fn from_gguf(metadata: &Metadata, vocab_size: usize) -> Loaded {
    const KEY: &str = "tokenizer.chat_template";
    let template = match metadata.contains_key(KEY) {
        true => from_gguf::string(metadata, KEY).map(|s| Some(s.to_owned())).map_err(|e| e.to_string()),
        false => Ok(None),
    };
    match from_gguf::build(metadata).and_then(|t| fitting(t, vocab_size)) {
        Ok(tokenizer) => with_template(tokenizer, template),
        Err(error) => stand_in(vocab_size, &error.to_string()),
    }
}

/// The stand-in, because of `reason`.
pub fn stand_in(vocab_size: usize, reason: &str) -> Loaded {
    let note = format!("ids come from the stand-in tokenizer, and requests are plain text: {reason}");
    Loaded { tokenizer: Box::new(StandIn::new(vocab_size)), template: None, notes: vec![note] }
}

/// Refuses a tokenizer whose ids the model has no embedding for.
fn fitting(tokenizer: HubTokenizer, vocab_size: usize) -> Result<HubTokenizer, TokenizerError> {
    match tokenizer.vocab_size() {
        0 => Err(TokenizerError::Build("it has no tokens".into())),
        size if size > vocab_size => Err(TokenizerError::TooManyIds { largest_id: size - 1, vocab_size }),
        _ => Ok(tokenizer),
    }
}

fn with_template(tokenizer: HubTokenizer, source: Result<Option<String>, String>) -> Loaded {
    let parsed = match source {
        Ok(Some(text)) => ChatTemplate::parse(&text).map_err(|e| e.to_string()),
        Ok(None) => Err("the model has no chat template".into()),
        Err(reason) => Err(reason),
    };
    let (template, notes) = match parsed {
        Ok(template) => (Some(template), Vec::new()),
        Err(reason) => (None, vec![format!("requests are plain text: {reason}")]),
    };
    Loaded { tokenizer: Box::new(tokenizer), template, notes }
}

/// chat_template.jinja, which wins, or `chat_template` of tokenizer_config.json.
fn template_source(folder: &Path) -> Result<Option<String>, String> {
    let read = |name: &str| match std::fs::read_to_string(folder.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("'{}' cannot be read: {e}", folder.join(name).display())),
    };
    if let Some(text) = read("chat_template.jinja")? {
        return Ok(Some(text));
    }
    let Some(config) = read("tokenizer_config.json")? else { return Ok(None) };
    let config: Json = serde_json::from_str(&config).map_err(|e| format!("tokenizer_config.json: {e}"))?;
    named_or_only(&config["chat_template"])
}

/// A template is a string, or a list of named ones of which `default` is meant.
fn named_or_only(template: &Json) -> Result<Option<String>, String> {
    match template {
        Json::Null => Ok(None),
        Json::String(text) => Ok(Some(text.clone())),
        Json::Array(list) => {
            let default = list.iter().find(|entry| entry["name"] == "default");
            let text = default.and_then(|entry| entry["template"].as_str());
            text.map(|t| Some(t.to_owned())).ok_or("none of the named chat templates is 'default'".into())
        }
        _ => Err("tokenizer_config.json: chat_template is neither a string nor a list".into()),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::gguf_file::Value;
    use serde_json::json;

    use super::*;
    use crate::tokenizer::chat::{Ending, Message, Role, Thinking};
    use crate::tokenizer::fixture;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("a writable folder");
        }
        folder
    }

    fn rendered(loaded: &Loaded) -> Option<String> {
        let messages = [Message::new(Role::User, "hi")];
        let template = loaded.template.as_ref()?;
        Some(template.render(&messages, Thinking::Unset, Ending::LastMessage).expect("rendered"))
    }

    #[test]
    fn the_template_is_found_in_each_of_its_places() {
        let tokenizer = fixture::tokenizer_json(fixture::QWEN2_REGEX);
        let string = json!({"chat_template": "string"}).to_string();
        let list = json!({"chat_template": [{"name": "tool_use", "template": "tools"},
                                            {"name": "default", "template": "named"}]})
        .to_string();
        for (files, expected) in [
            (vec![("chat_template.jinja", "file"), ("tokenizer_config.json", &string)], "file"),
            (vec![("tokenizer_config.json", &string)], "string"),
            (vec![("tokenizer_config.json", &list)], "named"),
        ] {
            let folder = folder(&[files, vec![("tokenizer.json", &tokenizer)]].concat());
            let loaded = from_folder(folder.path(), 5000);
            assert_eq!(rendered(&loaded).as_deref(), Some(expected));
            assert!(loaded.notes.is_empty(), "{:?}", loaded.notes);
        }
    }

    #[test]
    fn a_missing_or_broken_template_is_noted() {
        let tokenizer = fixture::tokenizer_json(fixture::QWEN2_REGEX);
        for (config, reason) in [
            ("{}", "no chat template"),
            (r#"{"chat_template": "{% if %}"}"#, "does not parse"),
            (r#"{"chat_template": 3}"#, "neither a string nor a list"),
            (r#"{"chat_template": []}"#, "'default'"),
            ("{", "tokenizer_config.json"),
        ] {
            let folder = folder(&[("tokenizer.json", &tokenizer), ("tokenizer_config.json", config)]);
            let loaded = from_folder(folder.path(), 5000);
            assert_eq!(loaded.tokenizer.name(), "tokenizer.json");
            assert!(loaded.template.is_none());
            assert!(loaded.notes[0].contains(reason), "{:?}", loaded.notes);
        }
    }

    #[test]
    fn a_tokenizer_that_cannot_serve_the_model_is_replaced_and_noted() {
        let tokenizer = fixture::tokenizer_json(fixture::QWEN2_REGEX);
        for (files, vocab_size, reason) in [
            (vec![], 5000, "could not read"),
            (vec![("tokenizer.json", "{}")], 5000, "could not read"),
            (vec![("tokenizer.json", tokenizer.as_str())], 100, "vocabulary has 100"),
        ] {
            let folder = folder(&files);
            let loaded = from_folder(folder.path(), vocab_size);
            assert_eq!(loaded.tokenizer.name(), "stand-in");
            assert_eq!(loaded.tokenizer.vocab_size(), vocab_size);
            assert!(loaded.notes[0].contains(reason), "{:?}", loaded.notes);
        }
    }

    #[test]
    fn a_gguf_brings_both_or_the_stand_in() {
        let mut metadata = fixture::gguf_metadata("qwen2");
        assert!(from_gguf(&metadata, 5000).notes[0].contains("no chat template"));
        metadata.insert("tokenizer.chat_template".into(), Value::String("inside".into()));
        let loaded = from_gguf(&metadata, 5000);
        assert_eq!((loaded.tokenizer.name(), rendered(&loaded)), ("gguf", Some("inside".into())));
        metadata.insert("tokenizer.ggml.pre".into(), Value::String("gpt-4o".into()));
        let loaded = from_gguf(&metadata, 5000);
        assert_eq!((loaded.tokenizer.name(), rendered(&loaded)), ("stand-in", None));
        assert!(loaded.notes[0].contains("'gpt-4o'"), "{:?}", loaded.notes);
    }
}
