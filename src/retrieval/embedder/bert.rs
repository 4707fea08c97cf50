//! An encoder as an embedder: MiniLM, bge.

use candle_core::{Device, Result as CandleResult, Tensor};

use super::config::BertConfig;
use super::encoder::{Encoder, Sequence};
use super::encoder_weights::EncoderReader;
use super::error::EmbedderError;
use super::folder::ModelFolder;
use super::settings::Settings;
use super::tokens::{MarkedTokenizer, Marks};
use super::vector::{pooled, unit};
use crate::retrieval::{Embedder, RetrievalError, TextRole};

/// Tokens that go through the encoder together: enough rows to keep all cores busy, and activations of a few
/// tens of MiB.
pub(crate) const TOKENS_AT_ONCE: usize = 4096;

/// Texts to vectors by a BERT encoder.
pub struct BertEmbedder {
    id: String,
    fingerprint: String,
    settings: Settings,
    tokenizer: MarkedTokenizer,
    encoder: Encoder,
    dimensions: usize,
}

impl BertEmbedder {
    /// Reads the model of `folder`; longest texts are those that both `settings` and its positions allow.
    pub(super) fn read(
        id: &str,
        folder: &ModelFolder,
        settings: Settings,
        fingerprint: String,
        device: &Device,
    ) -> Result<Self, EmbedderError> {
        let shape = BertConfig::shape(&folder.config())?;
        let longest = settings.max_tokens.min(shape.max_positions);
        let tokenizer =
            MarkedTokenizer::read(&folder.tokenizer(), shape.vocab_size, longest, Marks::Template)?;
        let mut source = folder.tensors()?;
        let encoder = EncoderReader { source: &mut source, shape: &shape, device }.encoder()?;
        let dimensions = shape.hidden_size;
        Ok(Self { id: id.into(), fingerprint, settings, tokenizer, encoder, dimensions })
    }

    fn vectors(&self, batch: &[Vec<u32>]) -> CandleResult<Vec<Vec<f32>>> {
        let texts: Vec<Sequence<'_>> = batch.iter().map(|ids| Sequence { ids, types: &[] }).collect();
        let states = self.encoder.forward(&texts)?;
        let pool = |span: &std::ops::Range<usize>| {
            pooled(&states.rows.narrow(0, span.start, span.len())?, self.settings.pooling)
        };
        let vectors = states.spans.iter().map(pool).collect::<CandleResult<Vec<_>>>()?;
        Tensor::stack(&vectors, 0)?.to_vec2::<f32>()?.into_iter().map(unit).collect()
    }
}

impl Embedder for BertEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn is_stand_in(&self) -> bool {
        false
    }

    fn tokenize(&self, text: &str, role: TextRole) -> Result<Vec<u32>, RetrievalError> {
        match role {
            TextRole::Query => self.tokenizer.ids(&self.settings.instructed(text)),
            TextRole::Document => self.tokenizer.ids(text),
        }
    }

    fn embed(&mut self, batch: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, RetrievalError> {
        let mut vectors = Vec::with_capacity(batch.len());
        for part in parts(batch, Vec::len) {
            vectors.extend(self.vectors(part).map_err(|e| failed(&self.id, &e))?);
        }
        Ok(vectors)
    }
}

/// What went wrong while a model ran, in a sentence.
pub(crate) fn failed(id: &str, error: &candle_core::Error) -> RetrievalError {
    let text = error.to_string();
    let cause = text.lines().next().unwrap_or_default().trim();
    RetrievalError::Model(format!("'{id}' failed: {cause}; try --device cpu, or name another model"))
}

/// `batch` cut into runs of at most [`TOKENS_AT_ONCE`] tokens, or of one text that is longer.
pub(crate) fn parts<T>(batch: &[T], tokens: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut parts = Vec::new();
    let (mut start, mut held) = (0, 0);
    for (index, text) in batch.iter().enumerate() {
        if index > start && held + tokens(text) > TOKENS_AT_ONCE {
            parts.push(&batch[start..index]);
            (start, held) = (index, 0);
        }
        held += tokens(text);
    }
    if start < batch.len() {
        parts.push(&batch[start..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_every_text_once_and_not_too_many_tokens() {
        let lengths = [10, 4096, 1, 4000, 95, 5000, 3];
        let found: Vec<&[usize]> = parts(&lengths, |length| *length);
        let expected: Vec<&[usize]> = vec![&[10], &[4096], &[1, 4000, 95], &[5000], &[3]];
        assert_eq!(found, expected);
        assert!(parts(&[0usize; 0], |length| *length).is_empty());
    }
}
