//! Our schema, and one table of it: made, taken up again, or left alone because it is not ours.
//!
//! `ctxbench.manifest` says what each table of ours is made of; a table that it does not name is foreign.

use postgres::Transaction;

use super::link::Link;
use crate::retrieval::{Identity, RetrievalError};

/// Most numbers in a vector of which pgvector makes an HNSW index.
const MOST_DIMENSIONS: usize = 2000;

/// Two runs must not write one table; a run that has just ended is waited for.
const LOCK: &str = "SET lock_timeout = '3s'; SELECT pg_advisory_lock(hashtext('ctxbench'), hashtext('PLACE')); SET lock_timeout = 0";

/// A table of ours, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place(String);

/// What was found at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Rows from the first on, without a gap.
    pub(super) rows: u64,
    /// Whether the index for search is there too.
    pub(super) complete: bool,
}

const NOTHING: Found = Found { rows: 0, complete: false };

/// The row of the manifest.
struct Recorded {
    identity: Identity,
    complete: bool,
}

impl Default for Place {
    fn default() -> Self {
        Self("chunks".into())
    }
}

impl Place {
    /// Errors if the name is not lower-case letters, digits and `_`, at most 40, or is the manifest's.
    pub(super) fn named(name: &str) -> Result<Self, RetrievalError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let fits = (1..=40).contains(&name.len()) && name.chars().all(plain) && name != "manifest";
        fits.then(|| Self(name.into())).ok_or_else(|| {
            RetrievalError::Store(format!(
                "'{name}' cannot name a table of the pgvector store; take lower-case letters, digits and '_', at \
                 most 40, and not 'manifest'"
            ))
        })
    }

    /// `ctxbench."chunks"`.
    pub(super) fn table(&self) -> String {
        format!("ctxbench.\"{}\"", self.0)
    }

    /// Name of the HNSW index, which lies in the table's schema.
    pub(super) fn index(&self) -> String {
        format!("{}_hnsw", self.0)
    }

    pub(super) fn name(&self) -> &str {
        &self.0
    }

    /// Takes up what is there of `identity`, or makes an empty table in place of another of ours.
    pub(super) fn claim(&self, link: &mut Link, identity: &Identity) -> Result<Found, RetrievalError> {
        if !(1..=MOST_DIMENSIONS).contains(&identity.dimensions) {
            return Err(RetrievalError::Store(format!(
                "pgvector builds no HNSW index over vectors of {} numbers; it takes 1 to {MOST_DIMENSIONS}: choose \
                 another embedder or --store embedded",
                identity.dimensions
            )));
        }
        make_schema(link)?;
        self.lock(link)?;
        let recorded = self.recorded(link)?;
        let column = self.column(link)?;
        match (recorded, column) {
            (None, Some(column)) => Err(self.foreign(link, column, identity)),
            (Some(recorded), Some(column)) if recorded.identity == *identity => {
                self.check(link, column, identity)?;
                self.take_up(link, identity, recorded.complete)
            }
            _ => self.begin(link, identity).map(|()| NOTHING),
        }
    }

    fn lock(&self, link: &mut Link) -> Result<(), RetrievalError> {
        let locked = link.client.batch_execute(&LOCK.replace("PLACE", &self.0));
        locked.map_err(|error| match error.code() {
            Some(code) if *code == postgres::error::SqlState::LOCK_NOT_AVAILABLE => {
                RetrievalError::Store(format!(
                    "another run of ctxbench uses {} at {}; wait until it has ended",
                    self.table(),
                    link.address
                ))
            }
            _ => link.failed("taking the lock of our table")(error),
        })
    }

    fn recorded(&self, link: &mut Link) -> Result<Option<Recorded>, RetrievalError> {
        let failed = link.failed("reading ctxbench.manifest");
        let query = "SELECT digest, chunks, dimensions, complete FROM ctxbench.manifest WHERE place = $1";
        let row = link.client.query_opt(query, &[&self.0]).map_err(&failed)?;
        let Some(row) = row else { return Ok(None) };
        let identity = Identity {
            digest: row.try_get(0).map_err(&failed)?,
            chunks: row.try_get::<_, i64>(1).map_err(&failed)?.unsigned_abs(),
            dimensions: row.try_get::<_, i32>(2).map_err(&failed)?.unsigned_abs() as usize,
        };
        Ok(Some(Recorded { identity, complete: row.try_get(3).map_err(&failed)? }))
    }

    /// Type of the column `embedding`, e.g. `vector(384)`, empty if there is none; `None` without a table.
    fn column(&self, link: &mut Link) -> Result<Option<String>, RetrievalError> {
        let failed = link.failed("looking at our table");
        let query = "SELECT coalesce((SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = c.oid \
                     AND attname = 'embedding' AND NOT attisdropped), '') FROM pg_class c \
                     WHERE relnamespace = 'ctxbench'::regnamespace AND relname = $1";
        let row = link.client.query_opt(query, &[&self.0]).map_err(failed)?;
        Ok(row.map(|row| row.get(0)))
    }

    /// A table that the manifest does not name.
    fn foreign(&self, link: &Link, column: String, identity: &Identity) -> RetrievalError {
        let (table, wanted) = (self.table(), identity.dimensions);
        let holds = match column.as_str() {
            "" => "it has no column 'embedding'".into(),
            column => format!("its column 'embedding' is a {column}, where vector({wanted}) is needed"),
        };
        RetrievalError::Store(format!(
            "{table} at {} was not made by ctxbench ({holds}), and is left as it is; rename or drop it, or name \
             another database",
            link.address
        ))
    }

    /// A table of ours that was changed behind our back is not taken up.
    fn check(&self, link: &Link, column: String, identity: &Identity) -> Result<(), RetrievalError> {
        let last = column.rsplit('.').next().unwrap_or_default();
        if last == format!("vector({})", identity.dimensions) {
            return Ok(());
        }
        Err(RetrievalError::Store(format!(
            "the column 'embedding' of {} at {} is '{column}', where ctxbench made a vector({}); somebody changed \
             it: drop the table, and it is built again",
            self.table(),
            link.address,
            identity.dimensions
        )))
    }

    /// Rows with a gap among them were changed by somebody: they are dropped.
    fn take_up(&self, link: &mut Link, identity: &Identity, complete: bool) -> Result<Found, RetrievalError> {
        let failed = link.failed("counting our rows");
        let query = format!(
            "SELECT count(*), coalesce(max(chunk), -1), to_regclass($1) IS NOT NULL FROM {}",
            self.table()
        );
        let index = format!("ctxbench.\"{}\"", self.index());
        let row = link.client.query_one(&query, &[&index]).map_err(failed)?;
        let (rows, last): (i64, i64) = (row.get(0), row.get(1));
        let rows = rows.unsigned_abs();
        if last + 1 != row.get::<_, i64>(0) || rows > identity.chunks {
            self.begin(link, identity)?;
            return Ok(NOTHING);
        }
        Ok(Found { rows, complete: complete && rows == identity.chunks && row.get(2) })
    }

    /// An empty table in place of what we had here.
    fn begin(&self, link: &mut Link, identity: &Identity) -> Result<(), RetrievalError> {
        let failed = link.failed("making our table");
        let mut transaction = link.client.transaction().map_err(&failed)?;
        let table = self.table();
        let make = format!(
            "DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (chunk bigint PRIMARY KEY, text text NOT NULL, \
             embedding vector({}) NOT NULL)",
            identity.dimensions
        );
        transaction.batch_execute(&make).map_err(&failed)?;
        self.record(&mut transaction, identity).map_err(&failed)?;
        transaction.commit().map_err(&failed)
    }

    fn record(&self, transaction: &mut Transaction<'_>, identity: &Identity) -> Result<u64, postgres::Error> {
        let sql = "INSERT INTO ctxbench.manifest (place, digest, chunks, dimensions, complete) \
                   VALUES ($1, $2, $3, $4, false) ON CONFLICT (place) DO UPDATE SET \
                   digest = $2, chunks = $3, dimensions = $4, complete = false";
        let (chunks, dimensions) = (identity.chunks as i64, identity.dimensions as i32);
        transaction.execute(sql, &[&self.0, &identity.digest, &chunks, &dimensions])
    }
}

