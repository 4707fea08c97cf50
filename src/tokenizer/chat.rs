//! A model's chat template: messages to the exact text it was trained on.
//!
//! Comes in: the template's source, as the hub's files or a GGUF carry it. Goes out: text. Not
//! here: tools, and `strftime_now`: a timed prompt must not depend on the day.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind};
use serde::{Deserialize, Serialize};
use thiserror::Error as ThisError;

use super::python_json::tojson;

const NAME: &str = "chat_template";

/// A template that does not parse, or refuses the messages.
#[derive(Debug, ThisError)]
pub enum ChatError {
    /// Not a template that this build's engine can read.
    #[error("the chat template does not parse: {0}")]
    Parse(String),
    /// The template raised an error, or used something that is not there.
    #[error("the chat template failed: {0}")]
    Render(String),
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions that hold for the whole conversation.
    System,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A turn of `role`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// Whether the template is asked for a thinking model's inner monologue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// `enable_thinking` = false.
    Off,
    /// `enable_thinking` = true.
    On,
    /// Not said: each template has its own default.
    Unset,
}

/// Where the text stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With the opening of the assistant's turn, ready to generate.
    AssistantTurn,
    /// After the last message.
    LastMessage,
}

/// A parsed chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
}

#[derive(Serialize)]
struct Context<'a> {
    messages: &'a [Message],
    add_generation_prompt: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_thinking: Option<bool>,
}

impl ChatTemplate {
    /// Parses a template with the settings that transformers uses.
    pub fn parse(source: &str) -> Result<Self, ChatError> {
        let parse_error = |e: Error| ChatError::Parse(described(&e));
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        let mut environment = Environment::new();
        environment.set_syntax(syntax.map_err(parse_error)?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", raise_exception);
        environment.add_template_owned(NAME, source.to_owned()).map_err(parse_error)?;
        Ok(Self { environment })
    }

    /// The text that the model is fed for `messages`.
    pub fn render(
        &self,
        messages: &[Message],
        thinking: Thinking,
        ending: Ending,
    ) -> Result<String, ChatError> {
        let context = Context {
            messages,
            add_generation_prompt: ending == Ending::AssistantTurn,
            enable_thinking: match thinking {
                Thinking::Off => Some(false),
                Thinking::On => Some(true),
                Thinking::Unset => None,
            },
        };
        let template = self.environment.get_template(NAME).map_err(|e| ChatError::Render(described(&e)))?;
        template.render(Serde(&context)).map_err(|e| ChatError::Render(described(&e)))
    }
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// The message and its line, without the template's path.
fn described(error: &Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), String::from);
    match error.line() {
        Some(line) => format!("{detail} (line {line})"),
        None => detail,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Origin, licence and the script that made the golden texts: `tests/fixtures/chat/README.md`.
    const QWEN3: &str = include_str!("../../tests/fixtures/chat/qwen3.jinja");
    const CASES: &str = include_str!("../../tests/fixtures/chat/cases.json");
    const GOLDEN: &str = include_str!("../../tests/golden/chat_qwen3.json");

    #[test]
    fn the_template_of_qwen3_renders_as_in_transformers() {
        let template = ChatTemplate::parse(QWEN3).unwrap();
        let cases: BTreeMap<String, Vec<Message>> = serde_json::from_str(CASES).unwrap();
        let golden: BTreeMap<String, String> = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!(golden.len(), cases.len() * 6);
        for (name, expected) in golden {
            let parts: Vec<&str> = name.split('/').collect();
            let thinking = match parts[1] {
                "on" => Thinking::On,
                "off" => Thinking::Off,
                _ => Thinking::Unset,
            };
            let ending = if parts[2] == "generate" { Ending::AssistantTurn } else { Ending::LastMessage };
            assert_eq!(template.render(&cases[parts[0]], thinking, ending).unwrap(), expected, "{name}");
        }
    }

    fn hello() -> Vec<Message> {
        vec![Message::new(Role::User, "Hello")]
    }

    #[test]
    fn a_template_that_refuses_says_why() {
        let template = ChatTemplate::parse("{{ raise_exception('No system, please') }}").unwrap();
        let error = template.render(&hello(), Thinking::Off, Ending::LastMessage).unwrap_err();
        assert_eq!(error.to_string(), "the chat template failed: No system, please (line 1)");
    }

    #[test]
    fn a_broken_template_names_the_line() {
        let error = ChatTemplate::parse("fine\n{% if %}").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn functions_that_depend_on_the_day_are_not_there() {
        let template = ChatTemplate::parse("{{ strftime_now('%Y') }}").unwrap();
        assert!(template.render(&hello(), Thinking::Off, Ending::LastMessage).is_err());
    }

    #[test]
    fn blocks_take_their_line_with_them() {
        // jinja2.Environment(trim_blocks=True, lstrip_blocks=True), as transformers sets it up
        let template = ChatTemplate::parse("a\n{% if true %}\n  b\n  {% endif %}\nc\n").unwrap();
        assert_eq!(template.render(&hello(), Thinking::Off, Ending::LastMessage).unwrap(), "a\n  b\nc");
    }

    #[test]
    fn python_methods_slices_and_loop_controls_work() {
        let source = "{% for m in messages[::-1] %}{% if loop.index0 > 0 %}{% break %}{% endif %}\
                      {{ m.content.strip('o').upper() }}{% endfor %}";
        let text = ChatTemplate::parse(source).unwrap().render(&hello(), Thinking::On, Ending::LastMessage);
        assert_eq!(text.unwrap(), "HELL");
    }
}
