//! One row a sample, with the columns of its case; a case without samples has one row with its error.
//!
//! Full precision, no separators; an empty cell is a missing value. Columns are only ever added at the end.

use std::io::{self, Write};

use serde::Serialize;

use super::Exporter;
use super::document::{Case, Document};
use crate::sample::Sample;
use crate::verdict::validity::Status;

/// Comma-separated samples.
#[derive(Clone, Copy, Debug)]
pub struct Csv;

#[derive(Serialize)]
struct Row<'a> {
    case: &'a str,
    model: &'a str,
    quantization: &'a str,
    dtype: &'a str,
    device: &'a str,
    attention_path: &'a str,
    scenario: &'a str,
    context_tokens: u32,
    depth_tokens: Option<u32>,
    planned_output_tokens: u32,
    peak_memory_bytes: Option<u64>,
    validity: Status,
    case_error: Option<&'a str>,
    order: Option<u32>,
    prompt_tokens: Option<u32>,
    output_tokens: Option<usize>,
    tokenize_ms: Option<f64>,
    prefill_ms: Option<f64>,
    ttft_ms: Option<f64>,
    ttft_ids_ms: Option<f64>,
    tpot_ms: Option<f64>,
    e2e_ms: Option<f64>,
    decode_tokens_per_s: Option<f64>,
    prefill_tokens_per_s: Option<f64>,
    sample_error: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn new(case: &'a Case, sample: Option<&'a Sample>) -> Self {
        Self {
            case: &case.id,
            model: &case.model,
            quantization: &case.quantization,
            dtype: &case.dtype,
            device: &case.device,
            attention_path: &case.attention_path,
            scenario: &case.scenario,
            context_tokens: case.context_tokens,
            depth_tokens: case.depth_tokens,
            planned_output_tokens: case.output_tokens,
            peak_memory_bytes: case.peak_memory_bytes,
            validity: case.validity.status,
            case_error: case.error.as_deref(),
            order: sample.map(|s| s.order),
            prompt_tokens: sample.map(|s| s.prompt_tokens),
            output_tokens: sample.map(|s| s.token_ready_ms.len()),
            tokenize_ms: sample.and_then(|s| s.tokenize_ms),
            prefill_ms: sample.and_then(|s| s.prefill_ms),
            ttft_ms: sample.and_then(|s| s.ttft_ms),
            ttft_ids_ms: sample.and_then(Sample::ttft_ids_ms),
            tpot_ms: sample.and_then(Sample::tpot_ms),
            e2e_ms: sample.and_then(Sample::e2e_ms),
            decode_tokens_per_s: sample.and_then(Sample::decode_tokens_per_s),
            prefill_tokens_per_s: sample.and_then(Sample::prefill_tokens_per_s),
            sample_error: sample.and_then(|s| s.error.as_deref()),
        }
    }
}

impl Exporter for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn write(&self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        let rows = document.cases.iter().flat_map(|case| {
            let lone = case.samples.is_empty().then_some((case, None));
            lone.into_iter().chain(case.samples.iter().map(move |sample| (case, Some(sample))))
        });
        if rows.clone().any(|(_, sample)| sample.is_some_and(|s| s.stages_ms.is_some())) {
            return with_stages(rows, out);
        }
        let mut writer = csv::Writer::from_writer(out);
        for (case, sample) in rows {
            writer.serialize(Row::new(case, sample)).map_err(into_io)?;
        }
        writer.flush()
    }
}

/// What a sample of an experiment has beyond others, behind the columns of all.
const STAGE_COLUMNS: [&str; 13] = [
    "question_id",
    "routed",
    "rag_ttft_ms",
    "route_ms",
    "tokenize_query_ms",
    "embed_ms",
    "search_ms",
    "fetch_ms",
    "rerank_ms",
    "assemble_ms",
    "stage_tokenize_ms",
    "stage_prefill_ms",
    "first_token_ms",
];

fn with_stages<'a>(
    rows: impl Iterator<Item = (&'a Case, Option<&'a Sample>)>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(out);
    let mut header = None;
    for (case, sample) in rows {
        let row = Row::new(case, sample);
        if header.is_none() {
            let names: Vec<String> =
                names(&row)?.into_iter().chain(STAGE_COLUMNS.map(String::from)).collect();
            writer.write_record(header.insert(names)).map_err(into_io)?;
        }
        writer.serialize((row, stage_cells(sample))).map_err(into_io)?;
    }
    writer.flush()
}

/// Names of the fixed columns.
fn names(row: &Row) -> io::Result<Vec<String>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.serialize(row).map_err(into_io)?;
    let text = writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    let mut reader = csv::Reader::from_reader(text.as_slice());
    Ok(reader.headers().map_err(into_io)?.iter().map(String::from).collect())
}

/// In the order of [`STAGE_COLUMNS`].
fn stage_cells(sample: Option<&Sample>) -> Vec<Option<String>> {
    let number = |value: Option<f64>| value.map(|ms| ms.to_string());
    let stages = sample.and_then(|s| s.stages_ms).unwrap_or_default();
    let about = [
        sample.and_then(|s| s.question_id.clone()),
        sample.and_then(|s| s.routed).map(|routed| routed.to_string()),
        number(sample.and_then(|s| s.rag_ttft_ms)),
    ];
    about.into_iter().chain(stages.in_order().map(|(_, ms)| number(ms))).collect()
}

/// Keeps the system's own error, by which a closed pipe or a full disk is known.
fn into_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn every_sample_and_every_failed_case_has_a_row() {
        let document = fixture::document();
        let text = fixture::render(&Csv, &document);
        let rows: usize = document.cases.iter().map(|case| case.samples.len().max(1)).sum();
        assert_eq!(csv::Reader::from_reader(text.as_bytes()).records().count(), rows);
    }

    #[test]
    fn a_closed_pipe_is_known_as_one() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut document = fixture::document();
        document.cases = (0..100).flat_map(|_| document.cases.clone()).collect();
        let error = Csv.write(&document, &mut Closed).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn text_that_could_break_a_row_is_quoted() {
        let mut document = fixture::document();
        document.cases.truncate(1);
        document.cases[0].samples.clear();
        document.cases[0].error = Some("bad, \"file\"\nhere".into());
        let text = fixture::render(&Csv, &document);
        let record = csv::Reader::from_reader(text.as_bytes()).records().next().unwrap().unwrap();
        assert_eq!(record.get(12), Some("bad, \"file\"\nhere"));
        assert_eq!(record.get(18), Some(""), "no TTFT is an empty cell, never 0");
    }
}
