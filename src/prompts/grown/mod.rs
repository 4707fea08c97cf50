//! A corpus grown to any size: copies of its documents in which names and numbers are others.
//!
//! Comes in: a corpus and a seed. Goes out: document `i`, made from (seed, i) alone, with the questions that it
//! answers. Not here: chunks and tokens; that is [`crate::retrieval::chunks`]'s.
//!
//! A copy is the handbook of another company. It says everything in the original's words, but each name, number,
//! month, weekday and some nouns are exchanged for others, the same ones throughout the copy. So its sentences are
//! prose, its facts have answers of their own, and the answer to a question about the original is not among
//! them: the original's names stand nowhere in it. Each of its paragraphs names its company, and so does each of
//! its questions. A fact that says the same in the copy gets no question.

mod cast;
mod lexicon;
mod numbers;
mod pieces;
mod questions;
mod template;
mod words;

use std::ops::Range;

use super::corpus::Corpus;
use super::documents::Document;
use super::markers::{Mark, Marked};
use super::passages;
use super::questions::{Gold, Question};
use cast::Cast;
use questions::{QuestionTemplate, copy_id};
use template::{Costliest, Template};

pub use lexicon::Lexicon;
pub use questions::GrownQuestion;

/// Changes whenever equal arguments give other copies than before.
pub const GENERATOR_VERSION: u32 = 1;
/// Copies whose words are weighed where a length has to hold for all of them: the first, and some far away,
/// whose names are longer.
const WEIGHED: [u64; 16] =
    [1, 2, 3, 4, 5, 6, 7, 8, 30, 120, 480, 1920, 1_000_001, 1_000_002, 1_000_003, 1_000_004];

/// A corpus and all its copies.
#[derive(Clone, Debug)]
pub struct Grown<'a> {
    corpus: &'a Corpus,
    seed: u64,
    lexicon: Lexicon,
    documents: Vec<Template>,
    /// Per document.
    questions: Vec<Vec<QuestionTemplate>>,
}

/// One document of a grown corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrownDocument {
    /// As in the corpus; in a copy behind the name of its company, e.g. `Kovaley/04-returns.md`.
    pub name: String,
    /// With markers; those of copy 3 read `[F-0412~3]`.
    pub text: String,
    /// Questions that this document answers.
    pub questions: Vec<GrownQuestion>,
}

impl<'a> Grown<'a> {
    /// Reads the corpus; no copy is made yet.
    pub fn new(corpus: &'a Corpus, seed: u64) -> Self {
        let is_fact = |id: &str| corpus.is_fact(id);
        let sources: Vec<Marked> = corpus.documents.iter().map(|d| Marked::read(&d.text, &is_fact)).collect();
        let lexicon = Lexicon::of(&sources.iter().map(|source| source.text.as_str()).collect::<Vec<_>>());
        let documents: Vec<Template> =
            sources.into_iter().map(|source| Template::document(source, &lexicon)).collect();
        let asked = |document: &Template| {
            let asked = corpus.questions.iter();
            asked.filter_map(|question| QuestionTemplate::of(question, document.source(), &lexicon)).collect()
        };
        let questions = documents.iter().map(asked).collect();
        Self { corpus, seed, lexicon, documents, questions }
    }

    /// Documents of the corpus, and so of each copy.
    pub fn documents_per_copy(&self) -> usize {
        self.documents.len()
    }

    /// The names of the corpus.
    pub fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// Document `i`: the corpus first, then copy after copy.
    pub fn document(&self, i: u64) -> GrownDocument {
        let per_copy = self.documents.len() as u64;
        let (copy, at) = (i / per_copy, (i % per_copy) as usize);
        let original = &self.corpus.documents[at];
        let Some(cast) = self.cast(copy) else {
            let questions = self.questions[at].iter().map(|question| question.original().clone()).collect();
            return GrownDocument { name: original.name.clone(), text: original.text.clone(), questions };
        };
        let text = with_copy_ids(self.documents[at].said(&cast).marked, copy).written();
        let asked =
            |question: &QuestionTemplate| question.said(copy, &cast, &self.lexicon, &self.documents[at]);
        let questions = self.questions[at].iter().filter_map(asked).collect();
        GrownDocument { name: self.name(copy, at), text, questions }
    }

