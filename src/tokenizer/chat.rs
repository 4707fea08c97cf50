//! A model's chat template: messages to the exact text it was trained on.
//!
//! Comes in: the template's source, as the hub's files or a GGUF carry it, and a conversation.
//! Goes out: text, byte for byte what transformers renders. Not here: calling a tool, and
//! `strftime_now`: a timed prompt must not depend on the day.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use thiserror::Error as ThisError;

use super::{python_json, python_text};

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
    /// A function that the model called: its result.
    Tool,
}

/// A function that the model asks to have called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// What is called with what. Templates look for it under this name.
    pub function: Function,
}

/// A function's name and arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Arguments by name: an object, not an object's text, which only some templates take.
    pub arguments: Json,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// What the model thought before, where it was kept apart from what it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// What the model wants called; empty for the other roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
}

impl Message {
    /// A turn of `role`, without thinking and calls.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), reasoning_content: None, tool_calls: Vec::new() }
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

/// Everything that a template may be given.
#[derive(Clone, Copy, Debug)]
pub struct Conversation<'a> {
    /// The turns so far.
    pub messages: &'a [Message],
    /// Functions on offer, each described by a JSON schema; `None` for none.
    pub tools: Option<&'a [Json]>,
    /// Whether thinking is asked for.
    pub thinking: Thinking,
    /// Where the text stops.
    pub ending: Ending,
    /// Further names that some templates read, such as `reasoning_effort` and `preserve_thinking`.
    pub options: Option<&'a Map<String, Json>>,
}

/// A parsed chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
}

/// The names that transformers hands to a template.
#[derive(Serialize)]
struct Context<'a> {
    messages: &'a [Message],
    // These two are given even where there is nothing in them: to a template, null is not the same as no name.
    tools: Option<&'a [Json]>,
    documents: Option<&'a [Json]>,
    add_generation_prompt: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_thinking: Option<bool>,
    #[serde(flatten)]
    options: Option<&'a Map<String, Json>>,
}

impl ChatTemplate {
    /// Parses a template with the settings that transformers uses.
    pub fn parse(source: &str) -> Result<Self, ChatError> {
        let parse_error = |e: Error| ChatError::Parse(described(&e));
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        let mut environment = Environment::new();
        environment.set_syntax(syntax.map_err(parse_error)?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_formatter(python_text::formatter);
        environment.add_filter("string", python_text::string);
        environment.add_filter("tojson", python_json::tojson);
        environment.add_function("raise_exception", raise_exception);
        environment.add_template_owned(NAME, source.to_owned()).map_err(parse_error)?;
        Ok(Self { environment })
    }

    /// The text that the model is fed for `messages`, without tools.
    pub fn render(
        &self,
        messages: &[Message],
        thinking: Thinking,
        ending: Ending,
    ) -> Result<String, ChatError> {
        self.render_conversation(&Conversation { messages, tools: None, thinking, ending, options: None })
    }

    /// The text that the model is fed for a conversation.
    pub fn render_conversation(&self, conversation: &Conversation) -> Result<String, ChatError> {
        let context = Context {
            messages: conversation.messages,
            tools: conversation.tools,
            documents: None,
            add_generation_prompt: conversation.ending == Ending::AssistantTurn,
            enable_thinking: match conversation.thinking {
                Thinking::Off => Some(false),
                Thinking::On => Some(true),
                Thinking::Unset => None,
            },
            options: conversation.options,
        };
        let render_error = |e: Error| ChatError::Render(described(&e));
        let template = self.environment.get_template(NAME).map_err(render_error)?;
        template.render(Serde(&context)).map_err(render_error)
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
    // Held to transformers with the templates of Qwen in `tests/text_templates.rs`.

    use super::*;

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
