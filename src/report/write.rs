//! A document onto disk: `report.json` always, other formats beside it, never half a file.
//!
//! Each file is written beside its final name and renamed, so that a crash leaves the old one whole.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};
use thiserror::Error;

use super::Exporter;
use super::document::Document;
use super::json::Json;

/// A folder or file that cannot be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The output folder cannot be made, or takes no files.
    #[error(
        "the output folder '{folder}' cannot be written: {source}\n\
         name another one with --output DIR, or change its permissions"
    )]
    Folder {
        /// What `--output` named.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A report could not be written; an older one of that name is still whole.
    #[error(
        "could not write '{path}': {source}\nfree some space there, or name another folder with --output DIR"
    )]
    File {
        /// The report's name.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes `folder` where it is missing, and proves that it takes files. Leaves nothing in it.
pub fn check_writable(folder: &Path) -> Result<(), WriteError> {
    let wrong = |source| WriteError::Folder { folder: folder.into(), source };
    fs::create_dir_all(folder).map_err(wrong)?;
    let mut file = temporary(folder).map_err(wrong)?;
    file.write_all(b"ctxbench was here").and_then(|()| file.close()).map_err(wrong)
}

/// Writes `report.json`, and `report.<name>` for every other exporter; returns the paths in that order.
///
/// Called after every case, so that a finished measurement is never lost.
pub fn write_all(
    document: &Document,
    folder: &Path,
    exporters: &[Box<dyn Exporter>],
) -> Result<Vec<PathBuf>, WriteError> {
    let mut paths = vec![write_one(document, folder, &Json)?];
    for exporter in exporters.iter().filter(|exporter| exporter.name() != Json.name()) {
        paths.push(write_one(document, folder, exporter.as_ref())?);
    }
    Ok(paths)
}

fn write_one(document: &Document, folder: &Path, exporter: &dyn Exporter) -> Result<PathBuf, WriteError> {
    let path = folder.join(format!("report.{}", exporter.name()));
    let result = temporary(folder).and_then(|mut file| {
        let mut out = BufWriter::new(&mut file);
        exporter.write(document, &mut out)?;
        out.flush()?;
        drop(out);
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)
    });
    match result {
        Ok(_) => Ok(path),
        Err(source) => Err(WriteError::File { path, source }),
    }
}

/// A file beside its final name, since a rename works only inside one file system.
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(".report-").suffix(".part");
    // A report is no secret: the user's umask decides, not tempfile's 0600.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::csv::Csv;
    use crate::report::fixture;
    use crate::report::markdown::Markdown;

    /// Fails after some bytes, as a full disk does.
    struct FullDisk;

    impl Exporter for FullDisk {
        fn name(&self) -> &'static str {
            "md"
        }

        fn write(&self, _: &Document, out: &mut dyn Write) -> io::Result<()> {
            out.write_all(b"half a rep")?;
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("the folder is there");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    #[test]
    fn json_is_always_written_and_nothing_is_left_over() {
        let folder = tempfile::tempdir().unwrap();
        let paths = write_all(&fixture::document(), folder.path(), &[Box::new(Csv), Box::new(Json)]).unwrap();
        assert_eq!(paths, [folder.path().join("report.json"), folder.path().join("report.csv")]);
        assert_eq!(names(folder.path()), ["report.csv", "report.json"]);
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_report_whole() {
        let folder = tempfile::tempdir().unwrap();
        let document = fixture::document();
        write_all(&document, folder.path(), &[Box::new(Markdown)]).unwrap();
        let before = fs::read_to_string(folder.path().join("report.md")).unwrap();
        let error = write_all(&document, folder.path(), &[Box::new(FullDisk)]).unwrap_err();
        assert!(error.to_string().contains("report.md"), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join("report.md")).unwrap(), before);
        assert_eq!(names(folder.path()), ["report.json", "report.md"]);
    }

    #[test]
    fn a_missing_folder_is_made_and_left_empty() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        check_writable(&folder).unwrap();
        assert!(names(&folder).is_empty());
    }

    #[test]
    fn a_folder_that_takes_no_files_is_named_with_the_remedy() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("taken");
        fs::write(&file, "a file, no folder").unwrap();
        let error = check_writable(&file.join("below")).unwrap_err().to_string();
        assert!(error.contains("taken") && error.contains("--output DIR"), "{error}");
    }
}
