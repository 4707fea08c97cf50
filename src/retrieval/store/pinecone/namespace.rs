//! Names of our namespaces, which of them are ours to drop, and how much of one can be taken up again.

use std::collections::{BTreeMap, BTreeSet};

use super::index::Index;
use crate::retrieval::{Identity, RetrievalError};

/// Hex digits of the digest in a name.
const DIGITS: usize = 16;

/// Rows, evenly spread, that are looked at before a namespace is taken up again.
const PROBES: u64 = 40;

/// What our namespaces are called up to the digest: `ctxbench-`, or `ctxbench-<name>-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place(String);

impl Default for Place {
    fn default() -> Self {
        Self("ctxbench-".into())
    }
}

impl Place {
    /// Errors if the name is not lower-case letters, digits and `_`, at most 40.
    pub(super) fn named(name: &str) -> Result<Self, RetrievalError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let fits = (1..=40).contains(&name.len()) && name.chars().all(plain);
        fits.then(|| Self(format!("ctxbench-{name}-"))).ok_or_else(|| {
            RetrievalError::Store(format!(
                "'{name}' cannot name a place at Pinecone; take lower-case letters, digits and '_', at most 40"
            ))
        })
    }

    /// The namespace of an index.
    pub(super) fn namespace(&self, identity: &Identity) -> Result<String, RetrievalError> {
        let digits = identity.digest.get(..DIGITS).filter(|digits| is_hex(digits));
        let short = || RetrievalError::Store(format!("'{}' is no digest of an index", identity.digest));
        digits.map(|digits| format!("{}{digits}", self.0)).ok_or_else(short)
    }

    /// Whether a namespace was made at this place.
    pub(super) fn has_made(&self, namespace: &str) -> bool {
        namespace.strip_prefix(&self.0).is_some_and(|rest| rest.len() == DIGITS && is_hex(rest))
    }
}

fn is_hex(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

/// How many rows of ours can be kept. Rows are added in order, so that with `n` of them each row below `n` is there
/// and no other. Where that does not hold for the rows looked at, rows are missing, or are not counted yet: all are
/// added again, which writes over what is there. A gap between the rows looked at stays unseen until it is fetched.
pub(super) fn usable_rows(
    index: &Index,
    namespace: &str,
    identity: &Identity,
    counts: &BTreeMap<String, u64>,
) -> Result<u64, RetrievalError> {
    let rows = counts.get(namespace).copied().unwrap_or(0);
    if rows > identity.chunks {
        return Err(RetrievalError::Store(format!(
            "the namespace {namespace} at Pinecone holds {rows} vectors, where ctxbench put {} at most; delete it, \
             and it is filled again",
            identity.chunks
        )));
    }
    let Some(last) = rows.checked_sub(1) else { return Ok(0) };
    let probes = probes(last, rows, identity.chunks);
    let there = index.which_of(namespace, &probes)?;
    let fits = there.iter().eq(probes.iter().filter(|chunk| **chunk < rows));
    Ok(if fits { rows } else { 0 })
}

/// The last row, the one behind it, and some of all; rising.
fn probes(last: u64, behind: u64, chunks: u64) -> Vec<u64> {
    let step = chunks.div_ceil(PROBES).max(1) as usize;
    let probes: BTreeSet<u64> = (0..chunks).step_by(step).chain([last, behind]).collect();
    probes.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_few_rows_are_looked_at_and_some_of_many() {
        assert_eq!(probes(2, 3, 5), [0, 1, 2, 3, 4]);
        assert_eq!(probes(4, 5, 5), [0, 1, 2, 3, 4, 5]);
        let many = probes(501, 502, 1000);
        assert!(many.len() == 42 && many.contains(&501) && many.contains(&502), "{many:?}");
    }

    #[test]
    fn only_names_that_we_give_are_ours() {
        let identity = Identity { digest: "0123456789abcdef0123".into(), chunks: 1, dimensions: 2 };
        let (plain, small) = (Place::default(), Place::named("small").unwrap());
        assert_eq!(plain.namespace(&identity).unwrap(), "ctxbench-0123456789abcdef");
        assert_eq!(small.namespace(&identity).unwrap(), "ctxbench-small-0123456789abcdef");
        assert!(
            plain.has_made("ctxbench-ffffffffffffffff") && small.has_made("ctxbench-small-ffffffffffffffff")
        );
        for foreign in [
            "",
            "prod",
            "ctxbench-",
            "ctxbench-notes",
            "ctxbench-small-ffffffffffffffff",
            "ctxbench-FFFFFFFFFFFFFFFF",
        ] {
            assert!(!plain.has_made(foreign), "{foreign}");
        }
        assert!(!small.has_made("ctxbench-ffffffffffffffff"));
        assert!(Place::named("a-b").is_err());
        let short = Identity { digest: "abc".into(), ..identity };
        assert!(plain.namespace(&short).is_err());
    }
}
