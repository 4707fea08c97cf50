//! Rows in by binary COPY, and the index over them.

use ::pgvector::Vector;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::error::SqlState;
use postgres::types::Type;

use super::Session;
use super::place::Place;
use crate::retrieval::{RetrievalError, Row};

/// What the server may use for building, in KiB: no less than its own default, no more than 2 GiB.
const MEMORY_KIB: std::ops::RangeInclusive<u64> = 65_536..=2_097_152;

/// Bytes of the graph per vector, beside the vector itself, rounded up.
const GRAPH_BYTES: u64 = 1000;

/// Processes that help with building, as far as the server has them.
const WORKERS: u32 = 4;

/// Adds rows behind those that are there: all of them, or none.
pub(super) fn add(session: &mut Session, place: &Place, rows: &[Row]) -> Result<(), RetrievalError> {
    for (row, expected) in rows.iter().zip(session.rows..) {
        if row.chunk != expected {
            return Err(RetrievalError::Store(format!(
                "chunk {} was added to {} where chunk {expected} comes next",
                row.chunk,
                place.table()
            )));
        }
        session.check_length(&row.vector)?;
    }
    let failed = session.link.failed("storing rows");
    copy(session, place, rows).map_err(failed)?;
    session.rows += rows.len() as u64;
    Ok(())
}

fn copy(session: &mut Session, place: &Place, rows: &[Row]) -> Result<(), postgres::Error> {
    let table = place.table();
    let mut transaction = session.link.client.transaction()?;
    let columns = transaction.prepare(&format!("SELECT chunk, text, embedding FROM {table}"))?;
    let types: Vec<Type> = columns.columns().iter().map(|column| column.type_().clone()).collect();
    let sink = transaction.copy_in(&format!("COPY {table} (chunk, text, embedding) FROM STDIN BINARY"))?;
    let mut writer = BinaryCopyInWriter::new(sink, &types);
    for row in rows {
        writer.write(&[&(row.chunk as i64), &row.text, &Vector::from(row.vector.clone())])?;
    }
    writer.finish()?;
    transaction.commit()
}

/// Builds the index and notes that the place is complete.
pub(super) fn finish(session: &mut Session, place: &Place) -> Result<(), RetrievalError> {
    if session.complete {
        return Ok(());
    }
    if session.rows != session.identity.chunks {
        return Err(RetrievalError::Store(format!(
            "{} at {} has {} of {} chunks, and cannot be finished",
            place.table(),
            session.link.address,
            session.rows,
            session.identity.chunks
        )));
    }
    let failed = session.link.failed("building the HNSW index");
    match build(session, place, WORKERS) {
        // Helpers share memory, of which containers are often given 64 MB; one process alone needs none.
        Err(error) if is_short_of_memory(&error) => build(session, place, 0),
        other => other,
    }
    .map_err(failed)?;
    session.link.run(&format!("ANALYZE {}", place.table()), "analysing our table")?;
    session.complete = true;
    Ok(())
}

fn build(session: &mut Session, place: &Place, workers: u32) -> Result<(), postgres::Error> {
    let (table, index) = (place.table(), place.index());
    let bytes = session.rows * (4 * session.identity.dimensions as u64 + GRAPH_BYTES);
    let memory = (bytes / 1024).clamp(*MEMORY_KIB.start(), *MEMORY_KIB.end());
    let mut transaction = session.link.client.transaction()?;
    transaction.batch_execute(&format!(
        "SET LOCAL maintenance_work_mem = '{memory}kB'; SET LOCAL max_parallel_maintenance_workers = {workers}; \
         SET LOCAL statement_timeout = 0; DROP INDEX IF EXISTS ctxbench.\"{index}\"; \
         CREATE INDEX \"{index}\" ON {table} USING hnsw (embedding vector_cosine_ops)"
    ))?;
    transaction.execute("UPDATE ctxbench.manifest SET complete = true WHERE place = $1", &[&place.name()])?;
    transaction.commit()
}

fn is_short_of_memory(error: &postgres::Error) -> bool {
    error.code().is_some_and(|code| [SqlState::DISK_FULL, SqlState::OUT_OF_MEMORY].contains(code))
}
