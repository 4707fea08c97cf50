//! Messages to one text, with a marked place where the adjustable part goes.

use crate::tokenizer::chat::{ChatTemplate, Ending, Message, Role, Thinking};

use super::WorkloadError;

/// Stands in a message where the adjustable text will be. Private-use characters: no document has them.
pub(super) const GAP: &str = "\u{E0C7}\u{E0C8}";

/// How messages become text.
#[derive(Clone, Copy)]
pub(super) enum Layout<'a> {
    /// Through the model's template.
    Template(&'a ChatTemplate, Thinking),
    /// Role headings and blank lines.
    Plain,
    /// The messages alone, without any heading.
    Bare,
}

/// The text around the gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) before: String,
    pub(super) after: String,
}

impl Layout<'_> {
    /// Renders messages of which exactly one holds [`GAP`].
    pub(super) fn frame(self, messages: &[Message]) -> Result<Frame, WorkloadError> {
        let text = match self {
            Self::Template(template, thinking) => {
                template.render(messages, thinking, Ending::AssistantTurn)?
            }
            Self::Plain => plain(messages),
            Self::Bare => messages.iter().map(|message| message.content.as_str()).collect(),
        };
        match text.split(GAP).collect::<Vec<_>>()[..] {
            [before, after] => Ok(Frame { before: before.into(), after: after.into() }),
            _ => Err(WorkloadError::TemplateChangesText),
        }
    }
}

pub(super) fn plain(messages: &[Message]) -> String {
    let heading = |role| match role {
        Role::System => "System",
        Role::User => "User",
        Role::Assistant => "Assistant",
        Role::Tool => "Tool",
    };
    let turns = messages.iter().map(|m| format!("{}: {}\n\n", heading(m.role), m.content));
    turns.chain(["Assistant:".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_has_role_headings() {
        let messages =
            [Message::new(Role::System, "Be brief."), Message::new(Role::User, format!("a {GAP} b"))];
        let frame = Layout::Plain.frame(&messages).unwrap();
        assert_eq!(frame.before, "System: Be brief.\n\nUser: a ");
        assert_eq!(frame.after, " b\n\nAssistant:");
    }

    #[test]
    fn a_template_that_loses_the_words_is_an_error() {
        let template = ChatTemplate::parse("{{ messages[0].content|length }}").unwrap();
        let layout = Layout::Template(&template, Thinking::Off);
        let error = layout.frame(&[Message::new(Role::User, GAP)]).unwrap_err();
        assert!(matches!(error, WorkloadError::TemplateChangesText));
    }
}
