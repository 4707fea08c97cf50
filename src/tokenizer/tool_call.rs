//! Tool calls as text: read out of an answer, and written as a model would have to write them.
//!
//! Comes in: an answer's text, or a call and a chat template. Goes out: the call, or the text. Both of Qwen's
//! dialects are read: JSON (Qwen2.5, Qwen3) and tags (from Qwen3.5 on). Not here: calling anything.

use serde_json::{Map, Value as Json, json};

use super::chat::{ChatError, ChatTemplate, Conversation, Ending, Function, Message, Role, ToolCall};

const OPENS: &str = "<tool_call>";
const CLOSES: &str = "</tool_call>";

/// Name of the tool that searches the handbook.
pub const SEARCH: &str = "search_handbook";

/// What an answer says about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolCallText {
    /// A whole call; of several, the first.
    Call {
        /// What is called. Arguments in tags are texts, since a tag does not say its type.
        function: Function,
        /// What was said before, without thinking and outer whitespace.
        before: String,
    },
    /// No call: an answer.
    Absent,
    /// A call that is not whole, or not one.
    Malformed {
        /// What is wrong with it, as a clause.
        reason: String,
    },
}

/// Looks for a call in an answer. What stands before the first `</think>`, or in thinking that has no end, is
/// no part of the answer.
pub fn parse(text: &str) -> ToolCallText {
    let answer = match (text.split_once("</think>"), text.trim_start().starts_with("<think>")) {
        (Some((_, answer)), _) => answer,
        (None, true) => return ToolCallText::Absent,
        (None, false) => text,
    };
    let Some((before, call)) = answer.split_once(OPENS) else {
        return match [CLOSES, "<function="].into_iter().find(|part| answer.contains(part)) {
            None => ToolCallText::Absent,
            Some(part) => {
                ToolCallText::Malformed { reason: format!("'{part}' stands there without {OPENS}") }
            }
        };
    };
    let function = if call.trim_start().starts_with('<') { in_tags(call) } else { in_json(call) };
    match function {
        Ok(function) => ToolCallText::Call { function, before: before.trim().to_owned() },
        Err(reason) => ToolCallText::Malformed { reason },
    }
}

/// `{"name": …, "arguments": {…}}` and the end of the call.
fn in_json(call: &str) -> Result<Function, String> {
    let mut values = serde_json::Deserializer::from_str(call).into_iter::<Json>();
    let value = match values.next() {
        Some(Ok(value)) => value,
        Some(Err(error)) => return Err(format!("it is not JSON: {error}")),
        None => return Err("nothing follows its beginning".into()),
    };
    closed(&call[values.byte_offset()..])?;
    let name = value["name"].as_str().filter(|name| !name.is_empty()).ok_or("it has no `name`")?;
    let arguments = match &value["arguments"] {
        // Some write the object as a text, which some templates hand on as it is.
        Json::String(text) => serde_json::from_str(text).unwrap_or(Json::Null),
        other => other.clone(),
    };
    match arguments.is_object() {
        true => Ok(Function { name: name.into(), arguments }),
        false => Err(format!("its `arguments` are no object but {}", value["arguments"])),
    }
}

/// `<function=NAME>`, parameters, `</function>` and the end of the call.
fn in_tags(call: &str) -> Result<Function, String> {
    let (name, mut rest) = tag(call, "function").ok_or("it has no <function=NAME>")?;
    let mut arguments = Map::new();
    while let Some((parameter, after)) = tag(rest, "parameter") {
        let (value, after) =
            after.split_once("</parameter>").ok_or_else(|| format!("parameter '{parameter}' has no end"))?;
        let value = value.strip_prefix('\n').unwrap_or(value);
        let value = value.strip_suffix('\n').unwrap_or(value);
        if arguments.insert(parameter.into(), value.into()).is_some() {
            return Err(format!("parameter '{parameter}' stands there twice"));
        }
        rest = after;
    }
    let after = rest.trim_start().strip_prefix("</function>").ok_or("its function has no end")?;
    closed(after)?;
    Ok(Function { name: name.into(), arguments: Json::Object(arguments) })
}

/// `<kind=NAME>` at the beginning of `text`: the name, and what follows.
fn tag<'a>(text: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    let inside = text.trim_start().strip_prefix('<')?.strip_prefix(kind)?.strip_prefix('=')?;
    let (name, rest) = inside.split_once('>')?;
    (!name.is_empty() && !name.contains(['\n', '<'])).then_some((name, rest))
}

fn closed(rest: &str) -> Result<(), String> {
    match rest.trim_start().starts_with(CLOSES) {
        true => Ok(()),
        false => Err(format!("no {CLOSES} follows it")),
    }
}

