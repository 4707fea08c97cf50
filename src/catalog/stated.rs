//! What the catalog states of a repository's files, and whether a file is that one.
//!
//! Not here: the files; the caller brings size and hash of each, from a list or from the disk.

use super::Catalog;
use super::embedder::Embedder;
use super::entry::{CatalogFile, Entry, GgufEntry};
use super::error::CatalogError;
use super::reference::HubRepo;

/// Files whose size or hash the catalog knows. Of others it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    files: Vec<CatalogFile>,
}

impl Stated {
    /// What an entry states of the files of its own repository.
    pub fn of_entry(entry: &Entry) -> Self {
        Self { files: entry.files.clone() }
    }

    /// What an embedder states of the files of its own repository.
    pub fn of_embedder(embedder: &Embedder) -> Self {
        Self { files: embedder.files.clone() }
    }

    /// What the catalog states of one GGUF file, if it speaks of the revision that was asked for.
    pub fn of_gguf(catalog: &Catalog, repo: &HubRepo, file: &str) -> Self {
        let same = |gguf: &&GgufEntry| {
            gguf.repo.eq_ignore_ascii_case(&repo.id) && gguf.file == file && gguf.revision == repo.revision
        };
        let found = catalog.entries.iter().flat_map(|entry| &entry.gguf).find(same);
        let stated = |gguf: &GgufEntry| CatalogFile {
            name: gguf.file.clone(),
            bytes: gguf.bytes,
            sha256: gguf.sha256.clone(),
        };
        Self { files: found.map(stated).into_iter().collect() }
    }

    /// The files that are spoken of.
    pub fn files(&self) -> &[CatalogFile] {
        &self.files
    }

    /// Fails if `found`, a file of `repo`, differs from what is stated of it. What either side does not
    /// know is not compared.
    pub fn check(&self, repo: &str, found: &CatalogFile) -> Result<(), CatalogError> {
        let Some(stated) = self.files.iter().find(|file| file.name == found.name) else {
            return Ok(());
        };
        let differs = |what, found_value: String, stated_value: String| CatalogError::OtherFile {
            repo: repo.into(),
            name: found.name.clone(),
            what,
            found: found_value,
            stated: stated_value,
        };
        match (found.bytes, stated.bytes) {
            (Some(is), Some(said)) if is != said => {
                return Err(differs("a size of", format!("{is} bytes"), format!("{said} bytes")));
            }
            _ => {}
        }
        match (&found.sha256, &stated.sha256) {
            (Some(is), Some(said)) if !is.eq_ignore_ascii_case(said) => {
                Err(differs("the SHA-256", is.clone(), said.clone()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: Option<u64>, sha256: Option<&str>) -> CatalogFile {
        CatalogFile { name: "m".into(), bytes, sha256: sha256.map(Into::into) }
    }

    fn check(stated: CatalogFile, found: CatalogFile) -> Option<String> {
        Stated { files: vec![stated] }.check("o/n", &found).err().map(|error| error.to_string())
    }

    #[test]
    fn a_file_that_differs_is_told_with_both_figures() {
        let message = check(file(Some(2), None), file(Some(3), None)).unwrap();
        assert!(
            message.contains("m of o/n has a size of 3 bytes, but the catalog states 2 bytes"),
            "{message}"
        );
        let message = check(file(None, Some("aa")), file(Some(3), Some("bb"))).unwrap();
        assert!(message.contains("the SHA-256 bb") && message.contains("states aa"), "{message}");
    }

    #[test]
    fn what_is_not_known_is_not_compared() {
        assert_eq!(check(file(Some(3), Some("AA")), file(Some(3), Some("aa"))), None);
        assert_eq!(check(file(Some(3), Some("aa")), file(Some(3), None)), None);
        assert_eq!(check(file(None, None), file(Some(3), Some("aa"))), None);
        let other = CatalogFile { name: "other".into(), ..file(Some(9), None) };
        assert_eq!(check(file(Some(3), None), other), None);
    }

    #[test]
    fn a_gguf_file_is_known_at_the_catalogs_revision_only() {
        let catalog = Catalog::load(None).unwrap();
        let gguf = catalog.find("qwen3-0.6b").unwrap().gguf[0].clone();
        let stated = |revision| {
            Stated::of_gguf(&catalog, &HubRepo { id: gguf.repo.clone(), revision }, &gguf.file).files
        };
        assert!(gguf.revision.is_some(), "the test needs a pinned file");
        assert_eq!(stated(gguf.revision.clone())[0].bytes, gguf.bytes);
        assert_eq!(stated(None), []);
    }
}
