//! Many texts at once: the cost of new data.

use crate::clock::Clock;
use crate::retrieval::{Embedder, RetrievalError, TextRole};

/// Texts as vectors, and what that took.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// One per text, in their order.
    pub vectors: Vec<Vec<f32>>,
    /// Ids that went through the model, special ones included.
    pub tokens: u64,
    /// Milliseconds for tokens and vectors together.
    pub ms: f64,
}

/// Embeds all `texts`. An encoder packs them without padding and a decoder takes them one by one, so their order
/// and lengths cost nothing.
pub fn embed_texts(
    embedder: &mut dyn Embedder,
    texts: &[String],
    role: TextRole,
    clock: &dyn Clock,
) -> Result<Embedded, RetrievalError> {
    let start = clock.now();
    let ids = texts.iter().map(|text| embedder.tokenize(text, role)).collect::<Result<Vec<_>, _>>()?;
    let vectors = embedder.embed(&ids)?;
    let ms = (clock.now() - start).as_secs_f64() * 1e3;
    Ok(Embedded { vectors, tokens: ids.iter().map(|ids| ids.len() as u64).sum(), ms })
}
