//! Questions of general knowledge, which need no document: `prompts/general.toml`, built in.

use std::collections::HashSet;

use serde::Deserialize;

use super::PromptsError;

/// The file that is built in.
const SHIPPED: &str = include_str!("../../prompts/general.toml");
/// Its name in messages.
const NAME: &str = "prompts/general.toml (built in)";

/// The questions and where they come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneralQuestions {
    /// Who wrote them.
    pub origin: String,
    /// Under which licence.
    pub licence: String,
    /// At least one; no id twice.
    #[serde(rename = "question")]
    pub questions: Vec<GeneralQuestion>,
}

/// A question that a model answers from what it has learnt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneralQuestion {
    /// E.g. `G-001`; no fact of the handbook has such an id.
    pub id: String,
    /// The question.
    #[serde(rename = "question")]
    pub text: String,
    /// The answer.
    pub answer: String,
    /// Wordings that count as right.
    pub accept: Vec<String>,
}

impl GeneralQuestions {
    /// The built-in questions.
    pub fn shipped() -> Result<Self, PromptsError> {
        Self::parse(NAME, SHIPPED)
    }

    /// Parses `text`; `file` is for messages.
    fn parse(file: &str, text: &str) -> Result<Self, PromptsError> {
        let broken = |reason: String| PromptsError::Questions { file: file.into(), reason };
        let general: Self = toml::from_str(text).map_err(|e| broken(e.to_string()))?;
        let mut ids = HashSet::new();
        for question in &general.questions {
            if !ids.insert(question.id.as_str()) {
                return Err(broken(format!("question {} occurs twice", question.id)));
            }
            if question.text.trim().is_empty() || question.answer.trim().is_empty() {
                return Err(broken(format!("question {} has no text or no answer", question.id)));
            }
        }
        if ids.is_empty() {
            return Err(broken("it holds no question".into()));
        }
        Ok(general)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompts::corpus::Corpus;
    use crate::prompts::scenarios::Scenarios;

    /// Percent of the questions that begin with How, What or Which, with anything else, and words of one.
    fn form(texts: &[&str]) -> [usize; 5] {
        let begin = |word: &str| texts.iter().filter(|text| text.starts_with(word)).count();
        let [how, what, which] = ["How ", "What ", "Which "].map(begin);
        let other = texts.len() - how - what - which;
        let words: usize = texts.iter().map(|text| text.split_whitespace().count()).sum();
        let [how, what, which, other] = [how, what, which, other].map(|count| 100 * count / texts.len());
        [how, what, which, other, words / texts.len()]
    }

    #[test]
    fn the_shipped_questions_are_whole() {
        let general = GeneralQuestions::shipped().unwrap();
        assert_eq!((general.questions.len(), general.licence.as_str()), (80, "Apache-2.0"));
        for (number, question) in (1..).zip(&general.questions) {
            assert_eq!(question.id, format!("G-{number:03}"));
            assert!(question.text.ends_with('?') && !question.accept.is_empty(), "{}", question.id);
        }
        let texts: HashSet<&String> = general.questions.iter().map(|question| &question.text).collect();
        assert_eq!(texts.len(), 80);
    }

    #[test]
    fn their_form_is_that_of_the_handbooks_questions() {
        let general = GeneralQuestions::shipped().unwrap();
        let handbook = Corpus::shipped(&Scenarios::shipped().unwrap()).unwrap();
        let general: Vec<&str> = general.questions.iter().map(|q| q.text.as_str()).collect();
        let handbook: Vec<&str> = handbook.questions.iter().map(|q| q.text.as_str()).collect();
        let [ours, theirs] = [form(&general), form(&handbook)];
        let far: Vec<_> =
            ours.iter().zip(&theirs).filter(|(ours, theirs)| ours.abs_diff(**theirs) > 8).collect();
        assert!(far.is_empty() && ours[4] + 2 >= theirs[4], "{ours:?} {theirs:?}");
    }

    #[test]
    fn a_broken_file_is_named_with_its_question() {
        let message = |text: &str| GeneralQuestions::parse("g.toml", text).unwrap_err().to_string();
        let entry = "[[question]]\nid = \"G-1\"\nquestion = \"Q?\"\nanswer = \"A\"\naccept = []\n";
        let head = "origin = \"o\"\nlicence = \"l\"\n";
        assert!(message("origin = 3").contains("g.toml"));
        assert!(message(&format!("{head}{entry}{entry}")).contains("G-1 occurs twice"));
        assert!(
            message(&format!("{head}{}", entry.replace("\"A\"", "\" \""))).contains("no text or no answer")
        );
        assert!(message(&format!("{head}question = []\n")).contains("no question"));
    }
}
