//! The models ctxbench knows, as data: shipped in `models/*.toml`, and added to by the user's own file.
//!
//! Goes out: models and embedders by id, the nearest ids to a wrong one, what memory a model needs ([`memory`])
//! and what fits an amount of it ([`fit`], [`answer`]).
//! Not here: the network, and weights.

pub mod answer;
mod check;
#[cfg(test)]
mod counted;
pub mod embedder;
pub mod entry;
pub mod error;
pub mod file;
pub mod fit;
pub mod memory;
pub mod reference;
pub mod stated;

use std::path::Path;

use embedder::Embedder;
use entry::Entry;
use error::CatalogError;

/// The shipped files, by the name that errors show. A family is one more line here.
const SHIPPED: &[(&str, &str)] = &[
    ("models/qwen3.5.toml", include_str!("../../models/qwen3.5.toml")),
    ("models/qwen3.6.toml", include_str!("../../models/qwen3.6.toml")),
    ("models/qwen3.8.toml", include_str!("../../models/qwen3.8.toml")),
    ("models/qwen3-next.toml", include_str!("../../models/qwen3-next.toml")),
    ("models/qwen3.toml", include_str!("../../models/qwen3.toml")),
    ("models/qwen2.5.toml", include_str!("../../models/qwen2.5.toml")),
    ("models/qwen2-moe.toml", include_str!("../../models/qwen2-moe.toml")),
    ("models/embedders.toml", include_str!("../../models/embedders.toml")),
];

/// Names below this Jaro-Winkler similarity are not offered as what was meant.
const NEAR: f64 = 0.7;

/// All entries, shipped ones and the user's.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// In the order of the files; the user's own first.
    pub entries: Vec<Entry>,
    /// Models that turn text into vectors; in the same order.
    pub embedders: Vec<Embedder>,
    default: Option<String>,
}

impl Catalog {
    /// The shipped catalog, with the entries of `user_file` before it. Of two entries with one id the
    /// user's wins, and so does the user's `default`.
    ///
    /// Errors if `user_file` cannot be read, or says something a catalog cannot mean.
    pub fn load(user_file: Option<&Path>) -> Result<Self, CatalogError> {
        let mut catalog = Self::default();
        if let Some(path) = user_file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| CatalogError::Unreadable { path: path.into(), source })?;
            catalog.add(path, &text)?;
        }
        for (name, text) in SHIPPED {
            catalog.add(Path::new(name), text)?;
        }
        match &catalog.default {
            Some(id) if catalog.find(id).is_none() => {
                let nearest = catalog.nearest(id);
                Err(CatalogError::UnknownDefault { id: id.clone(), nearest })
            }
            _ => Ok(catalog),
        }
    }

    /// Adds what `text` holds, except what an earlier file has already named.
    fn add(&mut self, path: &Path, text: &str) -> Result<(), CatalogError> {
        let file = file::parse(path, text)?;
        for entry in file.entries {
            if !self.has(&entry.id) {
                self.entries.push(entry);
            }
        }
        for embedder in file.embedders {
            if !self.has(&embedder.id) {
                self.embedders.push(embedder);
            }
        }
        self.default = self.default.take().or(file.default);
        Ok(())
    }

    /// The entry of that id, in any case.
    pub fn find(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id.eq_ignore_ascii_case(id))
    }

    /// The embedder of that id or repository, in any case.
    pub fn find_embedder(&self, name: &str) -> Option<&Embedder> {
        self.embedders.iter().find(|e| e.id.eq_ignore_ascii_case(name) || e.repo.eq_ignore_ascii_case(name))
    }

    fn has(&self, id: &str) -> bool {
        self.find(id).is_some() || self.embedders.iter().any(|e| e.id.eq_ignore_ascii_case(id))
    }

    /// What runs when no model is named. `None` only in a catalog that was not loaded.
    pub fn default_entry(&self) -> Option<&Entry> {
        self.find(self.default.as_deref()?)
    }

    /// Up to three ids that `name` may have been meant to be, the likeliest first.
    pub fn nearest(&self, name: &str) -> Vec<String> {
        let name = name.to_ascii_lowercase();
        let models = self.entries.iter().map(|entry| entry.id.as_str());
        let mut scored: Vec<(f64, &str)> = models
            .chain(self.embedders.iter().map(|embedder| embedder.id.as_str()))
            .map(|id| (strsim::jaro_winkler(&name, &id.to_ascii_lowercase()), id))
            .filter(|(score, _)| *score >= NEAR)
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        scored.into_iter().take(3).map(|(_, id)| id.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn user_file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("it can be written");
        file
    }

    fn own_entry(id: &str) -> String {
        let shipped = include_str!("../../models/qwen3.toml");
        let start = shipped.find("[[model]]").expect("an entry");
        let end = shipped.find("[[model.gguf]]").expect("its end");
        shipped[start..end].replace("\"qwen3-0.6b\"", &format!("\"{id}\"")).replace("Qwen/", "me/")
    }

    #[test]
    fn ids_are_unique_and_say_which_repository_they_are() {
        let catalog = Catalog::load(None).unwrap();
        let shipped =
            |key: &str| -> usize { SHIPPED.iter().map(|(_, text)| text.matches(key).count()).sum() };
        assert_eq!(catalog.entries.len(), shipped("[[model]]"), "an id is used twice");
        assert_eq!(catalog.embedders.len(), shipped("[[embedder]]"), "an id is used twice");
        for entry in &catalog.entries {
            assert_eq!(format!("qwen/{}", entry.id), entry.repo.to_ascii_lowercase());
        }
    }

    #[test]
    fn the_default_is_a_model_of_the_catalog() {
        assert_eq!(Catalog::load(None).unwrap().default_entry().unwrap().id, "qwen3.5-0.8b");
    }

    #[test]
    fn a_stored_file_is_as_large_as_its_parameters() {
        let catalog = Catalog::load(None).unwrap();
        let entry = catalog.find("QWEN3-0.6B").unwrap();
        // The file stores the tied head too, and a header of 35,560 bytes.
        let stored = 2 * (entry.shape.parameters() + entry.shape.head_parameters());
        assert_eq!(entry.files[0].bytes, Some(stored + 35_560));
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_nearest_ones() {
        let catalog = Catalog::load(None).unwrap();
        let near = catalog.nearest("Qwen3-06b");
        assert_eq!((near.len(), near[0].as_str()), (3, "qwen3-0.6b"));
        assert!(catalog.nearest("zzz").is_empty());
    }

    #[test]
    fn the_users_entry_comes_first_and_wins() {
        let file = user_file(&(own_entry("qwen3-0.6b") + &own_entry("mine")));
        let catalog = Catalog::load(Some(file.path())).unwrap();
        assert_eq!(catalog.find("qwen3-0.6b").unwrap().repo, "me/Qwen3-0.6B");
        assert_eq!(catalog.entries[1].id, "mine");
        assert_eq!(catalog.entries.len(), Catalog::load(None).unwrap().entries.len() + 1);
    }

    #[test]
    fn a_default_that_names_nothing_is_refused_with_the_nearest() {
        let file = user_file("default = \"qwen3-0.6\"\n");
        let error = Catalog::load(Some(file.path())).unwrap_err().to_string();
        assert!(error.contains("qwen3-0.6b"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Catalog::load(Some(Path::new("nowhere.toml"))).unwrap_err().to_string();
        assert!(error.contains("nowhere.toml") && error.contains("--catalog"), "{error}");
    }
}
