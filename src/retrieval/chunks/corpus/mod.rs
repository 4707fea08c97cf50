//! The chunks of a corpus, and of as many copies of it as are wanted: chunk `n` is made when it is asked for.
//!
//! The corpus is cut as it stands. A copy is cut at places that hold for all copies, found once on a text with the
//! longest words that copies use; so each copy has the same number of chunks, and chunk `n` needs no other one.

use std::ops::Range;

use sha2::{Digest, Sha256};

use super::{Chunk, Chunking, unreadable};
use crate::prompts::corpus::Corpus;
use crate::prompts::grown::{GENERATOR_VERSION, Grown};
use crate::prompts::markers::Marked;
use crate::retrieval::RetrievalError;
use crate::retrieval::index::source::ChunkSource;
use crate::tokenizer::Tokenizer;

/// A corpus in chunks.
pub struct ChunkedCorpus<'a> {
    corpus: &'a Corpus,
    grown: Grown<'a>,
    tokenizer: &'a dyn Tokenizer,
    chunking: Chunking,
    seed: u64,
    count: u64,
    /// Chunks of the corpus, and of any copy of it; the second is empty where no copy is needed.
    original: Vec<Part>,
    copied: Vec<Part>,
}

/// Bytes of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    document: usize,
    bytes: Range<usize>,
}

/// Where a chunk comes from.
struct Place<'p> {
    /// 0 for the corpus itself.
    copy: u64,
    part: &'p Part,
}

impl<'a> ChunkedCorpus<'a> {
    /// Cuts a corpus. With `chunks_wanted` it has so many: copies are added, and the rest is left off. The `seed`
    /// says which copies.
    pub fn new(
        corpus: &'a Corpus,
        tokenizer: &'a dyn Tokenizer,
        chunking: Chunking,
        chunks_wanted: Option<u64>,
        seed: u64,
    ) -> Result<Self, RetrievalError> {
        let grown = Grown::new(corpus, seed);
        let original = parts(&grown, |document| chunking.cut(&grown.source(document).text, tokenizer))?;
        let count = chunks_wanted.unwrap_or(original.len() as u64);
        let copied = if count > original.len() as u64 {
            // An error here comes up again where the whole is cut.
            let cost = |word: &str| tokenizer.encode(word).map_or(word.len(), |ids| ids.len());
            parts(&grown, |document| {
                grown.cut_for_all(document, &cost, |text| chunking.cut(text, tokenizer))
            })?
        } else {
            Vec::new()
        };
        Ok(Self { corpus, grown, tokenizer, chunking, seed, count, original, copied })
    }

    /// Chunk `n`, made from (seed, n) alone.
    pub fn chunk(&self, n: u64) -> Result<Chunk, RetrievalError> {
        let Place { copy, part } = self.place(n)?;
        let marked = self.grown.part(copy, part.document, part.bytes.clone());
        let (marked, tokens) = self.fitted(marked)?;
        let facts = marked.marks.into_iter().map(|mark| mark.fact).collect();
        Ok(Chunk { document: self.grown.name(copy, part.document), text: marked.text, tokens, facts })
    }

    /// Documents that the chunks come from, the last one perhaps in part.
    pub fn documents(&self) -> u64 {
        let Some(last) = self.count.checked_sub(1).and_then(|last| self.place(last).ok()) else { return 0 };
        let has_text = |parts: &[Part], before: usize| {
            let mut documents: Vec<usize> = parts.iter().map(|part| part.document).collect();
            documents.dedup();
            documents.into_iter().filter(|document| *document <= before).count() as u64
        };
        let all = usize::MAX;
        match last.copy {
            0 => has_text(&self.original, last.part.document),
            copy => {
                let whole = has_text(&self.original, all) + (copy - 1) * has_text(&self.copied, all);
                whole + has_text(&self.copied, last.part.document)
            }
        }
    }

