//! The rows of an index on disk: vectors of one length, texts, and where each text ends.
//!
//! Rows are only ever added at the end. A row counts when all its files have it whole; what a killed run
//! left beyond that is cut. Not here: the graph over the vectors.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::layout;
use super::manifest::RowSeal;
use crate::hub::sha256;
use crate::retrieval::{Identity, RetrievalError, Row};

/// Bytes of the number that says where a text ends.
const END_BYTES: u64 = 8;

/// The three files, open for reading and writing.
#[derive(Debug)]
pub(super) struct RowFiles {
    folder: PathBuf,
    dimensions: usize,
    rows: u64,
    texts_end: u64,
    vectors: File,
    ends: File,
    texts: File,
}

impl RowFiles {
    /// Opens the files, makes those that are missing, and cuts what is no whole row.
    pub(super) fn resume(folder: &Path, identity: &Identity) -> Result<Self, RetrievalError> {
        let mut files = Self::open(folder, identity.dimensions)?;
        let vectors = layout::length(&folder.join(layout::VECTORS))? / files.vector_bytes();
        let ends = layout::length(&folder.join(layout::ENDS))? / END_BYTES;
        files.rows = vectors.min(ends).min(identity.chunks);
        let texts = layout::length(&folder.join(layout::TEXTS))?;
        while files.rows > 0 && files.end_of(files.rows - 1)? > texts {
            files.rows -= 1;
        }
        files.cut()?;
        Ok(files)
    }

    /// Opens complete files, and holds them against what was sealed.
    pub(super) fn complete(
        folder: &Path,
        identity: &Identity,
        seal: &RowSeal,
    ) -> Result<Self, RetrievalError> {
        for (name, expected) in [
            (layout::VECTORS, identity.chunks * identity.dimensions as u64 * 4),
            (layout::ENDS, identity.chunks * END_BYTES),
        ] {
            let path = folder.join(name);
            let found = layout::length(&path)?;
            if found != expected {
                return Err(layout::damaged(&path, &format!("it has {found} bytes, not {expected}")));
            }
        }
        hold(folder, &hashes(folder)?, seal)?;
        let mut files = Self::open(folder, identity.dimensions)?;
        files.rows = identity.chunks;
        Ok(files)
    }

    fn open(folder: &Path, dimensions: usize) -> Result<Self, RetrievalError> {
        let open = |name| {
            let path = folder.join(name);
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            file.map_err(|error| layout::unwritable(&path, &error))
        };
        let (vectors, ends, texts) = (open(layout::VECTORS)?, open(layout::ENDS)?, open(layout::TEXTS)?);
        Ok(Self { folder: folder.into(), dimensions, rows: 0, texts_end: 0, vectors, ends, texts })
    }

    fn cut(&mut self) -> Result<(), RetrievalError> {
        self.texts_end = if self.rows == 0 { 0 } else { self.end_of(self.rows - 1)? };
        let lengths = [
            (&self.vectors, layout::VECTORS, self.rows * self.vector_bytes()),
            (&self.ends, layout::ENDS, self.rows * END_BYTES),
            (&self.texts, layout::TEXTS, self.texts_end),
        ];
        for (file, name, length) in lengths {
            file.set_len(length).map_err(|error| layout::unwritable(&self.folder.join(name), &error))?;
        }
        Ok(())
    }

    /// Rows that are there.
    pub(super) fn count(&self) -> u64 {
        self.rows
    }

    fn vector_bytes(&self) -> u64 {
        self.dimensions as u64 * 4
    }

    /// Adds rows at the end, texts first, so that a torn write is seen by a missing vector.
    pub(super) fn append(&mut self, rows: &[Row]) -> Result<(), RetrievalError> {
        let (mut vectors, mut ends, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            texts.extend_from_slice(row.text.as_bytes());
            ends.extend_from_slice(&(self.texts_end + texts.len() as u64).to_le_bytes());
            vectors.extend_from_slice(bytemuck::cast_slice(&row.vector));
        }
        let (rows_before, texts_before) = (self.rows, self.texts_end);
        self.put(layout::TEXTS, texts_before, &texts)?;
        self.put(layout::ENDS, rows_before * END_BYTES, &ends)?;
        self.put(layout::VECTORS, rows_before * self.vector_bytes(), &vectors)?;
        self.rows += rows.len() as u64;
        self.texts_end += texts.len() as u64;
        Ok(())
    }

