//! The scenario file: the words around a request. `prompts/scenarios.toml` documents each of them.

use std::path::Path;

use serde::Deserialize;

use super::PromptsError;
use super::documents::read_text;

/// The file that is built in.
const SHIPPED: &str = include_str!("../../prompts/scenarios.toml");

/// The words around requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenarios {
    /// Who wrote the texts.
    pub origin: String,
    /// Under which licence.
    pub licence: String,
    /// The fine-tuned case.
    pub short: ShortWords,
    /// The RAG case.
    pub rag: RagWords,
    /// The hybrid; a file without it takes the shipped words.
    #[serde(default = "HybridWords::shipped")]
    pub hybrid: HybridWords,
    /// For a corpus without questions.
    pub generic: GenericQuestions,
}

/// Words of scenario `short`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShortWords {
    /// Notes before the question, cut where the common length is reached.
    pub details: String,
}

/// Words of scenario `rag`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RagWords {
    /// Instructions.
    pub system: String,
    /// Stands before the passages.
    pub passages_heading: String,
    /// Stands before the question.
    pub question_heading: String,
    /// Stands in the place of the passages where retrieval found none.
    #[serde(default = "nothing_found")]
    pub nothing_found: String,
}

fn nothing_found() -> String {
    "No passage was found.".into()
}

/// Words of scenario `hybrid`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HybridWords {
    /// Instructions.
    pub system: String,
}

impl HybridWords {
    fn shipped() -> Self {
        #[derive(Deserialize)]
        struct Part {
            hybrid: HybridWords,
        }
        let shipped: Result<Part, _> = toml::from_str(SHIPPED);
        shipped.map_or_else(|_| Self { system: String::new() }, |part| part.hybrid)
    }
}

/// Questions that any corpus can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenericQuestions {
    /// At least one.
    pub questions: Vec<String>,
}

impl Scenarios {
    /// The built-in scenarios.
    pub fn shipped() -> Result<Self, PromptsError> {
        Self::parse("prompts/scenarios.toml (built in)", SHIPPED)
    }

    /// Scenarios of the user's own.
    pub fn from_file(path: &Path) -> Result<Self, PromptsError> {
        Self::parse(&path.display().to_string(), &read_text(path)?)
    }

    /// Parses `text`; `file` is for messages.
    fn parse(file: &str, text: &str) -> Result<Self, PromptsError> {
        let broken = |reason: String| PromptsError::Scenarios { file: file.into(), reason };
        let scenarios: Self = toml::from_str(text).map_err(|e| broken(e.to_string()))?;
        let questions = &scenarios.generic.questions;
        if questions.is_empty() || questions.iter().any(|q| q.trim().is_empty()) {
            return Err(broken("[generic] needs at least one question, and none may be empty".into()));
        }
        Ok(scenarios)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_whole() {
        let scenarios = Scenarios::shipped().unwrap();
        assert!(scenarios.short.details.split_whitespace().count() >= 30);
        assert!(!scenarios.rag.system.contains('\n'));
        assert_eq!(scenarios.licence, "Apache-2.0");
    }

    #[test]
    fn a_broken_file_is_named_with_the_line() {
        let message = Scenarios::parse("mine.toml", "origin = 3\n").unwrap_err().to_string();
        assert!(message.contains("mine.toml") && message.contains("line 1"), "{message}");
        let without = SHIPPED.split("questions = [").next().unwrap().to_owned() + "questions = []\n";
        assert!(Scenarios::parse("f", &without).unwrap_err().to_string().contains("at least one question"));
        assert!(matches!(
            Scenarios::from_file(Path::new("nowhere.toml")),
            Err(PromptsError::Unreadable { .. })
        ));
    }
}