    /// Ids of the facts that a chunk states.
    pub fn facts_of(&self, chunk: u64) -> Result<Vec<String>, RetrievalError> {
        Ok(self.chunk(chunk)?.facts)
    }

    /// Copies of the corpus that are in it whole.
    pub fn whole_copies(&self) -> u64 {
        let beyond = self.count.saturating_sub(self.original.len() as u64);
        beyond.checked_div(self.copied.len() as u64).unwrap_or(0)
    }

    fn place(&self, n: u64) -> Result<Place<'_>, RetrievalError> {
        if n >= self.count {
            return Err(no_such_chunk(n, self.count));
        }
        let originals = self.original.len() as u64;
        let place = match n.checked_sub(originals) {
            None => self.original.get(n as usize).map(|part| Place { copy: 0, part }),
            Some(beyond) => {
                let per_copy = self.copied.len() as u64;
                let at = beyond.checked_rem(per_copy).and_then(|at| self.copied.get(at as usize));
                at.map(|part| Place { copy: 1 + beyond / per_copy, part })
            }
        };
        place.ok_or_else(|| no_such_chunk(n, self.count))
    }

    /// Takes words from the end until the chunk is as short as it must be: names longer than any that were weighed
    /// could make it too long. Facts behind the cut are lost with them.
    fn fitted(&self, mut marked: Marked) -> Result<(Marked, u32), RetrievalError> {
        let text = marked.text.trim();
        let front = marked.text.len() - marked.text.trim_start().len();
        let mut length = text.len();
        let mut ids = self.tokenizer.encode(text).map_err(|e| unreadable(&e))?.len();
        while ids > self.chunking.tokens as usize && length > 0 {
            let shorter = text[..length].trim_end_matches(|c: char| !c.is_whitespace()).trim_end();
            length = if shorter.is_empty() { text.floor_char_boundary(length - 1) } else { shorter.len() };
            ids = self.tokenizer.encode(&text[..length]).map_err(|e| unreadable(&e))?.len();
        }
        let text = text[..length].to_owned();
        marked.marks.retain(|mark| mark.at <= front + length);
        Ok((Marked { text, marks: marked.marks }, ids as u32))
    }
}

impl ChunkSource for ChunkedCorpus<'_> {
    fn count(&self) -> u64 {
        self.count
    }

    fn text(&self, chunk: u64) -> Result<String, RetrievalError> {
        Ok(self.chunk(chunk)?.text)
    }

    /// Over the documents, the splitting, the tokenizer and the count; where there are copies, over seed and
    /// generator too. No chunk is made for it.
    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |field: &[u8]| {
            hash.update((field.len() as u64).to_le_bytes());
            hash.update(field);
        };
        for (at, document) in self.corpus.documents.iter().enumerate() {
            add(document.name.as_bytes());
            add(self.grown.source(at).text.as_bytes());
        }
        add(self.tokenizer.name().as_bytes());
        let Chunking { tokens, overlap } = self.chunking;
        let vocabulary = self.tokenizer.vocab_size() as u64;
        for number in [u64::from(tokens), u64::from(overlap), vocabulary, self.count] {
            add(&number.to_le_bytes());
        }
        if !self.copied.is_empty() {
            add(&self.seed.to_le_bytes());
            add(&GENERATOR_VERSION.to_le_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The parts of all documents, in their order; those without text are left out.
fn parts(
    grown: &Grown<'_>,
    cut: impl Fn(usize) -> Result<Vec<Range<usize>>, RetrievalError>,
) -> Result<Vec<Part>, RetrievalError> {
    let mut parts = Vec::new();
    for document in 0..grown.documents_per_copy() {
        let filled = cut(document)?.into_iter().filter(|bytes| !bytes.is_empty());
        parts.extend(filled.map(|bytes| Part { document, bytes }));
    }
    Ok(parts)
}

fn no_such_chunk(n: u64, count: u64) -> RetrievalError {
    RetrievalError::Text(format!("there is no chunk {n}: the corpus has {count}; build the index again"))
}

#[cfg(test)]
mod tests;
