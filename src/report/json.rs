//! The document for programs: pretty, keys in the order of the structs, a newline at the end.
//!
//! Reading it back and writing it again gives the same bytes (serde_json's `float_roundtrip`).

use std::io::{self, Write};

use super::Exporter;
use super::document::Document;

/// Everything, for programs.
#[derive(Clone, Copy, Debug)]
pub struct Json;

impl Exporter for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn write(&self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, document)?;
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::fixture;

    fn finite() -> impl Strategy<Value = f64> {
        prop_oneof![any::<f64>().prop_filter("finite", |x| x.is_finite()), 0.0..1e9f64]
    }

    proptest! {
        #[test]
        fn a_document_read_and_written_again_has_the_same_bytes(
            numbers in prop::collection::vec(finite(), 1..20), name in ".*",
        ) {
            let mut document = fixture::document();
            document.cases[0].samples[0].token_ready_ms = numbers;
            document.environment.matmul_flops_per_s.insert(name.clone(), 1.0 / 3.0);
            document.definitions.insert(name, "anything".into());
            let first = fixture::render(&Json, &document);
            let again: Document = serde_json::from_str(&first).unwrap();
            prop_assert_eq!(&again, &document);
            prop_assert_eq!(fixture::render(&Json, &again), first);
        }
    }
}
