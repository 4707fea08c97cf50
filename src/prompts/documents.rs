//! Text files of a folder, and documents made of headed paragraphs.

use std::path::{Path, PathBuf};

use super::PromptsError;

/// One text of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Path inside the corpus, with forward slashes.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// A heading and the paragraphs under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Title of the document and of the section, e.g. `Returns: Return windows`.
    pub title: String,
    /// Blocks of text between blank lines.
    pub paragraphs: Vec<String>,
}

/// Reads a file that has to be UTF-8; a byte order mark is dropped. A zero byte is refused too: it stands in
/// binary files and in UTF-16, never in text.
pub fn read_text(path: &Path) -> Result<String, PromptsError> {
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, e))?;
    let text = String::from_utf8(bytes)
        .map_err(|e| PromptsError::NotUtf8 { path: path.into(), offset: e.utf8_error().valid_up_to() })?;
    if let Some(offset) = text.find('\0') {
        return Err(PromptsError::NotUtf8 { path: path.into(), offset });
    }
    Ok(text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text))
}

/// Reads the files under `folder` whose names end in one of `extensions`: all levels, sorted by
/// path, hidden ones left out.
pub fn read_folder(folder: &Path, extensions: &[&str]) -> Result<Vec<Document>, PromptsError> {
    let mut paths = Vec::new();
    collect(folder, extensions, &mut paths)?;
    paths.sort();
    let document = |path: PathBuf| {
        let inside = path.strip_prefix(folder).unwrap_or(&path);
        let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
        Ok(Document { name: parts.join("/"), text: read_text(&path)? })
    };
    paths.into_iter().map(document).collect()
}

/// Linked folders are not followed, so that a loop of links ends.
fn collect(folder: &Path, extensions: &[&str], paths: &mut Vec<PathBuf>) -> Result<(), PromptsError> {
    for entry in std::fs::read_dir(folder).map_err(|e| unreadable(folder, e))? {
        let entry = entry.map_err(|e| unreadable(folder, e))?;
        let path = entry.path();
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type().map_err(|e| unreadable(&path, e))?.is_dir() {
            collect(&path, extensions, paths)?;
        } else if path.is_file() && extension.is_some_and(|e| extensions.contains(&e.as_str())) {
            paths.push(path);
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: std::io::Error) -> PromptsError {
    PromptsError::Unreadable { path: path.into(), reason: error.to_string() }
}

impl Document {
    /// Cuts the document at `#` and `##` headings (Markdown only) and at blank lines.
    pub fn sections(&self) -> Vec<Section> {
        let is_markdown = self.name.to_lowercase().ends_with(".md");
        let stem = self.name.rsplit('/').next().unwrap_or(&self.name);
        let mut title = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem).to_owned();
        let mut sections = vec![Section { title: title.clone(), paragraphs: Vec::new() }];
        let (mut paragraph, mut in_code) = (String::new(), false);
        for line in self.text.lines().map(str::trim_end) {
            in_code ^= is_markdown && line.starts_with("```");
            let heading = if is_markdown && !in_code { heading(line) } else { None };
            if line.is_empty() || heading.is_some() {
                finish(&mut sections, &mut paragraph);
            }
            match heading {
                Some((1, text)) => {
                    title = text.into();
                    sections.push(Section { title: title.clone(), paragraphs: Vec::new() });
                }
                Some((_, text)) => {
                    sections.push(Section { title: format!("{title}: {text}"), paragraphs: Vec::new() });
                }
                None if line.is_empty() => {}
                None => {
                    paragraph.push_str(line);
                    paragraph.push('\n');
                }
            }
        }
        finish(&mut sections, &mut paragraph);
        sections.retain(|section| !section.paragraphs.is_empty());
        sections
    }
}

fn finish(sections: &mut [Section], paragraph: &mut String) {
    let text = std::mem::take(paragraph);
    if let (Some(section), false) = (sections.last_mut(), text.is_empty()) {
        section.paragraphs.push(text.trim_end().to_owned());
    }
}

/// Level and text of a heading of level 1 or 2.
fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|b| *b == b'#').count();
    let text = line[level..].strip_prefix(' ')?.trim();
    (matches!(level, 1 | 2) && !text.is_empty()).then_some((level, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(name: &str, text: &str) -> Vec<(String, Vec<String>)> {
        let document = Document { name: name.into(), text: text.into() };
        document.sections().into_iter().map(|s| (s.title, s.paragraphs)).collect()
    }

    #[test]
    fn markdown_is_cut_at_its_headings() {
        let text =
            "# Pumps\n\nIntro\nline.\n## Noise\nA.\n\n\nB.\n```\n# not a heading\n```\n### C\n## Empty\n";
        let expected = [
            ("Pumps".to_string(), vec!["Intro\nline.".to_string()]),
            ("Pumps: Noise".into(), vec!["A.".into(), "B.\n```\n# not a heading\n```\n### C".into()]),
        ];
        assert_eq!(sections("a/b.md", text), expected);
    }

    #[test]
    fn plain_text_has_no_headings_and_goes_by_its_name() {
        assert_eq!(sections("a/note.txt", "# x\r\n\r\ny"), [("note".into(), vec!["# x".into(), "y".into()])]);
        assert!(sections("e.txt", " \n\n").is_empty());
    }

    #[test]
    fn folders_are_read_at_all_levels_in_order() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("b/c")).unwrap();
        for (name, text) in [("z.TXT", "1"), ("b/c/a.md", "\u{feff}2"), ("b/x.pdf", "3"), (".h.md", "4")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let found = read_folder(folder.path(), &["md", "txt"]).unwrap();
        let found: Vec<_> = found.iter().map(|d| (d.name.as_str(), d.text.as_str())).collect();
        assert_eq!(found, [("b/c/a.md", "2"), ("z.TXT", "1")]);
    }

    #[test]
    fn a_binary_file_that_is_named_txt_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("image.txt"), b"GIF89a\0\0\0").unwrap();
        let message = read_folder(folder.path(), &["txt"]).unwrap_err().to_string();
        assert!(message.contains("image.txt") && message.contains("offset 6"), "{message}");
    }

    #[test]
    fn another_encoding_is_named_with_file_and_offset() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("latin.txt"), b"caf\xe9").unwrap();
        let message = read_folder(folder.path(), &["txt"]).unwrap_err().to_string();
        assert!(message.contains("latin.txt") && message.contains("offset 3"), "{message}");
    }
}
