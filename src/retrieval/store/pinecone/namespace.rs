//! Names of our namespaces, which of them are ours to drop, and how much of one can be taken up again.

use std::collections::BTreeMap;

use super::index::Index;
use crate::retrieval::{Identity, RetrievalError};

/// Hex digits of the digest in a name.
const DIGITS: usize = 16;

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

/// How many rows of ours can be kept. Rows are added in order, so that with `n` of them row `n - 1` is there and
/// row `n` is not. Where that does not hold, rows are missing, or are not counted yet: all are added again, which
/// writes over what is there.
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
    let there = index.which_of(namespace, &[last, rows])?;
    Ok(if there == [last] { rows } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

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
