//! Questions with gold answers, one TOML file a chapter.

use std::collections::HashMap;

use serde::Deserialize;

use super::PromptsError;
use super::documents::Document;
use super::passages::Passage;

/// Something to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Id of the fact it asks for, or `generic-1` and the like.
    pub id: String,
    /// The question.
    pub text: String,
    /// What is known about the answer; `None` for a generic question.
    pub gold: Option<Gold>,
}

/// Where the answer stands, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gold {
    /// Index of the passage that states the fact.
    pub passage: usize,
    /// The document.
    pub chapter: String,
    /// The heading in it.
    pub section: String,
    /// The same question in other words, held out for scoring.
    pub paraphrase: Option<String>,
    /// The answer.
    pub answer: String,
    /// Wordings that count as right.
    pub accept: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    question: Vec<Entry>,
}

/// One `[[question]]` as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) id: String,
    chapter: String,
    section: String,
    question: String,
    paraphrase: Option<String>,
    answer: String,
    #[serde(default)]
    accept: Vec<String>,
}

/// Reads the entries of all files; ids must not repeat.
pub(super) fn parse(files: &[Document]) -> Result<Vec<Entry>, PromptsError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut origin: HashMap<String, &str> = HashMap::new();
    for file in files {
        let parsed: File = toml::from_str(&file.text).map_err(|e| broken(&file.name, e.to_string()))?;
        for entry in parsed.question {
            if let Some(other) = origin.insert(entry.id.clone(), &file.name) {
                return Err(broken(&file.name, format!("question {} is already in '{other}'", entry.id)));
            }
            if entry.question.trim().is_empty() {
                return Err(broken(&file.name, format!("question {} has no text", entry.id)));
            }
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// Ties each entry to the passage that holds its marker.
pub(super) fn resolve(entries: Vec<Entry>, passages: &[Passage]) -> Result<Vec<Question>, PromptsError> {
    let places: HashMap<&str, usize> =
        (0..).zip(passages).flat_map(|(i, p)| p.facts.iter().map(move |fact| (fact.as_str(), i))).collect();
    let question = |entry: Entry| {
        let passage = *places.get(entry.id.as_str()).ok_or_else(|| {
            broken(&entry.chapter, format!("no document has the marker [{}] of this question", entry.id))
        })?;
        let Entry { chapter, section, paraphrase, answer, accept, .. } = entry;
        let gold = Gold { passage, chapter, section, paraphrase, answer, accept };
        Ok(Question { id: entry.id, text: entry.question, gold: Some(gold) })
    };
    entries.into_iter().map(question).collect()
}

fn broken(file: &str, reason: String) -> PromptsError {
    PromptsError::Questions { file: file.into(), reason }
}
