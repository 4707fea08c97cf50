//! One catalog file: TOML text in, checked entries out, or an error that names file, line, key and remedy.

use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::check::{Wrong, wrong_embedder, wrong_model};
use super::embedder::Embedder;
use super::entry::Entry;
use super::error::CatalogError;

/// What a file holds.
#[derive(Debug)]
pub(super) struct CatalogFileContent {
    pub default: Option<String>,
    pub entries: Vec<Entry>,
    pub embedders: Vec<Embedder>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    family: Option<String>,
    #[serde(default)]
    default: Option<String>,
    #[serde(default)]
    model: Vec<Spanned<Entry>>,
    #[serde(default)]
    embedder: Vec<Spanned<Embedder>>,
}

/// Reads and checks one file; `path` is for the errors, and names the family where the file does not.
pub(super) fn parse(path: &Path, text: &str) -> Result<CatalogFileContent, CatalogError> {
    let raw: RawFile = toml::from_str(text).map_err(|error| syntax(path, text, &error))?;
    let mut ids = Ids { path, text, seen: Vec::new() };
    for model in &raw.model {
        ids.add(&model.get_ref().id, model.span(), wrong_model(model.get_ref()))?;
    }
    for embedder in &raw.embedder {
        ids.add(&embedder.get_ref().id, embedder.span(), wrong_embedder(embedder.get_ref()))?;
    }
    let file_name = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let family = raw.family.unwrap_or_else(file_name);
    let in_family = |entry: Spanned<Entry>| Entry { family: family.clone(), ..entry.into_inner() };
    Ok(CatalogFileContent {
        default: raw.default,
        entries: raw.model.into_iter().map(in_family).collect(),
        embedders: raw.embedder.into_iter().map(Spanned::into_inner).collect(),
    })
}

/// The ids of one file, each with its line, from 1.
struct Ids<'a> {
    path: &'a Path,
    text: &'a str,
    seen: Vec<(String, usize)>,
}

impl Ids<'_> {
    /// Adds the id of an entry, unless something is wrong with the entry or another one has its id.
    fn add(&mut self, id: &str, span: Range<usize>, wrong: Option<Wrong>) -> Result<(), CatalogError> {
        let (path, line) = (self.path.to_path_buf(), line_of(self.text, span));
        if let Some(Wrong { key, found, remedy }) = wrong {
            return Err(CatalogError::Value { path, line, id: id.into(), key, found, remedy });
        }
        let id = id.to_ascii_lowercase();
        if let Some((_, first)) = self.seen.iter().find(|(known, _)| *known == id) {
            return Err(CatalogError::Duplicate { path, line, first: *first, id });
        }
        self.seen.push((id, line));
        Ok(())
    }
}

fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> CatalogError {
    let span = error.span().unwrap_or(0..0);
    let line = line_of(text, span);
    let source = text.lines().nth(line - 1).unwrap_or("");
    let key = source.split('=').next().unwrap_or(source).trim().to_owned();
    let message = error.message().trim().replace('\n', ", ");
    CatalogError::Syntax { path: path.into(), line, key, message }
}

/// Line, from 1, on which `span` begins.
fn line_of(text: &str, span: Range<usize>) -> usize {
    let start = span.start.min(text.len());
    text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = r#"[[model]]
id = "tiny"
repo = "me/tiny"
license = "MIT"
[model.shape]
architecture = "qwen3"
vocab_size = 512
hidden_size = 64
layers = 4
heads = 4
kv_heads = 2
head_dim = 16
intermediate_size = 128
rope_theta = 1e6
rms_norm_eps = 1e-6
max_positions = 4096
tie_embeddings = true
"#;

    fn error(text: &str) -> String {
        parse(Path::new("own.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_entry_is_read() {
        let file = parse(Path::new("own.toml"), ENTRY).unwrap();
        assert_eq!((file.entries[0].id.as_str(), file.entries[0].shape.layers), ("tiny", 4));
    }

    #[test]
    fn errors_name_file_line_key_and_remedy() {
        let cases = [
            (ENTRY.replace("layers = 4", "layers = \"four\""), "line 9, at 'layers'"),
            (ENTRY.replace("layers = 4", "layer = 4"), "line 9, at 'layer': unknown field `layer`"),
            (ENTRY.replace("layers = 4\n", ""), "line 5, at '[model.shape]': missing field `layers`"),
            (ENTRY.replace("qwen3", "llama"), "line 6, at 'architecture': unknown variant `llama`"),
            (ENTRY.replace("me/tiny", "tiny"), "line 1: repo of model 'tiny' is 'tiny'; write owner/name"),
            (
                ENTRY.replace("kv_heads = 2", "kv_heads = 3"),
                "kv_heads of model 'tiny' is impossible: 3 does not divide 4 heads",
            ),
            (
                ENTRY.replace("layers = 4", "layers = 0"),
                "layers of model 'tiny' is impossible: 0 is not a number from 1",
            ),
            (
                ENTRY.replace("layers = 4", "layers = 5000"),
                "layers of model 'tiny' is impossible: 5000 is not a number from 1",
            ),
            (format!("{ENTRY}{ENTRY}"), "line 18: id 'tiny' is already used on line 1"),
            ("model = 3".into(), "line 1, at 'model'"),
        ];
        for (text, part) in cases {
            let message = error(&text);
            assert!(message.starts_with("catalog file 'own.toml'") && message.contains(part), "{message}");
        }
    }

    #[test]
    fn an_embedder_is_read_and_checked_like_a_model() {
        let embedder = r#"[[embedder]]
id = "small"
repo = "me/small"
license = "MIT"
dimensions = 8
max_tokens = 16
pooling = "mean"
[embedder.shape.bert]
vocab_size = 100
hidden_size = 8
layers = 2
heads = 2
intermediate_size = 16
max_positions = 16
token_types = 2
layer_norm_eps = 1e-12
"#;
        let file = parse(Path::new("own.toml"), embedder).unwrap();
        assert_eq!((file.entries.len(), file.embedders[0].id.as_str()), (0, "small"));
        let cases = [
            ("heads = 2", "heads = 3", "line 1: shape.bert.heads of model 'small' is 3"),
            ("dimensions = 8", "dimensions = 0", "dimensions of model 'small' is 0; write a number from 1"),
            ("\"mean\"", "\"sum\"", "line 7, at 'pooling': unknown variant `sum`"),
            ("shape.bert", "shape.lstm", "unknown variant `lstm`"),
        ];
        for (from, to, part) in cases {
            let message = error(&embedder.replace(from, to));
            assert!(message.contains(part), "{message}");
        }
        let twice = format!("{ENTRY}{}", embedder.replace("\"small\"", "\"Tiny\""));
        assert!(error(&twice).contains("id 'tiny' is already used on line 1"));
    }

    #[test]
    fn models_belong_to_the_family_their_file_names() {
        let family = |text: &str| parse(Path::new("a/own.toml"), text).unwrap().entries[0].family.clone();
        assert_eq!(family(ENTRY), "own");
        assert_eq!(family(&format!("family = \"Ours\"\n{ENTRY}")), "Ours");
    }

    #[test]
    fn files_and_hashes_have_to_be_possible() {
        let with = |line: &str| ENTRY.replace("license", &format!("files = [{line}]\nlicense"));
        let message = error(&with("{ name = \"m\", sha256 = \"abc\" }"));
        assert!(message.contains("all 64 hexadecimal digits"), "{message}");
        let message = error(&with("{ name = \"../m\" }"));
        assert!(message.contains("inside the repository"), "{message}");
    }
}
