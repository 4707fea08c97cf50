//! What makes two indexes the same: equal texts in equal order, through the same embedder.

use sha2::{Digest, Sha256};

use super::source::ChunkSource;
use crate::retrieval::{Embedder, Identity, perturb};

/// Changes whenever rows of the same chunks come out otherwise.
const FORMAT: &str = "ctxbench index 1";

/// The identity of an index over these chunks. The rule of perturbation and the seed count only where chunks
/// are perturbed; a corpus within the limit is the same index with or without one.
pub fn identity(
    source: &dyn ChunkSource,
    embedder: &dyn Embedder,
    perturb_beyond: Option<u64>,
    seed: u64,
) -> Identity {
    let (chunks, dimensions) = (source.count(), embedder.dimensions());
    let perturbation = match perturb_beyond {
        Some(beyond) if beyond < chunks => format!("beyond {beyond}: {}, seed {seed}", perturb::RULE),
        _ => "none".into(),
    };
    let parts = [
        FORMAT.into(),
        source.digest(),
        chunks.to_string(),
        embedder.id().into(),
        embedder.fingerprint().into(),
        dimensions.to_string(),
        perturbation,
    ];
    let mut hash = Sha256::new();
    for part in parts {
        // With its length before it, no part can end where another seems to begin.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Identity { digest, chunks, dimensions }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::fixture::{FakeEmbedder, Numbered};
    use super::*;

    #[test]
    fn everything_that_changes_a_row_changes_the_digest() {
        let embedder = FakeEmbedder::new(8);
        let of = |source: &Numbered, embedder: &FakeEmbedder, beyond, seed| {
            identity(source, embedder, beyond, seed).digest
        };
        let texts = Numbered::new(10);
        let all = [
            of(&texts, &embedder, None, 1),
            of(&texts, &embedder, Some(5), 1),
            of(&texts, &embedder, Some(5), 2),
            of(&texts, &embedder, Some(6), 1),
            of(&Numbered::new(11), &embedder, None, 1),
            of(&Numbered { of: "others", ..Numbered::new(10) }, &embedder, None, 1),
            of(&texts, &FakeEmbedder::new(9), None, 1),
            of(&texts, &FakeEmbedder { fingerprint: "trained on".into(), ..FakeEmbedder::new(8) }, None, 1),
        ];
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }

    #[test]
    fn without_perturbed_chunks_limit_and_seed_do_not_matter() {
        let (texts, embedder) = (Numbered::new(10), FakeEmbedder::new(8));
        let plain = identity(&texts, &embedder, None, 1);
        assert_eq!(plain, identity(&texts, &embedder, Some(10), 2));
    }
}
