//! Which store a user names: `embedded`, `pgvector=URL` or `pinecone=INDEX`.
//!
//! Goes out: a choice that shows no password. Not here: any connection.

use std::fmt;

use super::pgvector::PgAddress;
use super::pinecone::IndexName;
use crate::retrieval::RetrievalError;

/// The store that was chosen.
#[derive(Clone, Debug)]
pub enum StoreChoice {
    /// In this process, files on this disk.
    Embedded,
    /// A PostgreSQL server with the extension pgvector.
    PgVector(PgAddress),
    /// An index at Pinecone, made by its user.
    Pinecone(IndexName),
}

impl StoreChoice {
    /// Reads what was typed. Errors say what may be typed, and repeat nothing that could hold a password.
    pub fn parse(text: &str) -> Result<Self, RetrievalError> {
        let (kind, value) = text.split_once('=').map_or((text, None), |(kind, value)| (kind, Some(value)));
        match (kind, value) {
            ("embedded", None) => Ok(Self::Embedded),
            ("embedded", Some(_)) => refused("the store 'embedded' takes no value; write --store embedded"),
            ("pgvector", None | Some("")) => refused(
                "the store 'pgvector' needs the address of a server; \
                 write --store pgvector=postgresql://USER:PASSWORD@HOST/DATABASE",
            ),
            ("pgvector", Some(url)) => PgAddress::parse(url).map(Self::PgVector),
            ("pinecone", None | Some("")) => {
                refused("the store 'pinecone' needs the name of an index; write --store pinecone=INDEX")
            }
            ("pinecone", Some(index)) => IndexName::parse(index).map(Self::Pinecone),
            // An address without its 'pgvector=' would be repeated here with its password.
            _ => refused("no such store; the stores are embedded, pgvector=URL and pinecone=INDEX"),
        }
    }
}

fn refused(sentence: &str) -> Result<StoreChoice, RetrievalError> {
    Err(RetrievalError::Store(sentence.into()))
}

/// As it was typed, but without user, password and options.
impl fmt::Display for StoreChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::PgVector(address) => write!(f, "pgvector={address}"),
            Self::Pinecone(index) => write!(f, "pinecone={index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_store_is_named_in_its_own_way() {
        let shown = |text: &str| StoreChoice::parse(text).unwrap().to_string();
        assert_eq!(shown("embedded"), "embedded");
        assert_eq!(shown("pgvector=postgres://u:secret@db:5433/kb"), "pgvector=db:5433/kb");
        assert_eq!(shown("pinecone=handbook-384"), "pinecone=handbook-384");
    }

    #[test]
    fn a_wrong_choice_is_told_what_to_write_and_repeats_no_password() {
        let wrong = [
            ("", "the stores are"),
            ("Embedded", "the stores are"),
            ("embedded=x", "takes no value"),
            ("pgvector", "pgvector=postgresql://"),
            ("pgvector=", "pgvector=postgresql://"),
            ("pgvector=db.example", "postgresql://"),
            ("postgres://u:secret@db/kb", "pgvector=URL"),
            ("postgres://u:secret@db/kb?sslmode=disable", "pgvector=URL"),
            ("pinecone", "pinecone=INDEX"),
            ("pinecone=", "pinecone=INDEX"),
            ("pinecone=../secret", "lower-case letters"),
        ];
        for (text, expected) in wrong {
            let error = StoreChoice::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let choice = StoreChoice::parse("pgvector=host=db password=secret dbname=kb").unwrap();
        assert!(!format!("{choice:?} {choice}").contains("secret"));
    }
}