    /// The corpus with the documents, passages and questions of the first `copies` copies.
    ///
    /// With at least one copy, questions of the original name its company too; without any, it is the corpus.
    pub fn corpus_with_copies(&self, copies: usize) -> Corpus {
        let mut corpus = self.corpus.clone();
        if copies == 0 {
            return corpus;
        }
        self.name_originals(&mut corpus);
        let first = self.documents.len() as u64;
        for i in first..first * (copies as u64 + 1) {
            let grown = self.document(i);
            let suffix = format!("~{}", i / first);
            let is_fact = |id: &str| id.strip_suffix(&suffix).is_some_and(|fact| self.corpus.is_fact(fact));
            let document = Document { name: grown.name, text: grown.text };
            let before = corpus.passages.len();
            corpus.passages.extend(passages::cut(&document, &is_fact));
            for question in grown.questions {
                let passage = corpus.passages[before..].iter().position(|p| p.facts.contains(&question.id));
                corpus.questions.extend(passage.map(|at| asked(question, before + at, &document.name)));
            }
            corpus.documents.push(document);
        }
        corpus
    }

    fn name_originals(&self, corpus: &mut Corpus) {
        for template in self.questions.iter().flatten() {
            let named = template.named(&self.lexicon);
            let Some(question) = corpus.questions.iter_mut().find(|q| q.id == named.id) else { continue };
            question.text = named.question;
            if let Some(gold) = &mut question.gold {
                gold.paraphrase = named.paraphrase;
            }
        }
    }

    /// Substitutions of a copy; `None` for the original.
    fn cast(&self, copy: u64) -> Option<Cast<'_>> {
        (copy > 0).then(|| Cast::new(&self.lexicon, self.seed, copy))
    }

    /// Name of a document in a copy.
    pub(crate) fn name(&self, copy: u64, document: usize) -> String {
        let name = &self.corpus.documents[document].name;
        self.cast(copy).map_or_else(|| name.clone(), |cast| format!("{}/{name}", cast.name(0)))
    }

    /// A document of the corpus without its markers.
    pub(crate) fn source(&self, document: usize) -> &Marked {
        self.documents[document].source()
    }

    /// What a copy says for these bytes of a document; the bytes themselves for copy 0.
    pub(crate) fn part(&self, copy: u64, document: usize, bytes: Range<usize>) -> Marked {
        let template = &self.documents[document];
        match self.cast(copy) {
            Some(cast) => with_copy_ids(template.said_within(bytes, &cast).marked, copy),
            None => part_of(template.source(), bytes),
        }
    }

    /// Parts of a document whose every copy is as long as `cut` allows: `cut` is given a text of the longest words
    /// that copies use, as `cost` weighs them, and its borders are found again in the document.
    pub(crate) fn cut_for_all<E>(
        &self,
        document: usize,
        cost: &dyn Fn(&str) -> usize,
        cut: impl FnOnce(&str) -> Result<Vec<Range<usize>>, E>,
    ) -> Result<Vec<Range<usize>>, E> {
        let casts = WEIGHED.into_iter().filter_map(|copy| self.cast(copy)).collect();
        let said = self.documents[document].said(&Costliest::new(casts, cost));
        let parts = cut(&said.marked.text)?;
        let length = self.source(document).text.len();
        let border = |at| if at == said.marked.text.len() { length } else { said.source_of(at) };
        Ok(parts.into_iter().map(|part| border(part.start)..border(part.end)).collect())
    }
}

fn part_of(source: &Marked, bytes: Range<usize>) -> Marked {
    let inside = source.marks.iter().filter(|mark| mark.at.max(1) > bytes.start && mark.at <= bytes.end);
    let marks = inside
        .map(|mark| Mark { fact: mark.fact.clone(), at: mark.at.saturating_sub(bytes.start) })
        .collect();
    Marked { text: source.text[bytes].to_owned(), marks }
}

fn with_copy_ids(mut marked: Marked, copy: u64) -> Marked {
    for mark in &mut marked.marks {
        mark.fact = copy_id(&mark.fact, copy);
    }
    marked
}

fn asked(question: GrownQuestion, passage: usize, document: &str) -> Question {
    let GrownQuestion { id, section, question, paraphrase, answer, accept } = question;
    let gold = Gold { passage, chapter: document.to_owned(), section, paraphrase, answer, accept };
    Question { id, text: question, gold: Some(gold) }
}

#[cfg(test)]
mod tests;
