//! stub
use super::chat::*;
pub enum ToolCallText {
    Call { function: Function, before: String },
    Absent,
    Malformed { reason: String },
}
pub fn parse(_t: &str) -> ToolCallText {
    ToolCallText::Absent
}
pub fn search_tool() -> serde_json::Value {
    serde_json::json!({})
}
pub fn written(_t: &ChatTemplate, _c: &Conversation<'_>, _call: &ToolCall) -> Result<String, ChatError> {
    Ok(String::new())
}
