//! What holds for every copy of the handbook.

use std::collections::HashSet;

use super::questions::stands_in;
use super::*;
use crate::prompts::corpus::mini;
use crate::prompts::scenarios::Scenarios;

fn handbook() -> Corpus {
    Corpus::shipped(&Scenarios::shipped().expect("shipped scenarios")).expect("the handbook")
}

#[test]
fn the_handbook_is_about_its_company() {
    let corpus = handbook();
    let grown = Grown::new(&corpus, 1);
    assert_eq!(grown.lexicon().subject(), Some("Orvelle"));
    let names: HashSet<&str> = grown.lexicon().names().collect();
    assert!(
        ["Kite", "Loom", "Ember", "Drift", "Tessaly", "Quill", "Ansa"]
            .iter()
            .all(|name| names.contains(name))
    );
    assert!(["Customer", "Ticket", "The", "Monday", "March"].iter().all(|word| !names.contains(word)));
}

#[test]
fn the_first_documents_are_the_originals() {
    let corpus = handbook();
    let grown = Grown::new(&corpus, 1);
    let mut asked = 0;
    for (i, original) in (0..).zip(&corpus.documents) {
        let document = grown.document(i);
        assert_eq!((&document.name, &document.text), (&original.name, &original.text));
        asked += document.questions.len();
    }
    assert_eq!(asked, corpus.questions.len());
}

#[test]
fn no_name_of_the_original_stands_in_a_copy() {
    let corpus = handbook();
    let grown = Grown::new(&corpus, 1);
    let per_copy = grown.documents_per_copy() as u64;
    for i in per_copy..4 * per_copy {
        let document = grown.document(i);
        let words: HashSet<&str> =
            lexicon::word_ranges(&document.text).map(|range| &document.text[range]).collect();
        let kept: Vec<&str> = grown.lexicon().names().filter(|name| words.contains(name)).collect();
        assert!(kept.is_empty(), "{}: {kept:?}", document.name);
    }
}

#[test]
fn a_copy_has_answers_of_its_own_and_questions_that_name_it() {
    let corpus = handbook();
    let grown = Grown::new(&corpus, 1);
    let (per_copy, mut asked) = (grown.documents_per_copy() as u64, 0);
    for i in per_copy..3 * per_copy {
        let document = grown.document(i);
        let company = document.name.split('/').next().unwrap();
        asked += document.questions.len();
        for question in &document.questions {
            let id = question.id.split('~').next().unwrap();
            let old = corpus.questions.iter().find(|q| q.id == id).unwrap();
            let gold = old.gold.as_ref().unwrap();
            let (new, old) =
                (question.accept.iter().chain([&question.answer]), gold.accept.iter().chain([&gold.answer]));
            let old: HashSet<&String> = old.collect();
            assert!(new.clone().all(|answer| !old.contains(answer)), "{question:?}");
            assert!(new.clone().any(|answer| stands_in(&document.text, answer)), "{question:?}");
            for text in [Some(&question.question), question.paraphrase.as_ref()].into_iter().flatten() {
                assert!(text.contains(company), "{text}");
            }
            assert!(document.text.contains(&format!("[{}]", question.id)));
        }
    }
    assert!(asked > 2 * 220, "{asked} of {} questions", 2 * corpus.questions.len());
}

#[test]
fn every_paragraph_of_prose_names_its_company() {
    let corpus = handbook();
    let document = Grown::new(&corpus, 1).document(21 + 3);
    let company = document.name.split('/').next().unwrap();
    let prose = document.text.split("\n\n").filter(|block| block.starts_with(char::is_alphabetic));
    assert!(prose.clone().count() > 20 && prose.clone().all(|block| block.contains(company)));
    assert!(
        !["A ", "An ", "The ", "Two ", "Customers "]
            .iter()
            .any(|word| document.text.contains(&format!("At {company}, {word}")))
    );
}

#[test]
fn a_document_follows_from_seed_and_number_alone() {
    let corpus = handbook();
    let [one, other] = [Grown::new(&corpus, 1), Grown::new(&corpus, 2)];
    let _ = one.document(30);
    assert_eq!(one.document(5_000_000), Grown::new(&corpus, 1).document(5_000_000));
    assert_ne!(one.document(30).text, other.document(30).text);
    assert_ne!(one.document(30).text, one.document(30 + 21).text);
    assert_eq!(one.document(3), other.document(3));
}

#[test]
fn a_corpus_with_copies_is_a_corpus() {
    let corpus = handbook();
    let grown = Grown::new(&corpus, 1);
    assert_eq!(grown.corpus_with_copies(0), corpus);
    let larger = grown.corpus_with_copies(2);
    assert_eq!(larger.documents.len(), 3 * corpus.documents.len());
    assert!(larger.questions.len() > corpus.questions.len() + 2 * 220);
    let ids: HashSet<&String> = larger.questions.iter().map(|question| &question.id).collect();
    assert_eq!(ids.len(), larger.questions.len());
    for question in &larger.questions {
        let gold = question.gold.as_ref().unwrap();
        let passage = &larger.passages[gold.passage];
        assert!(
            passage.facts.contains(&question.id) && passage.id.starts_with(&gold.chapter),
            "{}",
            question.id
        );
        assert!(passage.title.ends_with(&gold.section), "{} {}", passage.title, gold.section);
        assert!(!passage.text.contains("[F-"));
    }
    let originals = &larger.questions[..corpus.questions.len()];
    assert!(originals.iter().all(|question| question.text.contains("Orvelle")));
}

#[test]
fn a_folder_of_the_users_own_grows_too() {
    let scenarios = Scenarios::shipped().unwrap();
    let corpus = mini(&scenarios);
    let grown = Grown::new(&corpus, 1);
    assert_eq!(grown.lexicon().subject(), Some("Tern"));
    assert!(!grown.document(2).questions.is_empty());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "水泵停止。\n\nall in lower case, 12 times").unwrap();
    let nameless = Corpus::from_folder(folder.path(), &scenarios).unwrap();
    let grown = Grown::new(&nameless, 1);
    let texts: HashSet<String> = (0..100).map(|i| grown.document(i).text).collect();
    assert_eq!(texts.len(), 100);
}
