//! Builds the requests of each scenario.
//!
//! Long requests are counted in parts that end at blank lines, where Qwen's tokenizers never join
//! ids; only the last part is cut to size, and the whole is encoded once to prove its length. A
//! tokenizer for which the parts do not add up is served by cutting on the whole text, slowly.

use std::sync::OnceLock;

use rand::seq::SliceRandom;

use super::body::{Body, Source};
use super::fit::{Borders, Fitted, Keep, Region};
use super::layout::{Frame, GAP, Layout};
use super::seeded::{code, stream};
use super::vary::Variation;
use super::{Note, Request, WorkloadError};
use crate::prompts::corpus::Corpus;
use crate::prompts::questions::Question;
use crate::prompts::scenarios::Scenarios;
use crate::tokenizer::Tokenizer;
use crate::tokenizer::chat::{ChatTemplate, Message, Role, Thinking};

/// Ids that a request's code may take, above the one that was measured.
const CODE_MARGIN: usize = 10;
/// Short requests have a multiple of this many ids.
const SHORT_STEP: usize = 8;

/// Makes requests for one tokenizer. Equal arguments give equal requests.
pub struct RequestBuilder<'a> {
    pub(super) tokenizer: &'a dyn Tokenizer,
    pub(super) corpus: &'a Corpus,
    pub(super) seed: u64,
    pub(super) layout: Layout<'a>,
    pub(super) scenarios: &'a Scenarios,
    /// Questions in the order they are asked.
    order: Vec<usize>,
    short_tokens: OnceLock<usize>,
    /// Ids of each passage as a block, counted when first needed.
    pub(super) block_tokens: Vec<OnceLock<usize>>,
    pub(super) variation: OnceLock<Variation>,
}

impl<'a> RequestBuilder<'a> {
    /// A builder. Nothing is encoded yet.
    pub fn new(
        tokenizer: &'a dyn Tokenizer,
        template: Option<&'a ChatTemplate>,
        corpus: &'a Corpus,
        scenarios: &'a Scenarios,
        seed: u64,
        thinking: Thinking,
    ) -> Self {
        let mut order: Vec<usize> = (0..corpus.questions.len()).collect();
        order.shuffle(&mut stream(seed, "questions", 0));
        Self {
            tokenizer,
            corpus,
            seed,
            layout: template.map_or(Layout::Plain, |template| Layout::Template(template, thinking)),
            scenarios,
            order,
            short_tokens: OnceLock::new(),
            block_tokens: corpus.passages.iter().map(|_| OnceLock::new()).collect(),
            variation: OnceLock::new(),
        }
    }

    /// Length of every short request: the longest question, rounded up.
    pub fn short_tokens(&self) -> Result<u32, WorkloadError> {
        if let Some(tokens) = self.short_tokens.get() {
            return Ok(*tokens as u32);
        }
        let mut longest = 0;
        for question in &self.corpus.questions {
            let frame = self.short_frame(&code(self.seed, "short", 0, 0), question)?;
            longest = longest.max(self.count(&[frame.before, frame.after].concat())?);
        }
        let tokens = (longest + CODE_MARGIN).next_multiple_of(SHORT_STEP);
        Ok(*self.short_tokens.get_or_init(|| tokens) as u32)
    }

    /// The question alone, brought to [`Self::short_tokens`] by notes on the caller.
    pub fn short(&self, index: u32) -> Result<Request, WorkloadError> {
        let question = self.question_at(index);
        let tokens = self.short_tokens()?;
        let frame = self.short_frame(&code(self.seed, "short", 0, index), question)?;
        let details = &self.scenarios.short.details;
        let fitted = self.fitted(&frame, details, "\n", Keep::Head, Borders::Words, tokens)?;
        let fitted = fitted.ok_or_else(|| self.inexact(tokens))?;
        Ok(self.request(fitted.text, tokens, Some(question), Vec::new()))
    }

    /// System text, passages and the question of [`Self::short`], in exactly `context_tokens` ids.
    ///
    /// What does not fit is left out: passages first, then the system text, then the question's head.
    pub fn rag(&self, context_tokens: u32, index: u32) -> Result<Request, WorkloadError> {
        let question = self.question_at(index);
        let code = code(self.seed, "rag", context_tokens, index);
        let frame = self.rag_frame(&code, question)?;
        let gold = question.gold.as_ref().map(|gold| gold.passage);
        let source = Source::new(self, gold, stream(self.seed, "passages", u64::from(index)));
        if let Some((text, notes)) = self.with_passages(&frame, source, context_tokens)? {
            return Ok(self.request(text, context_tokens, Some(question), notes));
        }
        self.without_passages(&code, question, context_tokens)
    }

    /// Passages alone, without template, question or roles: to fill a cache to a depth.
    pub fn plain(&self, context_tokens: u32, index: u32) -> Result<Request, WorkloadError> {
        let code = code(self.seed, "plain", context_tokens, index);
        let frame = Frame { before: format!("{code}\n\n"), after: String::new() };
        let source = Source::new(self, None, stream(self.seed, "plain", u64::from(index)));
        let (text, notes) = match self.with_passages(&frame, source, context_tokens)? {
            Some((text, notes)) => (text, notes.into_iter().filter(|n| *n == Note::PassagesVaried).collect()),
            None => (self.tail(&code, context_tokens)?.text, Vec::new()),
        };
        let mut request = self.request(text, context_tokens, None, notes);
        request.notes.retain(|note| *note != Note::NoChatTemplate);
        Ok(request)
    }

