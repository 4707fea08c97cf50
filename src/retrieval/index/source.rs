//! Where the texts of an index come from.

use crate::retrieval::RetrievalError;

/// Chunks by number, made or read when they are asked for.
pub trait ChunkSource {
    /// How many there are.
    fn count(&self) -> u64;

    /// The text of one. Errors if there is none of that number.
    fn text(&self, chunk: u64) -> Result<String, RetrievalError>;

    /// Hex digest of what the texts follow from: two sources with the same digest have the same chunks.
    fn digest(&self) -> String;
}