/// `IF NOT EXISTS` alone would ask for the right to make what is there already.
fn make_schema(link: &mut Link) -> Result<(), RetrievalError> {
    let failed = link.failed("looking for the schema 'ctxbench'");
    let there = "SELECT to_regclass('ctxbench.manifest') IS NOT NULL";
    if link.client.query_one(there, &[]).map_err(failed)?.get(0) {
        return Ok(());
    }
    let failed = link.failed("looking for the schema 'ctxbench'");
    let there = "SELECT to_regnamespace('ctxbench') IS NOT NULL";
    if !link.client.query_one(there, &[]).map_err(failed)?.get::<_, bool>(0) {
        link.run("CREATE SCHEMA IF NOT EXISTS ctxbench", "making the schema 'ctxbench'")?;
    }
    let manifest = "CREATE TABLE IF NOT EXISTS ctxbench.manifest (place text PRIMARY KEY, digest text NOT NULL, \
                    chunks bigint NOT NULL, dimensions int NOT NULL, complete boolean NOT NULL)";
    link.run(manifest, "making ctxbench.manifest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_plain_name() {
        assert_eq!(Place::named("chunks").unwrap().table(), "ctxbench.\"chunks\"");
        for name in ["", "manifest", "Chunks", "a b", "a\"; DROP TABLE x", &"x".repeat(41)] {
            assert!(Place::named(name).unwrap_err().to_string().contains("lower-case"), "{name}");
        }
    }
}