/// The search tool as templates want it: a function described by a JSON schema.
pub fn search_tool() -> Json {
    json!({
        "type": "function",
        "function": {
            "name": SEARCH,
            "description": "Searches the product handbook and returns the passages nearest to the query. Call it when \
                            the answer depends on the handbook; answer from your own knowledge otherwise.",
            "parameters": {
                "type": "object",
                "properties": {
                    "query": {"type": "string", "description": "What to look for, in a few words or as a question."}
                },
                "required": ["query"]
            }
        }
    })
}

/// A call of the search tool.
pub fn search_call(query: &str) -> ToolCall {
    ToolCall { function: Function { name: SEARCH.into(), arguments: json!({ "query": query }) } }
}

/// The query of a call of the search tool.
///
/// Errors, with a clause, if another function is called or the query is not there.
pub fn search_query(function: &Function) -> Result<&str, String> {
    if function.name != SEARCH {
        return Err(format!("it calls '{}', and only '{SEARCH}' is on offer", function.name));
    }
    let query = function.arguments["query"].as_str().map(str::trim).filter(|query| !query.is_empty());
    query.ok_or_else(|| format!("its arguments hold no query: {}", function.arguments))
}

/// The text that the model would have to generate after `conversation` for `call`, in the template's own format,
/// with the end of the turn and without the newline after it. Where the conversation's own opening of the turn
/// leaves thinking open, the text closes it first. The conversation's ending is of no account.
///
/// Errors if the template writes the call's turn otherwise than it opens a turn.
pub fn written(
    template: &ChatTemplate,
    conversation: &Conversation,
    call: &ToolCall,
) -> Result<String, ChatError> {
    let ending = |ending| template.render_conversation(&Conversation { ending, ..*conversation });
    let (said, prompt) = (ending(Ending::LastMessage)?, ending(Ending::AssistantTurn)?);
    let mut messages = conversation.messages.to_vec();
    messages.push(Message { tool_calls: vec![call.clone()], ..Message::new(Role::Assistant, "") });
    let ending = Ending::LastMessage;
    let whole =
        template.render_conversation(&Conversation { messages: &messages, ending, ..*conversation })?;
    let text = whole.strip_prefix(&prompt).or_else(|| after_closed_thinking(&said, &prompt, &whole));
    match text {
        Some(text) if text.contains(CLOSES) => Ok(text.trim_end().to_owned()),
        _ => {
            let reason = "it writes a tool call in a turn that does not begin as the turn that it opens";
            Err(ChatError::Render(reason.into()))
        }
    }
}

/// The text to be fed after a [`written`] call: the tool's `result`, and the opening of the next turn.
///
/// Prompt, call and this are what the template makes of the longer conversation, but for Qwen3's templates: they
/// take empty thinking out of a turn that a tool has answered, and here it stays, since the model has read it.
pub fn continued(
    template: &ChatTemplate,
    conversation: &Conversation,
    call: &ToolCall,
    result: &str,
) -> Result<String, ChatError> {
    let written = written(template, conversation, call)?;
    let block = written.find(OPENS).map_or(written.as_str(), |at| &written[at..]);
    let ending = Ending::LastMessage;
    let said = template.render_conversation(&Conversation { ending, ..*conversation })?;
    let mut messages = conversation.messages.to_vec();
    messages.push(Message { tool_calls: vec![call.clone()], ..Message::new(Role::Assistant, "") });
    messages.push(Message::new(Role::Tool, result));
    let ending = Ending::AssistantTurn;
    let whole =
        template.render_conversation(&Conversation { messages: &messages, ending, ..*conversation })?;
    let rest =
        whole.strip_prefix(&said).and_then(|turns| turns.split_once(block)).map(|(_, rest)| rest.to_owned());
    rest.ok_or_else(|| ChatError::Render("it changes a tool call once the tool has answered".into()))
}

/// For templates that open a turn with a closed block of thinking, and leave it out of turns that are over.
fn after_closed_thinking<'a>(said: &str, prompt: &str, whole: &'a str) -> Option<&'a str> {
    let (opening, turn) = (prompt.strip_prefix(said)?, whole.strip_prefix(said)?);
    let (speaker, thinking) = opening.split_once("<think>")?;
    let closed = thinking.trim_end().strip_suffix("</think>")?;
    turn.strip_prefix(speaker).filter(|_| closed.trim().is_empty())
}

#[cfg(test)]
mod tests {
    // `written` is held to all templates of Qwen in `tests/tool_calls.rs`.

    use super::*;
    use crate::tokenizer::chat::Thinking;

