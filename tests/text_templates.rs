//! Every released chat template of Qwen, held to what transformers renders from it, byte for byte.
//!
//! The conversations, the templates with their origin, and the script that made the golden texts:
//! `tests/fixtures/chat/README.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use ctxbench::tokenizer::chat::{ChatError, ChatTemplate, Conversation, Ending, Message, Role, Thinking};

/// Templates as Qwen released them, by the SHA-256 of their bytes.
const RELEASED: [(&str, &str); 8] = [
    ("qwen2.5", "cd8e9439f0570856fd70470bf8889ebd8b5d1107207f67a5efb46e342330527f"),
    ("qwen3-first", "87a2728cb8dc9fe424d624542f6060ec05a1d285ebbec578bb078900e33396b5"),
    ("qwen3", "a55ee1b1660128b7098723e0abcd92caa0788061051c62d51cbe87d9cf1974d8"),
    ("qwen3-instruct-2507", "64f85b198065d0fba2a81f37e10ed68161ce2c19a754c7100e67e0ca2ee9c326"),
    ("qwen3.5-nothink", "273d8e0e683b885071fb17e08d71e5f2a5ddfb5309756181681de4f5a1822d80"),
    ("qwen3.5", "a4aee8afcf2e0711942cf848899be66016f8d14a889ff9ede07bca099c28f715"),
    ("qwen3.6", "e84f32a23fdda27689f868aa4a1a5621f41133e51a48d7f3efcbea2839574259"),
    ("qwen3.8", "c3cf9e34abf4f9e36c2d72165aa9c132d3e2a725b6c2586aaa3a8af9d7a81041"),
];

/// How each case is rendered, by the name that the golden files use.
const RUNS: [(&str, Thinking, Ending); 4] = [
    ("unset/generate", Thinking::Unset, Ending::AssistantTurn),
    ("on/generate", Thinking::On, Ending::AssistantTurn),
    ("off/generate", Thinking::Off, Ending::AssistantTurn),
    ("unset/as-is", Thinking::Unset, Ending::LastMessage),
];

#[derive(Deserialize)]
struct Case {
    messages: Vec<Message>,
    tools: Option<String>,
    options: Option<Map<String, Json>>,
}

/// What transformers answered.
#[derive(Deserialize)]
#[serde(untagged)]
enum Expected {
    Text(String),
    /// The template's own words, or `None` where Python's engine failed in its words.
    Refused {
        error: Option<String>,
    },
}

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(tests_folder().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn json<T: DeserializeOwned>(path: &str) -> T {
    serde_json::from_str(&read(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn template(name: &str) -> ChatTemplate {
    let source = read(&format!("fixtures/chat/{name}.jinja"));
    ChatTemplate::parse(&source).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Checks one rendering; true for a text, false for an error on both sides.
fn agrees(ours: Result<String, ChatError>, expected: &Expected, place: &str) -> bool {
    match (ours, expected) {
        (Ok(text), Expected::Text(expected)) => assert_eq!(&text, expected, "{place}"),
        (Err(ChatError::Render(message)), Expected::Refused { error }) => {
            let words = error.as_deref().unwrap_or_default();
            assert!(message.starts_with(words) && message.contains("line"), "{place}: {message}");
            return false;
        }
        (Ok(text), Expected::Refused { .. }) => panic!("{place}: transformers refuses, we render\n{text}"),
        (Err(error), _) => panic!("{place}: {error}"),
    }
    true
}

#[test]
fn every_template_renders_as_in_transformers() {
    let cases: BTreeMap<String, Case> = json("fixtures/chat/cases.json");
    let toolsets: BTreeMap<String, Vec<Json>> = json("fixtures/chat/tools.json");
    let mut counts = BTreeMap::new();
    for (name, _) in RELEASED {
        let template = template(name);
        let golden: BTreeMap<String, Expected> = json(&format!("golden/chat/{name}.json"));
        assert_eq!(golden.len(), cases.len() * RUNS.len(), "{name}");
        for (case_name, case) in &cases {
            for (run, thinking, ending) in RUNS {
                let conversation = Conversation {
                    messages: &case.messages,
                    tools: case.tools.as_ref().map(|set| toolsets[set].as_slice()),
                    thinking,
                    ending,
                    options: case.options.as_ref(),
                };
                let place = format!("{name}: {case_name}/{run}");
                let expected = &golden[&format!("{case_name}/{run}")];
                let text = agrees(template.render_conversation(&conversation), expected, &place);
                *counts.entry(text).or_insert(0) += 1;
            }
        }
    }
    // Neither side may be empty by accident.
    assert!(counts[&true] > 700 && counts[&false] > 50, "{counts:?}");
}

#[test]
fn the_templates_are_the_released_ones() {
    let folder = std::fs::read_dir(tests_folder().join("fixtures/chat")).expect("a folder").flatten();
    let templates = folder.filter(|entry| entry.path().extension().is_some_and(|e| e == "jinja"));
    assert_eq!(templates.count(), RELEASED.len());
    for (name, expected) in RELEASED {
        let digest = Sha256::digest(read(&format!("fixtures/chat/{name}.jinja")));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected, "{name}");
    }
}

#[test]
fn a_conversation_that_a_template_refuses_ends_in_a_sentence() {
    let template = template("qwen3.5");
    let system = [Message::new(Role::System, "Be brief.")];
    let error = template.render(&system, Thinking::Off, Ending::AssistantTurn).unwrap_err().to_string();
    assert!(error.starts_with("the chat template failed: No user query found in messages. (line"), "{error}");
}

/// What a timed prompt ends in, by template: thinking switched off, switched on, and not spoken of.
#[test]
fn a_timed_prompt_ends_in_the_same_words_in_every_thinking_family() {
    const TURN: &str = "<|im_start|>assistant\n";
    const OFF: &str = "<think>\n\n</think>\n\n";
    const ON: &str = "<think>\n";
    for (name, off, on, unset) in [
        ("qwen2.5", "", "", ""),
        ("qwen3-instruct-2507", "", "", ""),
        ("qwen3-first", OFF, "", ""),
        ("qwen3", OFF, "", ""),
        ("qwen3.5-nothink", OFF, ON, OFF),
        ("qwen3.5", OFF, ON, ON),
        ("qwen3.6", OFF, ON, ON),
        ("qwen3.8", OFF, ON, ON),
    ] {
        let (template, messages) = (template(name), [Message::new(Role::User, "Hello")]);
        for (thinking, ending) in [(Thinking::Off, off), (Thinking::On, on), (Thinking::Unset, unset)] {
            let text = template.render(&messages, thinking, Ending::AssistantTurn).unwrap();
            let (_, opening) = text.split_once(TURN).expect("an assistant's turn");
            assert_eq!(opening, ending, "{name}, {thinking:?}");
        }
    }
}
