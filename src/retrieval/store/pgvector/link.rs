//! One connection: made, given the extension, and its failures put into sentences.
//!
//! Not here: our tables ([`super::place`]).

use std::error::Error as _;

use postgres::error::SqlState;
use postgres::{Client, NoTls};

use super::address::PgAddress;
use crate::retrieval::RetrievalError;

/// First version of pgvector with HNSW.
const OLDEST: [u32; 2] = [0, 5];

/// A connection and the address it goes to, for messages.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) address: PgAddress,
    /// Version of pgvector, e.g. `0.6.2`.
    pub(super) extension: String,
}

impl Link {
    /// Connects; makes the extension where it is missing.
    pub(super) fn open(address: &PgAddress) -> Result<Self, RetrievalError> {
        let client = address.config().connect(NoTls).map_err(|e| unreachable(address, &e))?;
        let mut link = Self { client, address: address.clone(), extension: String::new() };
        let schema = match link.installed()? {
            Some(schema) => schema,
            None => link.install()?,
        };
        if !is_new_enough(&link.extension) {
            return Err(RetrievalError::Store(format!(
                "pgvector {} at {address} has no HNSW index; 0.5.0 or later is needed: install it on the server, \
                 then run ALTER EXTENSION vector UPDATE in the database",
                link.extension
            )));
        }
        // Types and operators of the extension are found whatever schema it was put into.
        let path = format!("SET search_path TO ctxbench, \"{}\"", schema.replace('"', "\"\""));
        link.run(&path, "setting the search path")?;
        Ok(link)
    }

    /// Runs statements that return nothing.
    pub(super) fn run(&mut self, sql: &str, doing: &str) -> Result<(), RetrievalError> {
        self.client.batch_execute(sql).map_err(|e| failure(&self.address, doing, &e))
    }

    /// What an error of this connection means.
    pub(super) fn failed(&self, doing: &str) -> impl Fn(postgres::Error) -> RetrievalError + use<> {
        let (address, doing) = (self.address.clone(), doing.to_owned());
        move |error| failure(&address, &doing, &error)
    }

    /// The extension's schema, its version noted; `None` where it is not there.
    fn installed(&mut self) -> Result<Option<String>, RetrievalError> {
        let query = "SELECT extversion, nspname::text FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace \
                     WHERE extname = 'vector'";
        let failed = self.failed("looking for the extension");
        let Some(row) = self.client.query_opt(query, &[]).map_err(failed)? else { return Ok(None) };
        self.extension = row.get(0);
        Ok(Some(row.get(1)))
    }

    fn install(&mut self) -> Result<String, RetrievalError> {
        let missing = |why: &str| {
            RetrievalError::Store(format!(
                "the database at {} has no pgvector, and it cannot be added here ({why}); install pgvector 0.5.0 or \
                 later on the server and have its administrator run CREATE EXTENSION vector in that database",
                self.address
            ))
        };
        let made = self.client.batch_execute("CREATE EXTENSION IF NOT EXISTS vector");
        if let Err(error) = made {
            return Err(match error.as_db_error() {
                Some(said) => missing(said.message()),
                None => failure(&self.address, "adding the extension", &error),
            });
        }
        let found = self.installed()?;
        found.ok_or_else(|| {
            RetrievalError::Store(format!(
                "the extension vector is not listed at {} after being made",
                self.address
            ))
        })
    }
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    [parts.next().unwrap_or(0), parts.next().unwrap_or(0)] >= OLDEST
}

/// Why no connection came about.
fn unreachable(address: &PgAddress, error: &postgres::Error) -> RetrievalError {
    let sentence = match error.as_db_error() {
        Some(said)
            if [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION]
                .contains(said.code()) =>
        {
            format!(
                "PostgreSQL at {address} does not accept this user or password; check the address given to --store"
            )
        }
        Some(said) => format!("PostgreSQL at {address} refused the connection: {}", said.message()),
        None => {
            let cause = error.source().map_or_else(|| "no reason is known".to_owned(), ToString::to_string);
            format!(
                "no connection to PostgreSQL at {address} ({cause}); see whether the server runs there and lets \
                 this machine in, and check the address given to --store"
            )
        }
    };
    RetrievalError::Store(sentence)
}

fn failure(address: &PgAddress, doing: &str, error: &postgres::Error) -> RetrievalError {
    let sentence = match error.as_db_error() {
        // Class 57P: an administrator, or the server itself, ended the connection.
        Some(said) if said.code().code().starts_with("57P") => lost(address, doing),
        Some(said) if *said.code() == SqlState::INSUFFICIENT_PRIVILEGE => format!(
            "{doing} was refused by PostgreSQL at {address}: {}; the user needs the right to create the schema \
             'ctxbench' in this database, or to use and create in it",
            said.message()
        ),
        Some(said) => format!("{doing} was refused by PostgreSQL at {address}: {}", said.message()),
        None if error.is_closed() || error.source().is_some_and(|cause| cause.is::<std::io::Error>()) => {
            lost(address, doing)
        }
        None => format!("{doing} failed at PostgreSQL at {address}: {error}"),
    };
    RetrievalError::Store(sentence)
}

fn lost(address: &PgAddress, doing: &str) -> String {
    format!(
        "the connection to PostgreSQL at {address} was lost while {doing}; see whether the server still runs, and \
         start again: rows that were stored are kept"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hnsw_came_with_pgvector_0_5() {
        for (version, enough) in
            [("0.4.4", false), ("0.5.0", true), ("0.6.2", true), ("0.10.0", true), ("1.0", true), ("", false)]
        {
            assert_eq!(is_new_enough(version), enough, "{version}");
        }
    }
}
