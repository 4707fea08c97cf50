//! Questions of a copy, with the answers that hold there.

use std::ops::Range;

use super::cast::Cast;
use super::lexicon::{Lexicon, word_ranges};
use super::template::{Substitution, Template};
use crate::prompts::markers::Marked;
use crate::prompts::questions::{Gold, Question};

/// A question of one document, with the answer that the document gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrownQuestion {
    /// Id of the fact, e.g. `F-0412`, or `F-0412~3` in the third copy.
    pub id: String,
    /// Heading under which the fact stands.
    pub section: String,
    /// The question.
    pub question: String,
    /// The same in other words.
    pub paraphrase: Option<String>,
    /// The answer.
    pub answer: String,
    /// Wordings that count as right.
    pub accept: Vec<String>,
}

/// A question that can be asked of any copy.
#[derive(Clone, Debug)]
pub(super) struct QuestionTemplate {
    original: GrownQuestion,
    section: Template,
    question: Template,
    paraphrase: Option<Template>,
    answer: Template,
    accept: Vec<Template>,
    /// Bytes of the paragraph that states the fact.
    paragraph: Range<usize>,
}

impl QuestionTemplate {
    /// A question with a gold answer whose marker stands in `source`; `None` for any other.
    pub(super) fn of(question: &Question, source: &Marked, lexicon: &Lexicon) -> Option<Self> {
        let gold = question.gold.as_ref()?;
        let mark = source.marks.iter().find(|mark| mark.fact == question.id)?;
        Some(Self {
            original: original(question, gold),
            section: Template::phrase(&gold.section, lexicon),
            question: Template::question(&question.text, lexicon),
            paraphrase: gold.paraphrase.as_ref().map(|text| Template::question(text, lexicon)),
            answer: Template::phrase(&gold.answer, lexicon),
            accept: gold.accept.iter().map(|text| Template::phrase(text, lexicon)).collect(),
            paragraph: paragraph(&source.text, mark.at),
        })
    }

    /// As the corpus has it.
    pub(super) fn original(&self) -> &GrownQuestion {
        &self.original
    }

    /// The question of a copy. `None` where the copy gives the same answer as the original, or where its
    /// paragraph does not hold the answer word for word.
    pub(super) fn said(
        &self,
        copy: u64,
        cast: &Cast<'_>,
        lexicon: &Lexicon,
        document: &Template,
    ) -> Option<GrownQuestion> {
        let said = |template: &Template| template.said(cast).marked.text;
        let answer = said(&self.answer);
        let old: Vec<&String> = self.original.accept.iter().chain([&self.original.answer]).collect();
        if old.contains(&&answer) {
            return None;
        }
        let values = (self.answer.values(), Template::phrase(&answer, lexicon).values());
        let same_values = |template: &Template, new: &str| {
            template.values() == values.0 && Template::phrase(new, lexicon).values() == values.1
        };
        let accept = self.accept.iter().map(|template| (template, said(template)));
        let accept = accept.filter(|(template, new)| !old.contains(&new) && same_values(template, new));
        let accept: Vec<String> = accept.map(|(_, new)| new).collect();
        let paragraph = document.said_within(self.paragraph.clone(), cast).marked.text;
        accept.iter().chain([&answer]).find(|words| stands_in(&paragraph, words))?;
        Some(GrownQuestion {
            id: copy_id(&self.original.id, copy),
            section: said(&self.section),
            question: said(&self.question),
            paraphrase: self.paraphrase.as_ref().map(said),
            answer,
            accept,
        })
    }

    /// The original question, naming what the corpus is about, so that copies do not answer it.
    pub(super) fn named(&self, lexicon: &Lexicon) -> GrownQuestion {
        let said = |template: &Template| template.said(&Original(lexicon)).marked.text;
        let mut named = self.original.clone();
        if lexicon.subject().is_some() {
            named.question = said(&self.question);
            named.paraphrase = self.paraphrase.as_ref().map(said);
        }
        named
    }
}

/// Says everything as it stands.
struct Original<'a>(&'a Lexicon);

impl Substitution for Original<'_> {
    fn said(&self, _: super::pieces::Kind, text: &str) -> String {
        text.to_owned()
    }

    fn subject(&self) -> String {
        self.0.subject().unwrap_or_default().to_owned()
    }
}

/// Id of a fact in a copy.
pub(super) fn copy_id(fact: &str, copy: u64) -> String {
    format!("{fact}~{copy}")
}

fn original(question: &Question, gold: &Gold) -> GrownQuestion {
    GrownQuestion {
        id: question.id.clone(),
        section: gold.section.clone(),
        question: question.text.clone(),
        paraphrase: gold.paraphrase.clone(),
        answer: gold.answer.clone(),
        accept: gold.accept.clone(),
    }
}

/// The block between blank lines that ends at or holds byte `at`.
fn paragraph(text: &str, at: usize) -> Range<usize> {
    let at = at.clamp(1, text.len());
    let start = text[..text.floor_char_boundary(at - 1)].rfind("\n\n").map_or(0, |border| border + 2);
    let end = text[at..].find("\n\n").map_or(text.len(), |border| at + border);
    start..end
}

/// Whether these words stand in a text in this order, whatever the case and the marks between them.
pub(super) fn stands_in(text: &str, words: &str) -> bool {
    let folded = |text: &str| {
        let words: Vec<String> = word_ranges(text).map(|range| text[range].to_lowercase()).collect();
        format!(" {} ", words.join(" "))
    };
    folded(text).contains(&folded(words))
}
