//! Tool calls in every released chat template of Qwen: written by the template, read back, and carried on.

use std::path::Path;

use ctxbench::tokenizer::chat::{
    ChatTemplate, Conversation, Ending, Function, Message, Role, Thinking, ToolCall,
};
use ctxbench::tokenizer::tool_call::{ToolCallText, continued, parse, search_call, search_tool, written};
use serde_json::{Value as Json, json};

/// Templates, and whether they write calls in tags.
const TEMPLATES: [(&str, bool); 8] = [
    ("qwen2.5", false),
    ("qwen3-first", false),
    ("qwen3", false),
    ("qwen3-instruct-2507", false),
    ("qwen3.5-nothink", true),
    ("qwen3.5", true),
    ("qwen3.6", true),
    ("qwen3.8", true),
];

const THINKING: [Thinking; 3] = [Thinking::Off, Thinking::On, Thinking::Unset];

fn template(name: &str) -> ChatTemplate {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat");
    let source = std::fs::read_to_string(folder.join(format!("{name}.jinja"))).expect("a template");
    ChatTemplate::parse(&source).expect("it parses")
}

fn conversation<'a>(messages: &'a [Message], tools: &'a [Json], thinking: Thinking) -> Conversation<'a> {
    Conversation { messages, tools: Some(tools), thinking, ending: Ending::AssistantTurn, options: None }
}

fn question() -> Vec<Message> {
    vec![Message::new(Role::System, "Be brief."), Message::new(Role::User, "What does E31 mean?")]
}

/// A question that was searched for once, with the call still to come after the first hits.
fn second_search() -> Vec<Message> {
    let call = Message { tool_calls: vec![search_call("E31")], ..Message::new(Role::Assistant, "") };
    [question(), vec![call, Message::new(Role::Tool, "E31: see flame faults.")]].concat()
}

fn calls() -> Vec<ToolCall> {
    let other = Function {
        name: "order_status".into(),
        arguments: json!({"order": "A-1", "händler": "Köln \"配送\""}),
    };
    vec![
        search_call("What does E31 mean?"),
        search_call("two\nlines & <b>tags</b> \\ "),
        ToolCall { function: other },
    ]
}

#[test]
fn a_written_call_is_read_back_as_it_was() {
    let tools = [search_tool()];
    for (name, in_tags) in TEMPLATES {
        let template = template(name);
        for messages in [question(), second_search()] {
            for (call, thinking) in calls().iter().flat_map(|call| THINKING.map(|thinking| (call, thinking)))
            {
                let text = written(&template, &conversation(&messages, &tools, thinking), call).unwrap();
                let ToolCallText::Call { function, before } = parse(&text) else { panic!("{name}: {text}") };
                assert_eq!((&function, before.as_str()), (&call.function, ""), "{name} {thinking:?}: {text}");
                assert_eq!(text.contains("<function="), in_tags, "{name}: {text}");
                assert!(text.ends_with("</tool_call><|im_end|>"), "{name}: {text}");
            }
        }
    }
}

/// Where the model goes on from its prompt and the written call, the template agrees with what it said.
#[test]
fn prompt_and_written_call_are_the_beginning_of_the_second_pass() {
    let tools = [search_tool()];
    for (name, _) in TEMPLATES {
        let (template, messages, call) = (template(name), question(), search_call("E31"));
        for thinking in THINKING {
            let first = conversation(&messages, &tools, thinking);
            let prompt = template.render_conversation(&first).unwrap();
            let said = prompt + &written(&template, &first, &call).unwrap();
            let turn = Message { tool_calls: vec![call.clone()], ..Message::new(Role::Assistant, "") };
            let hits = Message::new(Role::Tool, "E31: no flame.");
            let second = [messages.clone(), vec![turn, hits]].concat();
            let second = template.render_conversation(&conversation(&second, &tools, thinking)).unwrap();
            // Qwen3 takes empty thinking out of a turn once a tool has answered it: its cache ends there.
            let forgets = ["qwen3", "qwen3-first"].contains(&name);
            assert_eq!(second.starts_with(&said), !forgets, "{name} {thinking:?}\n{said}\n---\n{second}");
            let rest = continued(&template, &first, &call, "E31: no flame.").unwrap();
            assert!(
                second.ends_with(&rest) && rest.contains("<tool_response>\nE31: no flame."),
                "{name}: {rest}"
            );
            assert_eq!(said + &rest == second, !forgets, "{name} {thinking:?}");
        }
    }
}

#[test]
fn thinking_is_closed_before_the_call_where_the_prompt_leaves_it_open() {
    let (tools, messages) = ([search_tool()], question());
    let start = |name: &str, thinking| {
        let text = written(&template(name), &conversation(&messages, &tools, thinking), &search_call("E31"))
            .unwrap();
        text.split_once("<tool_call>").expect("a call").0.to_owned()
    };
    for (name, off, on, unset) in [
        ("qwen2.5", "", "", ""),
        ("qwen3", "", "<think>\n\n</think>\n\n", "<think>\n\n</think>\n\n"),
        ("qwen3-instruct-2507", "", "", ""),
        ("qwen3.5-nothink", "", "\n</think>\n\n", ""),
        ("qwen3.5", "", "\n</think>\n\n", "\n</think>\n\n"),
        ("qwen3.8", "", "\n</think>\n\n", "\n</think>\n\n"),
    ] {
        let starts = THINKING.map(|thinking| start(name, thinking));
        assert_eq!(starts, [off, on, unset].map(String::from), "{name}");
    }
}

#[test]
fn every_template_offers_the_search_tool() {
    let (tools, messages) = ([search_tool()], question());
    for (name, _) in TEMPLATES {
        let text =
            template(name).render_conversation(&conversation(&messages, &tools, Thinking::Off)).unwrap();
        assert!(
            text.contains("\"name\": \"search_handbook\"") && text.contains("\"required\": [\"query\"]"),
            "{name}"
        );
    }
}