    fn put(&mut self, name: &str, at: u64, bytes: &[u8]) -> Result<(), RetrievalError> {
        let file = match name {
            layout::TEXTS => &mut self.texts,
            layout::ENDS => &mut self.ends,
            _ => &mut self.vectors,
        };
        let written = file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(bytes));
        written.map_err(|error| layout::unwritable(&self.folder.join(name), &error))
    }

    /// Makes the rows last, and says what their files must be from now on.
    pub(super) fn seal(&mut self) -> Result<RowSeal, RetrievalError> {
        for (file, name) in
            [(&self.vectors, layout::VECTORS), (&self.ends, layout::ENDS), (&self.texts, layout::TEXTS)]
        {
            file.sync_all().map_err(|error| layout::unwritable(&self.folder.join(name), &error))?;
        }
        hashes(&self.folder)
    }

    /// The text of one chunk.
    pub(super) fn text(&mut self, chunk: u64) -> Result<String, RetrievalError> {
        if chunk >= self.rows {
            let rows = self.rows;
            return Err(RetrievalError::Store(format!(
                "chunk {chunk} was asked of an index of {rows} chunks"
            )));
        }
        let from = if chunk == 0 { 0 } else { self.end_of(chunk - 1)? };
        let to = self.end_of(chunk)?;
        let path = self.folder.join(layout::TEXTS);
        let broken = || layout::damaged(&path, &format!("the text of chunk {chunk} is not there"));
        let length = to.checked_sub(from).filter(|_| to <= self.texts_len()).ok_or_else(broken)?;
        let mut bytes = vec![0; length as usize];
        read_at(&mut self.texts, from, &mut bytes).map_err(|error| layout::unreadable(&path, &error))?;
        String::from_utf8(bytes).map_err(|error| layout::damaged(&path, &error.to_string()))
    }

    fn texts_len(&self) -> u64 {
        self.texts.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Where the text of a row ends.
    fn end_of(&mut self, row: u64) -> Result<u64, RetrievalError> {
        let mut end = [0; END_BYTES as usize];
        let read = read_at(&mut self.ends, row * END_BYTES, &mut end);
        read.map_err(|error| layout::unreadable(&self.folder.join(layout::ENDS), &error))?;
        Ok(u64::from_le_bytes(end))
    }

    /// A reader of the vectors with a place of its own: one per thread.
    pub(super) fn reader(&self) -> Result<VectorReader, RetrievalError> {
        let path = self.folder.join(layout::VECTORS);
        let file = File::open(&path).map_err(|error| layout::unreadable(&path, &error))?;
        Ok(VectorReader { path, file, dimensions: self.dimensions })
    }
}

/// Reads vectors from their file.
#[derive(Debug)]
pub(super) struct VectorReader {
    path: PathBuf,
    file: File,
    dimensions: usize,
}

impl VectorReader {
    /// The file it reads.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Vectors of some rows, one behind the other.
    pub(super) fn read(&mut self, rows: Range<u64>) -> Result<Vec<f32>, RetrievalError> {
        let mut numbers = vec![0.0f32; (rows.end - rows.start) as usize * self.dimensions];
        let at = rows.start * self.dimensions as u64 * 4;
        let read = read_at(&mut self.file, at, bytemuck::cast_slice_mut(&mut numbers));
        read.map_err(|error| layout::unreadable(&self.path, &error))?;
        Ok(numbers)
    }
}

fn read_at(file: &mut File, at: u64, into: &mut [u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(into)
}

/// Hashes of all three files; the vectors, by far the longest, beside the others.
fn hashes(folder: &Path) -> Result<RowSeal, RetrievalError> {
    let hash = |name| {
        let path = folder.join(name);
        sha256(&path).map_err(|error| layout::unreadable(&path, &error))
    };
    let (vectors, rest) = rayon::join(
        || hash(layout::VECTORS),
        || Ok::<_, RetrievalError>((hash(layout::ENDS)?, hash(layout::TEXTS)?)),
    );
    let (ends, texts) = rest?;
    Ok(RowSeal { vectors: vectors?, ends, texts })
}

fn hold(folder: &Path, found: &RowSeal, sealed: &RowSeal) -> Result<(), RetrievalError> {
    let files = [
        (layout::VECTORS, &found.vectors, &sealed.vectors),
        (layout::ENDS, &found.ends, &sealed.ends),
        (layout::TEXTS, &found.texts, &sealed.texts),
    ];
    match files.iter().find(|(_, found, sealed)| found != sealed) {
        Some((name, ..)) => {
            Err(layout::damaged(&folder.join(name), "its content is not what was written (SHA-256)"))
        }
        None => Ok(()),
    }
}
