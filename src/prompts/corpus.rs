//! What requests are made of: passages, and questions to ask of them.

use std::collections::HashSet;
use std::path::Path;

use super::documents::{self, Document};
use super::passages::{self, Passage};
use super::questions::{self, Question};
use super::scenarios::Scenarios;
use super::{PromptsError, handbook};

/// Passages and questions; neither is ever empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    /// Whole, with the markers of their facts, in the order of their names.
    pub documents: Vec<Document>,
    /// In the order of the documents.
    pub passages: Vec<Passage>,
    /// In the order of the question files.
    pub questions: Vec<Question>,
}

impl Corpus {
    /// The handbook that is built in.
    pub fn shipped(scenarios: &Scenarios) -> Result<Self, PromptsError> {
        let chapter = |c: &handbook::Chapter| Document { name: c.name.into(), text: c.text.into() };
        let asked = |c: &handbook::Chapter| Document { name: c.name.into(), text: c.questions.into() };
        let chapters: Vec<_> = handbook::CHAPTERS.iter().map(chapter).collect();
        let files: Vec<_> = handbook::CHAPTERS.iter().map(asked).collect();
        Self::build(chapters, &files, scenarios, Path::new("prompts/handbook (built in)"))
    }

    /// The `.md` and `.txt` files under `folder`, and its `questions/*.toml` if it has any; without
    /// them, the generic questions of the scenarios are asked.
    pub fn from_folder(folder: &Path, scenarios: &Scenarios) -> Result<Self, PromptsError> {
        if !folder.is_dir() {
            return Err(PromptsError::NoFolder(folder.into()));
        }
        let asked = folder.join("questions");
        let files = if asked.is_dir() { documents::read_folder(&asked, &["toml"])? } else { Vec::new() };
        Self::build(documents::read_folder(folder, &["md", "txt"])?, &files, scenarios, folder)
    }

    /// Whether `id` is the id of a fact, so that `[id]` is a marker in the documents.
    pub fn is_fact(&self, id: &str) -> bool {
        self.questions.iter().any(|question| question.gold.is_some() && question.id == id)
    }

    fn build(
        documents: Vec<Document>,
        question_files: &[Document],
        scenarios: &Scenarios,
        origin: &Path,
    ) -> Result<Self, PromptsError> {
        let entries = questions::parse(question_files)?;
        let ids: HashSet<String> = entries.iter().map(|entry| entry.id.clone()).collect();
        let passages: Vec<Passage> =
            documents.iter().flat_map(|text| passages::cut(text, &|id| ids.contains(id))).collect();
        if passages.is_empty() {
            return Err(PromptsError::NoDocuments(origin.into()));
        }
        let mut questions = questions::resolve(entries, &passages)?;
        if questions.is_empty() {
            questions = generic(scenarios);
        }
        Ok(Self { documents, passages, questions })
    }
}

fn generic(scenarios: &Scenarios) -> Vec<Question> {
    let questions = (1..).zip(&scenarios.generic.questions);
    questions
        .map(|(n, text)| Question { id: format!("generic-{n}"), text: text.clone(), gold: None })
        .collect()
}

/// The small corpus under `tests/fixtures/corpus`.
#[cfg(test)]
pub(crate) fn mini(scenarios: &Scenarios) -> Corpus {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus");
    Corpus::from_folder(&folder, scenarios).expect("the corpus of the tests")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenarios() -> Scenarios {
        Scenarios::shipped().expect("shipped scenarios")
    }

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("questions")).expect("a writable folder");
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).expect("a writable folder");
        }
        folder
    }

    fn message(files: &[(&str, &[u8])]) -> String {
        Corpus::from_folder(folder(files).path(), &scenarios()).expect_err("an error").to_string()
    }

    #[test]
    fn every_question_knows_the_passage_that_answers_it() {
        let corpus = mini(&scenarios());
        assert_eq!(corpus.questions.len(), 7);
        for question in &corpus.questions {
            let gold = question.gold.as_ref().unwrap();
            let passage = &corpus.passages[gold.passage];
            assert!(passage.facts.contains(&question.id), "{}", question.id);
            assert!(passage.title.ends_with(&gold.section), "{}", passage.title);
            assert!(passage.id.starts_with(&gold.chapter));
        }
        assert!(corpus.passages.iter().all(|p| !p.text.contains("[F-")));
    }

    #[test]
    fn documents_without_questions_are_asked_generic_ones() {
        let folder = folder(&[("a.txt", b"Some text. [F-0101]")]);
        let corpus = Corpus::from_folder(folder.path(), &scenarios()).unwrap();
        assert_eq!(corpus.questions.len(), scenarios().generic.questions.len());
        assert_eq!(corpus.questions[0].gold, None);
        assert_eq!(corpus.passages[0].text, "Some text. [F-0101]");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let missing = Corpus::from_folder(Path::new("no/such/folder"), &scenarios()).unwrap_err();
        assert!(missing.to_string().contains("no/such/folder"));
        assert!(message(&[("a.pdf", b"x"), ("b.md", b"# Only a title\n")]).contains("no .md or .txt file"));
        assert!(message(&[("a.md", b""), ("b.txt", b" \n")]).contains("with text in it"));
        assert!(message(&[("a.md", b"ok \xff")]).contains("offset 3"));
        let broken: &[(&str, &[u8])] = &[("a.md", b"Text."), ("questions/q.toml", b"[[question]]\nid = 3\n")];
        assert!(message(broken).contains("q.toml"));
    }

    #[test]
    fn a_question_needs_a_fact_and_an_id_of_its_own() {
        let entry = "[[question]]\nid = \"F-1\"\nchapter = \"a.md\"\nsection = \"S\"\nquestion = \"Q?\"\nanswer = \"A\"\n";
        let lost = message(&[("a.md", b"Text."), ("questions/q.toml", entry.as_bytes())]);
        assert!(lost.contains("a.md") && lost.contains("[F-1]"), "{lost}");
        let twice = entry.repeat(2);
        let twice = message(&[("a.md", b"Text. [F-1]"), ("questions/q.toml", twice.as_bytes())]);
        assert!(twice.contains("already in 'q.toml'"), "{twice}");
    }
}
