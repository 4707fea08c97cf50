//! One catalog file: TOML text in, checked entries out, or an error that names file, line, key and remedy.

use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::entry::{Entry, GgufEntry};
use super::error::CatalogError;

/// What a file holds.
#[derive(Debug)]
pub(super) struct CatalogFileContent {
    pub default: Option<String>,
    pub entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    default: Option<String>,
    #[serde(default)]
    model: Vec<Spanned<Entry>>,
}

/// Reads and checks one file; `path` is only for the errors.
pub(super) fn parse(path: &Path, text: &str) -> Result<CatalogFileContent, CatalogError> {
    let raw: RawFile = toml::from_str(text).map_err(|error| syntax(path, text, &error))?;
    let mut seen: Vec<(String, usize)> = Vec::new();
    for spanned in &raw.model {
        let line = line_of(text, spanned.span());
        let entry = spanned.get_ref();
        check(path, line, entry)?;
        let id = entry.id.to_ascii_lowercase();
        if let Some((_, first)) = seen.iter().find(|(known, _)| *known == id) {
            return Err(CatalogError::Duplicate { path: path.into(), line, first: *first, id });
        }
        seen.push((id, line));
    }
    let entries = raw.model.into_iter().map(Spanned::into_inner).collect();
    Ok(CatalogFileContent { default: raw.default, entries })
}

/// What is wrong with one key: its name, its value, what it has to be.
struct Wrong(&'static str, String, &'static str);

fn check(path: &Path, line: usize, entry: &Entry) -> Result<(), CatalogError> {
    let wrong = wrong_name(entry).or_else(|| wrong_shape(entry)).or_else(|| wrong_file(entry));
    match wrong {
        None => Ok(()),
        Some(Wrong(key, found, remedy)) => {
            Err(CatalogError::Value { path: path.into(), line, id: entry.id.clone(), key, found, remedy })
        }
    }
}

fn wrong_name(entry: &Entry) -> Option<Wrong> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if entry.id.is_empty() || !entry.id.chars().all(plain) || entry.id.ends_with(".gguf") {
        let remedy = "use letters, digits, '-', '_' and '.', and no .gguf at the end";
        return Some(Wrong("id", format!("'{}'", entry.id), remedy));
    }
    wrong_repo("repo", &entry.repo)
        .or_else(|| entry.gguf.iter().find_map(|gguf| wrong_repo("gguf.repo", &gguf.repo)))
}

fn wrong_repo(key: &'static str, repo: &str) -> Option<Wrong> {
    let parts: Vec<&str> = repo.split('/').collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let good = |part: &&str| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain);
    let well_formed = parts.len() == 2 && parts.iter().all(good);
    (!well_formed).then(|| Wrong(key, format!("'{repo}'"), "write owner/name, without a host"))
}

fn wrong_shape(entry: &Entry) -> Option<Wrong> {
    let shape = &entry.shape;
    if let Some(wrong) = shape.impossible() {
        let found = format!("impossible: {}", wrong.reason);
        return Some(Wrong(wrong.field, found, "take it from the model's config.json"));
    }
    [("shape.rope_theta", shape.rope_theta), ("shape.rms_norm_eps", shape.rms_norm_eps)]
        .into_iter()
        .find(|(_, value)| !(value.is_finite() && *value > 0.0))
        .map(|(key, value)| Wrong(key, value.to_string(), "write a number above 0"))
}

fn wrong_file(entry: &Entry) -> Option<Wrong> {
    let hashes = entry.files.iter().map(|file| ("files.sha256", &file.sha256));
    let gguf_hashes = entry.gguf.iter().map(|gguf| ("gguf.sha256", &gguf.sha256));
    let bad_hash = hashes.chain(gguf_hashes).find_map(|(key, hash)| match hash {
        Some(hash) if hash.len() != 64 || !hash.chars().all(|c| c.is_ascii_hexdigit()) => {
            Some(Wrong(key, format!("'{hash}'"), "write all 64 hexadecimal digits, or leave the key out"))
        }
        _ => None,
    });
    let unsafe_path =
        |name: &str| name.is_empty() || name.starts_with('/') || name.split('/').any(|p| p == "..");
    let names = entry.files.iter().map(|file| ("files.name", &file.name));
    let gguf_names = entry.gguf.iter().map(|GgufEntry { file, .. }| ("gguf.file", file));
    bad_hash.or_else(|| {
        names
            .chain(gguf_names)
            .find(|(_, name)| unsafe_path(name))
            .map(|(key, name)| Wrong(key, format!("'{name}'"), "write a path inside the repository"))
    })
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
    fn files_and_hashes_have_to_be_possible() {
        let with = |line: &str| ENTRY.replace("license", &format!("files = [{line}]\nlicense"));
        let message = error(&with("{ name = \"m\", sha256 = \"abc\" }"));
        assert!(message.contains("all 64 hexadecimal digits"), "{message}");
        let message = error(&with("{ name = \"../m\" }"));
        assert!(message.contains("inside the repository"), "{message}");
    }
}
