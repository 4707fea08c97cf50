//! How an embedder's vectors are made: pooling, longest text, instruction. From the catalog, or from the
//! files that sentence-transformers keeps beside a model; what those ask for and this build lacks is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::EmbedderError;
use super::folder::read_json;
use crate::catalog::embedder::{Embedder, Pooling};

/// Files of a repository that say how vectors are made; each may be absent.
pub const FILES: [&str; 4] = [
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

/// What a model's own configuration does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How the states of the tokens become one.
    pub pooling: Pooling,
    /// Longest text, special tokens included.
    pub max_tokens: usize,
    /// Stands before a question.
    pub query_instruction: Option<String>,
}

#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    path: String,
    r#type: String,
}

#[derive(Default, Deserialize)]
struct Lengths {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(Default, Deserialize)]
struct Prompts {
    #[serde(default)]
    prompts: BTreeMap<String, Option<String>>,
}

impl Settings {
    /// What the catalog says.
    pub fn of_entry(entry: &Embedder) -> Self {
        Self {
            pooling: entry.pooling,
            max_tokens: entry.max_tokens,
            query_instruction: entry.query_instruction.clone(),
        }
    }

    /// What the files of a folder say; what they leave open, by the catalog's entry of the same weights, or else
    /// as `otherwise` says.
    pub fn of_folder(
        folder: &Path,
        known: Option<&Embedder>,
        otherwise: Self,
    ) -> Result<Self, EmbedderError> {
        let otherwise = known.map_or(otherwise, Self::of_entry);
        let pooling = pooling(folder)?.unwrap_or(otherwise.pooling);
        let lengths: Lengths = optional(&folder.join("sentence_bert_config.json"))?.unwrap_or_default();
        if lengths.do_lower_case {
            let path = folder.join("sentence_bert_config.json");
            return Err(EmbedderError::Unsupported { path, feature: "lower case (do_lower_case)".into() });
        }
        let prompts: Prompts =
            optional(&folder.join("config_sentence_transformers.json"))?.unwrap_or_default();
        let own = prompts.prompts.get("query").cloned().flatten().filter(|prompt| !prompt.is_empty());
        Ok(Self {
            pooling,
            max_tokens: lengths.max_seq_length.unwrap_or(otherwise.max_tokens),
            query_instruction: own.or(otherwise.query_instruction),
        })
    }

    /// The text with what stands before a question.
    pub fn instructed(&self, question: &str) -> String {
        format!("{}{question}", self.query_instruction.as_deref().unwrap_or_default())
    }
}

fn optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, EmbedderError> {
    if path.is_file() { read_json(path).map(Some) } else { Ok(None) }
}

/// The folder's own pooling, if it states one.
fn pooling(folder: &Path) -> Result<Option<Pooling>, EmbedderError> {
    let path = folder.join("modules.json");
    let modules: Vec<Module> = optional(&path)?.unwrap_or_default();
    let mut pooling = folder.join("1_Pooling");
    for module in modules {
        match module.r#type.rsplit('.').next().unwrap_or_default() {
            "Transformer" | "Normalize" => {}
            "Pooling" => pooling = folder.join(module.path),
            other => {
                let feature = format!("a module '{other}' behind the model");
                return Err(EmbedderError::Unsupported { path, feature });
            }
        }
    }
    let path = pooling.join("config.json");
    let stated: Option<BTreeMap<String, serde_json::Value>> = optional(&path)?;
    stated.map(|stated| named(&stated, path)).transpose()
}

/// One mode, as flags in older files and by its name in newer ones.
fn named(stated: &BTreeMap<String, serde_json::Value>, path: PathBuf) -> Result<Pooling, EmbedderError> {
    let set = |key: &&String| stated[*key] == serde_json::Value::Bool(true);
    let flags = stated.keys().filter(|key| key.starts_with("pooling_mode_")).filter(set);
    let mut modes: Vec<&str> = flags.map(|key| key.trim_start_matches("pooling_mode_")).collect();
    modes.extend(stated.get("pooling_mode").and_then(|mode| mode.as_str()));
    match modes.as_slice() {
        ["mean_tokens" | "mean"] => Ok(Pooling::Mean),
        ["cls_token" | "cls"] => Ok(Pooling::First),
        ["lasttoken"] => Ok(Pooling::Last),
        [] => Err(EmbedderError::File { path, reason: "it names no pooling".into() }),
        other => {
            Err(EmbedderError::Unsupported { path, feature: format!("pooling {}", other.join(" and ")) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Settings = Settings { pooling: Pooling::Mean, max_tokens: 512, query_instruction: None };

    fn of(files: &[(&str, &str)]) -> Result<Settings, EmbedderError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a writable folder");
            std::fs::write(path, text).expect("a writable folder");
        }
        Settings::of_folder(folder.path(), None, PLAIN)
    }

    #[test]
    fn what_the_files_say_wins_and_what_they_leave_open_stays() {
        assert_eq!(of(&[]).unwrap(), PLAIN);
        let all = of(&[
            ("modules.json", r#"[{"path":"", "type":"a.Transformer"}, {"path":"p", "type":"a.Pooling"}]"#),
            ("p/config.json", r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#),
            ("sentence_bert_config.json", r#"{"max_seq_length": 64}"#),
            ("config_sentence_transformers.json", r#"{"prompts": {"query": "Q: ", "document": ""}}"#),
        ]);
        let expected =
            Settings { pooling: Pooling::First, max_tokens: 64, query_instruction: Some("Q: ".into()) };
        assert_eq!(all.unwrap(), expected);
        assert_eq!(expected.instructed("why?"), "Q: why?");
    }

    #[test]
    fn what_is_not_done_here_is_refused_by_name() {
        for (name, text, part) in [
            ("modules.json", r#"[{"path":"2_Dense", "type":"a.Dense"}]"#, "a module 'Dense'"),
            ("1_Pooling/config.json", r#"{"pooling_mode_max_tokens": true}"#, "pooling max_tokens"),
            (
                "1_Pooling/config.json",
                r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}"#,
                "pooling cls_token and mean_tokens",
            ),
            ("1_Pooling/config.json", "{}", "names no pooling"),
            ("1_Pooling/config.json", "{", "take the file again"),
            ("sentence_bert_config.json", r#"{"do_lower_case": true}"#, "lower case"),
        ] {
            let message = of(&[(name, text)]).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains(name), "{message}");
        }
    }

    #[test]
    fn newer_files_name_the_mode() {
        for (mode, pooling) in
            [("mean", Pooling::Mean), ("cls", Pooling::First), ("lasttoken", Pooling::Last)]
        {
            let text = format!(r#"{{"pooling_mode": "{mode}"}}"#);
            assert_eq!(of(&[("1_Pooling/config.json", &text)]).unwrap().pooling, pooling);
        }
    }
}
