//! Where the texts of an index come from.

use crate::retrieval::RetrievalError;

/// Chunks by number. They may be made when they are asked for: an index asks for each text at most once in
/// a run, in rising order, and keeps none of them.
pub trait ChunkSource {
    /// How many chunks there are, numbered from 0.
    fn count(&self) -> u64;

    /// The text of one chunk; the same each time.
    fn text(&self, chunk: u64) -> Result<String, RetrievalError>;

    /// Hex digest over everything that the texts depend on: documents, splitting, seed.
    fn digest(&self) -> String;
}
