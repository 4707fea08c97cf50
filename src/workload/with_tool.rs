//! The prompts of the hybrid: a question with a search tool on offer, and what follows a call of it.

use serde_json::Value as Json;

use super::layout::{Layout, plain};
use super::retrieved::Serial;
use super::{RequestBuilder, WorkloadError};
use crate::tokenizer::chat::{Conversation, Ending, Message, Role, Thinking, ToolCall};
use crate::tokenizer::tool_call;

/// Closes a call in every template of the family.
pub const CLOSES: &str = "</tool_call>";

/// A conversation with a tool on offer.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    messages: Vec<Message>,
    tools: Vec<Json>,
}

/// What follows a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continued {
    /// What ends the turn behind [`CLOSES`], where the model itself has not written it.
    pub end_of_turn: String,
    /// The tool's answer, and the opening of the next turn.
    pub text: String,
}

impl RequestBuilder<'_> {
    /// `question` with the tool on offer.
    pub fn offer(&self, question: &str, serial: Serial) -> Offer {
        let system = format!("{}\n{}", self.code(serial), self.scenarios.hybrid.system.trim());
        let messages = vec![Message::new(Role::System, system), Message::new(Role::User, question)];
        Offer { messages, tools: vec![tool_call::search_tool()] }
    }

    /// The prompt of the first pass. Errors if the chat template refuses tools.
    pub fn offered(&self, offer: &Offer) -> Result<String, WorkloadError> {
        Ok(match self.layout {
            Layout::Template(template, thinking) => {
                template.render_conversation(&conversation(offer, thinking))?
            }
            Layout::Plain | Layout::Bare => without_template(offer),
        })
    }

    /// What a model would have to generate to call the tool, in its template's own format, with the end of its turn.
    pub fn written_call(&self, offer: &Offer, call: &ToolCall) -> Result<String, WorkloadError> {
        Ok(match self.layout {
            Layout::Template(template, thinking) => {
                tool_call::written(template, &conversation(offer, thinking), call)?
            }
            Layout::Plain | Layout::Bare => written_plainly(call),
        })
    }

    /// What is fed behind a written call: the passages that it brought, and the opening of the next turn.
    /// The conversation goes on from there.
    pub fn continued(
        &self,
        offer: &mut Offer,
        call: &ToolCall,
        passages: &[String],
    ) -> Result<Continued, WorkloadError> {
        let found = match passages {
            [] => self.scenarios.rag.nothing_found.trim().to_owned(),
            found => (1..).zip(found).map(|(n, text)| format!("[{n}] {}\n\n", text.trim())).collect(),
        };
        let found = found.trim_end();
        let written = self.written_call(offer, call)?;
        let end_of_turn = written.rsplit_once(CLOSES).map_or("", |(_, end)| end).to_owned();
        let text = match self.layout {
            Layout::Template(template, thinking) => {
                tool_call::continued(template, &conversation(offer, thinking), call, found)?
            }
            Layout::Plain | Layout::Bare => {
                format!("\n\n{}", plain(&[Message::new(Role::Tool, found)]))
            }
        };
        let mut asked = Message::new(Role::Assistant, "");
        asked.tool_calls = vec![call.clone()];
        offer.messages.extend([asked, Message::new(Role::Tool, found)]);
        Ok(Continued { end_of_turn, text })
    }
}

fn conversation(offer: &Offer, thinking: Thinking) -> Conversation<'_> {
    let (messages, tools) = (&offer.messages, Some(&offer.tools[..]));
    Conversation { messages, tools, thinking, ending: Ending::AssistantTurn, options: None }
}

/// A call where no template has a format of its own for it.
fn written_plainly(call: &ToolCall) -> String {
    let call = serde_json::json!({ "name": call.function.name, "arguments": call.function.arguments });
    format!("<tool_call>\n{call}\n{CLOSES}")
}

/// Role headings, with the tool's description behind the system text.
fn without_template(offer: &Offer) -> String {
    let mut messages = offer.messages.clone();
    if let Some(system) = messages.first_mut() {
        system.content += &offer.tools.iter().map(|tool| format!("\n{tool}")).collect::<String>();
    }
    plain(&messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompts::corpus::mini;
    use crate::prompts::scenarios::Scenarios;
    use crate::tokenizer::chat::ChatTemplate;
    use crate::tokenizer::stand_in::StandIn;
    use crate::tokenizer::tool_call::{ToolCallText, parse, search_call};

    fn with_builder(template: Option<&ChatTemplate>, check: impl Fn(&RequestBuilder<'_>)) {
        let scenarios = Scenarios::shipped().expect("shipped scenarios");
        let corpus = mini(&scenarios);
        let tokenizer = StandIn::new(1000);
        check(&RequestBuilder::new(&tokenizer, template, &corpus, &scenarios, 7, Thinking::Off));
    }

    const SERIAL: Serial = Serial { arm: "hybrid", context_tokens: 0, number: 3 };

    #[test]
    fn prompt_call_and_answer_follow_each_other_with_and_without_a_template() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat");
        let templates: Vec<ChatTemplate> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| {
                Some(entry.ok()?.path()).filter(|path| path.extension().is_some_and(|e| e == "jinja"))
            })
            .map(|path| ChatTemplate::parse(&std::fs::read_to_string(path).unwrap()).unwrap())
            .collect();
        assert!(templates.len() > 3, "templates of the family");
        for template in templates.iter().map(Some).chain([None]) {
            with_builder(template, |builder| {
                let call = search_call("opening hours");
                let mut offer = builder.offer("When?", SERIAL);
                assert!(builder.offered(&offer).unwrap().contains("search_handbook"));
                let written = builder.written_call(&offer, &call).unwrap();
                assert!(matches!(parse(&written), ToolCallText::Call { .. }), "{written}");
                let next = builder.continued(&mut offer, &call, &["At nine.".into()]).unwrap();
                assert!(written.ends_with(&format!("{CLOSES}{}", next.end_of_turn)), "{written}");
                assert!(next.text.contains("[1] At nine."), "{}", next.text);
                // A second call in the same conversation is one more turn.
                let again = builder.continued(&mut offer, &call, &[]).unwrap();
                assert!(again.text.contains("No passage was found"), "{}", again.text);
            });
        }
    }
}
