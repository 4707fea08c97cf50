//! The prompts of a real retrieval: passages as they were found, nothing cut and nothing filled in.

use super::layout::GAP;
use super::seeded::code;
use super::{RequestBuilder, WorkloadError};
use crate::prompts::questions::Question;
use crate::tokenizer::chat::{Message, Role};

/// Where the code stands that makes a request unlike any other: what comes before it, requests share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeAt {
    /// Before everything: nothing is shared.
    Start,
    /// Behind the system text.
    AfterSystem,
    /// Behind the first passage.
    AfterFirstPassage,
}

/// Which request it is; equal ones have equal codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serial {
    /// Name of the arm.
    pub arm: &'static str,
    /// Length that the arm was asked for.
    pub context_tokens: u32,
    /// Number of the request.
    pub number: u32,
}

/// A prompt with passages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retrieved {
    /// What the tokenizer is given.
    pub text: String,
    /// Bytes of it before the code.
    pub shared_bytes: usize,
}

impl RequestBuilder<'_> {
    /// The question that request `index` of any arm asks.
    pub fn question(&self, index: u32) -> &Question {
        self.question_at(index)
    }

    /// How many there are; they come again after that.
    pub fn questions(&self) -> u32 {
        self.corpus.questions.len() as u32
    }

    /// System text, passages in the order given, and `question`.
    ///
    /// Errors if the chat template does not keep the words it is given.
    pub fn retrieved(
        &self,
        question: &str,
        passages: &[String],
        serial: Serial,
        at: CodeAt,
    ) -> Result<Retrieved, WorkloadError> {
        let frame = self.layout.frame(&self.messages(question, passages, at))?;
        let shared_bytes = frame.before.len();
        let text = [frame.before, self.code(serial), frame.after].concat();
        Ok(Retrieved { text, shared_bytes })
    }

    /// `question` alone, at its own length.
    ///
    /// Errors if the chat template does not keep the words it is given.
    pub fn alone(&self, question: &str, serial: Serial) -> Result<String, WorkloadError> {
        let frame = self.layout.frame(&[Message::new(Role::User, format!("{GAP}\n{question}"))])?;
        Ok([frame.before, self.code(serial), frame.after].concat())
    }

    pub(super) fn code(&self, serial: Serial) -> String {
        code(self.seed, serial.arm, serial.context_tokens, serial.number)
    }

    fn messages(&self, question: &str, passages: &[String], at: CodeAt) -> [Message; 2] {
        let words = &self.scenarios.rag;
        let gap =
            |here: CodeAt, joint: &str| if at == here { format!("{GAP}{joint}") } else { String::new() };
        let mut user = gap(CodeAt::AfterSystem, "\n");
        user += &format!("{}\n\n", words.passages_heading.trim_end());
        for (number, passage) in (1..).zip(passages) {
            user += &format!("[{number}] {}\n\n", passage.trim());
            if number == 1 {
                user += &gap(CodeAt::AfterFirstPassage, "\n\n");
            }
        }
        if passages.is_empty() {
            user += &format!("{}\n\n{}", words.nothing_found.trim(), gap(CodeAt::AfterFirstPassage, "\n\n"));
        }
        user += &format!("{}{question}", words.question_heading);
        let system = format!("{}{}", gap(CodeAt::Start, "\n"), words.system.trim());
        [Message::new(Role::System, system), Message::new(Role::User, user)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompts::corpus::mini;
    use crate::prompts::scenarios::Scenarios;
    use crate::tokenizer::chat::Thinking;
    use crate::tokenizer::stand_in::StandIn;

    fn prompts(at: CodeAt, passages: &[String]) -> [Retrieved; 2] {
        let scenarios = Scenarios::shipped().expect("shipped scenarios");
        let corpus = mini(&scenarios);
        let tokenizer = StandIn::new(1000);
        let builder = RequestBuilder::new(&tokenizer, None, &corpus, &scenarios, 7, Thinking::Off);
        [1, 2].map(|number| {
            let serial = Serial { arm: "rag", context_tokens: 0, number };
            builder.retrieved("Why?", passages, serial, at).expect("a prompt")
        })
    }

    #[test]
    fn requests_share_what_stands_before_the_code_and_no_more() {
        let passages = ["First.".to_owned(), "Second.".to_owned()];
        let shared = |at| {
            let [a, b] = prompts(at, &passages);
            let same = a.text.bytes().zip(b.text.bytes()).take_while(|(x, y)| x == y).count();
            assert_eq!(same, a.shared_bytes, "{}", a.text);
            a.text[..same].to_owned()
        };
        let system = shared(CodeAt::AfterSystem);
        assert!(system.contains("support desk") && !system.contains("First."), "{system}");
        let document = shared(CodeAt::AfterFirstPassage);
        assert!(document.ends_with("[1] First.\n\n") && !document.contains("Second."), "{document}");
        assert_eq!(shared(CodeAt::Start), "System: ");
    }

    #[test]
    fn a_prompt_without_a_passage_says_so_and_still_has_a_code() {
        for at in [CodeAt::Start, CodeAt::AfterSystem, CodeAt::AfterFirstPassage] {
            let [a, b] = prompts(at, &[]);
            assert!(a.text.contains("No passage was found") && a.text != b.text, "{}", a.text);
        }
    }
}
