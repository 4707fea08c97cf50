//! Requests of an exact length, each with its own prefix.
//!
//! Comes in: a tokenizer, a chat template, a corpus, a seed. Goes out: text that the tokenizer turns
//! into exactly as many ids as were asked for. Not here: models, clocks, what is measured.

mod body;
mod builder;
mod fit;
mod layout;
pub mod retrieved;
mod seeded;
mod vary;
pub mod with_tool;
mod words;

use thiserror::Error;

pub use builder::RequestBuilder;

use crate::tokenizer::TokenizerError;
use crate::tokenizer::chat::ChatError;

/// One prompt, ready to be encoded and run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What the tokenizer is given: template, special tokens and all.
    pub text: String,
    /// Ids that the text has; checked against the whole text.
    pub prompt_tokens: u32,
    /// Whether the length left no room for something that belongs into the prompt; the notes say what.
    pub truncated: bool,
    /// The question that is asked, by its id; `None` where none is.
    pub question_id: Option<String>,
    /// What is unusual about this request.
    pub notes: Vec<Note>,
}

/// Something unusual about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Note {
    /// The model has no chat template.
    NoChatTemplate,
    /// The length is below what the chat template itself takes.
    TemplateDropped,
    /// The passage with the answer (or the first one) did not fit whole.
    PassageCut,
    /// There was no room for any passage.
    PassagesDropped,
    /// The system text lost words from its end.
    SystemCut,
    /// There was no room for a system text.
    SystemDropped,
    /// The question lost words from its head.
    QuestionCut,
    /// The length exceeds the corpus; varied copies of its passages fill the rest.
    PassagesVaried,
}

impl Note {
    /// A stable name for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoChatTemplate => "no_chat_template",
            Self::TemplateDropped => "template_dropped",
            Self::PassageCut => "passage_cut",
            Self::PassagesDropped => "passages_dropped",
            Self::SystemCut => "system_cut",
            Self::SystemDropped => "system_dropped",
            Self::QuestionCut => "question_cut",
            Self::PassagesVaried => "passages_varied",
        }
    }

    /// A sentence for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::NoChatTemplate => {
                "The model has no chat template, so requests are plain text with role headings."
            }
            Self::TemplateDropped => {
                "The context is shorter than the chat template itself, which was left out."
            }
            Self::PassageCut => "The context was too short for the whole passage that holds the answer.",
            Self::PassagesDropped => "The context was too short for any passage.",
            Self::SystemCut => "The context was too short for the whole system text.",
            Self::SystemDropped => "The context was too short for a system text.",
            Self::QuestionCut => "The context was too short for the whole question, which lost its head.",
            Self::PassagesVaried => {
                "The context is longer than the corpus; passages with other names and numbers fill the rest."
            }
        }
    }

    /// Whether it means that a part of the prompt is missing.
    fn is_truncation(self) -> bool {
        !matches!(self, Self::NoChatTemplate | Self::PassagesVaried)
    }
}

/// A request that could not be built.
#[derive(Debug, Error)]
pub enum WorkloadError {
    /// The tokenizer refused the text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template refused the messages.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// The chat template changed the text that it was given.
    #[error(
        "the chat template does not keep the words of a message; requests of an exact length cannot be made with it"
    )]
    TemplateChangesText,
    /// No text of that length was found.
    #[error(
        "the tokenizer '{tokenizer}' has no text of exactly {tokens} tokens for this request; try another length"
    )]
    Inexact {
        /// Length that was asked for.
        tokens: u32,
        /// Name of the tokenizer.
        tokenizer: String,
    },
}

#[cfg(test)]
mod tests;
