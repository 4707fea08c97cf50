//! Whether what an entry says can be meant: names, shapes, files. Reads no disk and no network.

use super::embedder::{Embedder, EmbedderShape};
use super::entry::{CatalogFile, Entry, GgufEntry};
use crate::model::shape::ModelShape;

/// What is wrong with one key.
pub(super) struct Wrong {
    /// The key inside the entry.
    pub key: &'static str,
    /// Its value.
    pub found: String,
    /// What it has to be.
    pub remedy: &'static str,
}

fn wrong(key: &'static str, found: impl Into<String>, remedy: &'static str) -> Option<Wrong> {
    Some(Wrong { key, found: found.into(), remedy })
}

/// The first thing of a model that cannot be meant.
pub(super) fn wrong_model(entry: &Entry) -> Option<Wrong> {
    wrong_id(&entry.id)
        .or_else(|| wrong_repo("repo", &entry.repo))
        .or_else(|| entry.gguf.iter().find_map(|gguf| wrong_repo("gguf.repo", &gguf.repo)))
        .or_else(|| wrong_shape(&entry.shape))
        .or_else(|| wrong_files(&entry.files))
        .or_else(|| entry.gguf.iter().find_map(wrong_gguf))
}

/// The first thing of an embedder that cannot be meant.
pub(super) fn wrong_embedder(embedder: &Embedder) -> Option<Wrong> {
    wrong_id(&embedder.id)
        .or_else(|| wrong_repo("repo", &embedder.repo))
        .or_else(|| wrong_files(&embedder.files))
        .or_else(|| match &embedder.shape {
            EmbedderShape::Decoder(shape) => wrong_shape(shape),
            EmbedderShape::Bert(shape) => {
                let (key, count) = shape.impossible()?;
                wrong(key, count.to_string(), "take it from the model's config.json")
            }
        })
        .or_else(|| wrong_vectors(embedder))
}

fn wrong_vectors(embedder: &Embedder) -> Option<Wrong> {
    let counts = [("dimensions", embedder.dimensions), ("max_tokens", embedder.max_tokens)];
    let (key, count) = counts.into_iter().find(|(_, count)| !(1..=1 << 24).contains(count))?;
    wrong(key, count.to_string(), "write a number from 1 to 16777216")
}

fn wrong_id(id: &str) -> Option<Wrong> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let good = !id.is_empty() && id.chars().all(plain) && !id.ends_with(".gguf");
    let remedy = "use letters, digits, '-', '_' and '.', and no .gguf at the end";
    if good { None } else { wrong("id", format!("'{id}'"), remedy) }
}

fn wrong_repo(key: &'static str, repo: &str) -> Option<Wrong> {
    let parts: Vec<&str> = repo.split('/').collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let good = |part: &&str| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain);
    match parts.len() == 2 && parts.iter().all(good) {
        true => None,
        false => wrong(key, format!("'{repo}'"), "write owner/name, without a host"),
    }
}

fn wrong_shape(shape: &ModelShape) -> Option<Wrong> {
    if let Some(impossible) = shape.impossible() {
        let found = format!("impossible: {}", impossible.reason);
        return wrong(impossible.field, found, "take it from the model's config.json");
    }
    [("shape.rope_theta", shape.rope_theta), ("shape.rms_norm_eps", shape.rms_norm_eps)]
        .into_iter()
        .find(|(_, value)| !(value.is_finite() && *value > 0.0))
        .and_then(|(key, value)| wrong(key, value.to_string(), "write a number above 0"))
}

fn wrong_files(files: &[CatalogFile]) -> Option<Wrong> {
    let hash = files.iter().find_map(|file| wrong_hash("files.sha256", file.sha256.as_deref()));
    hash.or_else(|| files.iter().find_map(|file| wrong_path("files.name", &file.name)))
}

fn wrong_gguf(gguf: &GgufEntry) -> Option<Wrong> {
    wrong_hash("gguf.sha256", gguf.sha256.as_deref()).or_else(|| wrong_path("gguf.file", &gguf.file))
}

fn wrong_hash(key: &'static str, hash: Option<&str>) -> Option<Wrong> {
    let hash = hash?;
    let whole = hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit());
    let remedy = "write all 64 hexadecimal digits, or leave the key out";
    if whole { None } else { wrong(key, format!("'{hash}'"), remedy) }
}

fn wrong_path(key: &'static str, name: &str) -> Option<Wrong> {
    let outside = name.is_empty() || name.starts_with('/') || name.split('/').any(|part| part == "..");
    if outside { wrong(key, format!("'{name}'"), "write a path inside the repository") } else { None }
}
