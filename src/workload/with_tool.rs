//! The prompts of the hybrid: a question with a search tool on offer, and the same after the tool's answer.

use serde_json::Value as Json;

use super::layout::plain;
use super::retrieved::Serial;
use super::{RequestBuilder, WorkloadError};
use crate::tokenizer::chat::{Conversation, Ending, Message, Role, Thinking, ToolCall};
use crate::tokenizer::tool_call;

use super::layout::Layout;

/// A question with a tool on offer.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    messages: Vec<Message>,
    tools: Vec<Json>,
}

impl RequestBuilder<'_> {
    /// `question` with the tool on offer.
    pub fn offer(&self, question: &str, serial: Serial) -> Offer {
        let system = format!("{}\n{}", self.code(serial), self.scenarios.hybrid.system.trim());
        let messages = vec![Message::new(Role::System, system), Message::new(Role::User, question)];
        Offer { messages, tools: vec![tool_call::search_tool()] }
    }

    /// The prompt of the first pass.
    pub fn offered(&self, offer: &Offer) -> Result<String, WorkloadError> {
        self.rendered(&offer.messages, &offer.tools)
    }

    /// What a model would have to generate to call the tool: in its template's own format.
    pub fn written_call(&self, offer: &Offer, call: &ToolCall) -> Result<String, WorkloadError> {
        match self.layout {
            Layout::Template(template, thinking) => {
                let so_far = conversation(&offer.messages, &offer.tools, thinking);
                Ok(tool_call::written(template, &so_far, call)?)
            }
            Layout::Plain | Layout::Bare => Ok(written_plainly(call)),
        }
    }

    /// The prompt of the next pass: the call and the passages that it brought.
    pub fn answered(
        &self,
        offer: &mut Offer,
        call: &ToolCall,
        passages: &[String],
    ) -> Result<String, WorkloadError> {
        let mut asked = Message::new(Role::Assistant, "");
        asked.tool_calls = vec![call.clone()];
        let found = match passages {
            [] => self.scenarios.rag.nothing_found.trim().to_owned(),
            found => (1..).zip(found).map(|(n, text)| format!("[{n}] {}\n\n", text.trim())).collect(),
        };
        offer.messages.extend([asked, Message::new(Role::Tool, found.trim_end())]);
        self.rendered(&offer.messages, &offer.tools)
    }

    fn rendered(&self, messages: &[Message], tools: &[Json]) -> Result<String, WorkloadError> {
        match self.layout {
            Layout::Template(template, thinking) => {
                Ok(template.render_conversation(&conversation(messages, tools, thinking))?)
            }
            Layout::Plain | Layout::Bare => Ok(without_template(messages, tools)),
        }
    }
}

fn conversation<'a>(messages: &'a [Message], tools: &'a [Json], thinking: Thinking) -> Conversation<'a> {
    Conversation { messages, tools: Some(tools), thinking, ending: Ending::AssistantTurn, options: None }
}

/// A call where no template has a format of its own for it.
fn written_plainly(call: &ToolCall) -> String {
    let call = serde_json::json!({ "name": call.function.name, "arguments": call.function.arguments });
    format!("<tool_call>\n{call}\n</tool_call>")
}

/// Role headings; the tool's description behind the system text, calls as their own text.
fn without_template(messages: &[Message], tools: &[Json]) -> String {
    let mut written = messages.to_vec();
    for message in &mut written {
        if message.role == Role::System {
            message.content += &tools.iter().map(|tool| format!("\n{tool}")).collect::<String>();
        }
        for call in &message.tool_calls {
            message.content += &written_plainly(call);
        }
    }
    plain(&written)
}