    fn call(text: &str) -> (Function, String) {
        match parse(text) {
            ToolCallText::Call { function, before } => (function, before),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn reason(text: &str) -> String {
        match parse(text) {
            ToolCallText::Malformed { reason } => reason,
            other => panic!("{text}: {other:?}"),
        }
    }

    const IN_JSON: &str =
        "<tool_call>\n{\"name\": \"search_handbook\", \"arguments\": {\"query\": \"E31?\"}}\n</tool_call>";
    const IN_TAGS: &str = "<tool_call>\n<function=search_handbook>\n<parameter=query>\nE31?\n</parameter>\n</function>\n</tool_call>";

    #[test]
    fn both_dialects_are_read_and_the_first_call_counts() {
        for text in [IN_JSON, IN_TAGS] {
            let (function, before) =
                call(&format!("<think>\n<tool_call>?\n</think>\n\nI look.\n{text}\n{IN_JSON}"));
            assert_eq!((search_query(&function), before.as_str()), (Ok("E31?"), "I look."));
            // Thinking that the prompt has opened.
            assert_eq!(call(&format!("So <tool_call> it is.\n</think>\n\n{text}")).0, function);
            assert_eq!(call(text).0, search_call("E31?").function);
        }
        let lines = "<tool_call><function=f><parameter=a>\n\none\ntwo \n</parameter><parameter=b>3</parameter></function></tool_call>";
        assert_eq!(call(lines).0.arguments, json!({"a": "\none\ntwo ", "b": "3"}));
        let tag_inside = "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"</tool_call>\"}}</tool_call>";
        assert_eq!(call(tag_inside).0.arguments["a"], "</tool_call>");
        let as_text = "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>";
        assert_eq!(call(as_text).0.arguments, json!({"a": 1}));
    }

    #[test]
    fn an_answer_without_a_call_is_an_answer() {
        for text in [
            "",
            "The flame went out.",
            "<think>\nPerhaps <tool_call>",
            "<think>\n<tool_call>\n</think>\n\nNo.",
        ] {
            assert_eq!(parse(text), ToolCallText::Absent, "{text}");
        }
    }

    #[test]
    fn a_broken_call_says_what_is_wrong_with_it() {
        for (text, words) in [
            ("<tool_call>", "nothing follows"),
            ("<tool_call>\nsearch it\n</tool_call>", "not JSON"),
            ("<tool_call>{\"name\": \"f\", \"arguments\": {}}", "no </tool_call>"),
            ("<tool_call>{\"name\": \"f\", \"arguments\": {}", "not JSON"),
            ("<tool_call>{\"arguments\": {}}</tool_call>", "no `name`"),
            ("<tool_call>[1]</tool_call>", "no `name`"),
            ("<tool_call>{\"name\": \"f\"}</tool_call>", "no object but null"),
            ("<tool_call>{\"name\": \"f\", \"arguments\": \"x\"}</tool_call>", "no object but \"x\""),
            ("<tool_call></tool_call>", "no <function=NAME>"),
            ("<tool_call><function=></function></tool_call>", "no <function=NAME>"),
            ("<tool_call><function=f><parameter=q>\nE31", "parameter 'q' has no end"),
            ("<tool_call><function=f><parameter=q>E31</parameter></tool_call>", "function has no end"),
            ("<tool_call><function=f></function>", "no </tool_call>"),
            ("<tool_call><function=f><parameter=q>a</parameter><parameter=q>b</parameter>", "twice"),
            ("<function=f></function>\n</tool_call>", "without <tool_call>"),
        ] {
            assert!(reason(text).contains(words), "{text}: {}", reason(text));
        }
        assert!(search_query(&Function { name: "f".into(), arguments: json!({}) }).is_err());
        assert!(search_query(&search_call(" ").function).is_err());
    }

    #[test]
    fn thinking_that_a_finished_turn_leaves_out_is_no_part_of_the_call() {
        let template = |finished: &str| {
            let source = "{% for m in messages %}<{{ m.role }}>FINISHED{% if m.tool_calls %}<tool_call>{{ \
                          m.tool_calls[0].function.name }}</tool_call>{% endif %}\n{% endfor %}\
                          {% if add_generation_prompt %}<assistant><think>\n\n</think>\n\n{% endif %}";
            ChatTemplate::parse(&source.replace("FINISHED", finished)).unwrap()
        };
        let messages = [Message::new(Role::User, "E31?")];
        let (thinking, ending) = (Thinking::Off, Ending::LastMessage);
        let conversation = Conversation { messages: &messages, tools: None, thinking, ending, options: None };
        let text = written(&template(""), &conversation, &search_call("E31?"));
        assert_eq!(text.unwrap(), "<tool_call>search_handbook</tool_call>");
        let unlike = ChatTemplate::parse("{{ messages | length }}<assistant>").unwrap();
        assert!(written(&unlike, &conversation, &search_call("E31?")).is_err());
    }
}
