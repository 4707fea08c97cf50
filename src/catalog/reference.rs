//! What a MODEL argument names. Looks at the text, and at the disk for folders and files; never at the network.

use std::path::{Path, PathBuf};

/// A MODEL argument, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelRef {
    /// A name without a slash: a catalog id.
    Catalog(String),
    /// `owner/name` or `owner/name@revision`.
    Repo(HubRepo),
    /// `owner/name[@revision]:path/file.gguf`.
    HubGguf {
        /// The repository.
        repo: HubRepo,
        /// Path inside it.
        file: String,
    },
    /// A folder on this machine.
    Folder(PathBuf),
    /// A `.gguf` file on this machine.
    GgufFile(PathBuf),
}

/// A repository, and the revision that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubRepo {
    /// `owner/name`.
    pub id: String,
    /// Branch, tag or commit.
    pub revision: Option<String>,
}

impl ModelRef {
    /// Understands `text`. What exists on disk wins over a repository of the same name.
    pub fn parse(text: &str) -> Self {
        let path = Path::new(text);
        if path.is_dir() {
            return Self::Folder(path.into());
        }
        if let Some((repo, file)) = text.split_once(':')
            && file.ends_with(".gguf")
            && repo.split('/').count() == 2
        {
            return Self::HubGguf { repo: HubRepo::parse(repo), file: file.into() };
        }
        if text.ends_with(".gguf") {
            return Self::GgufFile(path.into());
        }
        match looks_like_a_repository(text) {
            true => Self::Repo(HubRepo::parse(text)),
            false if text.contains(['/', '\\']) => Self::Folder(path.into()),
            false => Self::Catalog(text.into()),
        }
    }
}

impl HubRepo {
    fn parse(text: &str) -> Self {
        match text.split_once('@') {
            Some((id, revision)) => Self { id: id.into(), revision: Some(revision.into()) },
            None => Self { id: text.into(), revision: None },
        }
    }
}

fn looks_like_a_repository(text: &str) -> bool {
    let id = text.split('@').next().unwrap_or(text);
    let parts: Vec<&str> = id.split('/').collect();
    let word = |s: &&str| {
        !s.is_empty()
            && !s.starts_with('.')
            && s.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    parts.len() == 2 && parts.iter().all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo(id: &str, revision: Option<&str>) -> HubRepo {
        HubRepo { id: id.into(), revision: revision.map(Into::into) }
    }

    #[test]
    fn every_form_of_model_is_told_apart() {
        assert_eq!(ModelRef::parse("qwen3-0.6b"), ModelRef::Catalog("qwen3-0.6b".into()));
        assert_eq!(ModelRef::parse("Qwen/Qwen3-0.6B"), ModelRef::Repo(repo("Qwen/Qwen3-0.6B", None)));
        assert_eq!(ModelRef::parse("a/b@refs/pr/1"), ModelRef::Repo(repo("a/b", Some("refs/pr/1"))));
        assert_eq!(
            ModelRef::parse("a/b@v1:sub/m-Q8_0.gguf"),
            ModelRef::HubGguf { repo: repo("a/b", Some("v1")), file: "sub/m-Q8_0.gguf".into() }
        );
        assert_eq!(ModelRef::parse("./m.gguf"), ModelRef::GgufFile("./m.gguf".into()));
        assert_eq!(ModelRef::parse("./nowhere/model"), ModelRef::Folder("./nowhere/model".into()));
        assert_eq!(ModelRef::parse("src"), ModelRef::Folder("src".into()));
    }
}