    pub(super) fn question_at(&self, index: u32) -> &'a Question {
        &self.corpus.questions[self.order[index as usize % self.order.len()]]
    }

    fn short_frame(&self, code: &str, question: &Question) -> Result<Frame, WorkloadError> {
        let content = format!("{code}\n{GAP}{}", question.text);
        self.layout.frame(&[Message::new(Role::User, content)])
    }

    fn rag_frame(&self, code: &str, question: &Question) -> Result<Frame, WorkloadError> {
        let words = &self.scenarios.rag;
        let system = format!("{code}\n{}", words.system.trim());
        let user = format!(
            "{}\n\n{GAP}{}{}",
            words.passages_heading.trim_end(),
            words.question_heading,
            question.text
        );
        self.layout.frame(&[Message::new(Role::System, system), Message::new(Role::User, user)])
    }

    /// The frame with passages in its gap; `None` if the frame alone is too long.
    fn with_passages(
        &self,
        frame: &Frame,
        source: Source<'_>,
        context_tokens: u32,
    ) -> Result<Option<(String, Vec<Note>)>, WorkloadError> {
        let around = self.count(&frame.before)? + self.count(&frame.after)?;
        let Some(room) = (context_tokens as usize).checked_sub(around) else { return Ok(None) };
        let body = source.fill(room)?;
        let head = [frame.before.as_str(), &body.blocks.concat()].concat();
        let target = context_tokens as usize - self.count(&frame.before)? - body.block_tokens;
        let (flexible, after) = (body.last.trim_end(), frame.after.as_str());
        let borders = Borders::Words;
        let mut region = Region { before: "", flexible, joint: "\n\n", after, keep: Keep::Head, borders };
        if let Some(fitted) = region.fit(self.tokenizer, target)? {
            let text = [head.as_str(), &fitted.text].concat();
            if self.count(&text)? == context_tokens as usize {
                return Ok(Some((text, body.notes(fitted.kept))));
            }
        }
        region.before = &head;
        match region.fit(self.tokenizer, context_tokens as usize)? {
            Some(fitted) => Ok(Some((fitted.text, body.notes(fitted.kept)))),
            None => Err(self.inexact(context_tokens)),
        }
    }

    /// System text and question; then the question; then what is left of it.
    fn without_passages(
        &self,
        code: &str,
        question: &Question,
        tokens: u32,
    ) -> Result<Request, WorkloadError> {
        let mut notes = vec![Note::PassagesDropped];
        let user = Message::new(Role::User, question.text.as_str());
        let frame = self.layout.frame(&[Message::new(Role::System, format!("{code}\n{GAP}")), user])?;
        let system = self.scenarios.rag.system.trim();
        if let Some(fitted) = self.fitted(&frame, system, "", Keep::Head, Borders::Words, tokens)? {
            notes.extend((fitted.kept < system.len()).then_some(Note::SystemCut));
            return Ok(self.request(fitted.text, tokens, Some(question), notes));
        }
        notes.push(Note::SystemDropped);
        let frame = self.layout.frame(&[Message::new(Role::User, format!("{code}\n{GAP}"))])?;
        if let Some(fitted) = self.fitted(&frame, &question.text, "", Keep::Tail, Borders::Words, tokens)? {
            notes.extend((fitted.kept < question.text.len()).then_some(Note::QuestionCut));
            return Ok(self.request(fitted.text, tokens, Some(question), notes));
        }
        let whole = format!("{code}\n{}", question.text);
        let fitted = self.tail(&whole, tokens)?;
        notes.extend((fitted.kept < question.text.len()).then_some(Note::QuestionCut));
        notes.extend(matches!(self.layout, Layout::Template(..)).then_some(Note::TemplateDropped));
        Ok(self.request(fitted.text, tokens, Some(question), notes))
    }

    /// The last `tokens` ids' worth of `text`, without any template.
    fn tail(&self, text: &str, tokens: u32) -> Result<Fitted, WorkloadError> {
        let frame = Layout::Bare.frame(&[Message::new(Role::User, GAP)])?;
        let fitted = self.fitted(&frame, text, "", Keep::Tail, Borders::Characters, tokens)?;
        fitted.ok_or_else(|| self.inexact(tokens))
    }

    fn fitted(
        &self,
        frame: &Frame,
        flexible: &str,
        joint: &str,
        keep: Keep,
        borders: Borders,
        tokens: u32,
    ) -> Result<Option<Fitted>, WorkloadError> {
        let region = Region { before: &frame.before, flexible, joint, after: &frame.after, keep, borders };
        Ok(region.fit(self.tokenizer, tokens as usize)?)
    }

    pub(super) fn count(&self, text: &str) -> Result<usize, WorkloadError> {
        Ok(self.tokenizer.encode(text)?.len())
    }

    fn inexact(&self, tokens: u32) -> WorkloadError {
        WorkloadError::Inexact { tokens, tokenizer: self.tokenizer.name().into() }
    }

    fn request(&self, text: String, tokens: u32, question: Option<&Question>, notes: Vec<Note>) -> Request {
        let mut notes = notes;
        notes.extend(matches!(self.layout, Layout::Plain).then_some(Note::NoChatTemplate));
        let truncated = notes.iter().any(|note| note.is_truncation());
        let question_id = question.map(|question| question.id.clone());
        Request { text, prompt_tokens: tokens, truncated, question_id, notes }
    }
}

impl Body {
    /// What to say of the passages, given how much of the last one is left.
    fn notes(&self, kept: usize) -> Vec<Note> {
        let mut notes = Vec::new();
        if self.blocks.is_empty() && kept < self.last.trim_end().len() {
            notes.push(if kept == 0 { Note::PassagesDropped } else { Note::PassageCut });
        }
        notes.extend(self.is_varied.then_some(Note::PassagesVaried));
        notes
    }
}
