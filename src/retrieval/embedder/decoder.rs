//! A decoder of the Qwen family as an embedder: the state of the last token, without the head.

use candle_core::{Device, Result as CandleResult};

use super::bert::failed;
use super::error::EmbedderError;
use super::folder::ModelFolder;
use super::settings::Settings;
use super::tokens::{MarkedTokenizer, Marks};
use super::vector::unit;
use crate::catalog::embedder::Pooling;
use crate::engine::load::OpenModel;
use crate::model::cache::Cache;
use crate::model::decoder::Decoder;
use crate::model::rope::Rope;
use crate::retrieval::{Embedder, RetrievalError, TextRole};
use crate::weights::precision::Precision;

/// The first cache holds this many tokens; longer texts get a larger one.
const FIRST_CAPACITY: usize = 512;

/// Texts to vectors by a decoder, one text after the other.
pub struct DecoderEmbedder {
    id: String,
    fingerprint: String,
    settings: Settings,
    tokenizer: MarkedTokenizer,
    decoder: Decoder,
    rope: Rope,
    cache: Cache,
}

impl DecoderEmbedder {
    /// Reads the model of `folder`, in f32.
    pub(super) fn read(
        id: &str,
        folder: &ModelFolder,
        settings: Settings,
        fingerprint: String,
        device: &Device,
    ) -> Result<Self, EmbedderError> {
        if settings.pooling != Pooling::Last {
            let feature = format!("pooling '{}' of a decoder's states", settings.pooling.name());
            return Err(EmbedderError::Unsupported { path: folder.config(), feature });
        }
        let mut open = OpenModel::folder(&folder.path)?;
        // The head is never used, and published embedders leave it out whether or not it is tied.
        if let OpenModel::Folder { shape, .. } = &mut open {
            shape.tie_embeddings = true;
        }
        let shape = open.shape().clone();
        let longest = settings.max_tokens.min(shape.max_positions);
        let tokenizer = MarkedTokenizer::read(&folder.tokenizer(), shape.vocab_size, longest, Marks::End)?;
        let decoder = open.decoder(Precision::SMALL, device, &mut |_, _| {})?;
        let rope = Rope::new(longest, shape.rotary_dim(), shape.rope_theta, device)?;
        let cache = {
            let capacity = FIRST_CAPACITY.min(longest);
            Cache::new(&shape, capacity, decoder.dtype, decoder.kv_type(), device)?
        };
        Ok(Self { id: id.into(), fingerprint, settings, tokenizer, decoder, rope, cache })
    }

    fn vector(&mut self, ids: &[u32]) -> CandleResult<Vec<f32>> {
        if ids.len() > self.cache.capacity() {
            let (decoder, capacity) = (&self.decoder, ids.len().next_power_of_two());
            let (dtype, kv) = (decoder.dtype, decoder.kv_type());
            self.cache = Cache::new(&decoder.shape, capacity, dtype, kv, &decoder.device)?;
        }
        self.cache.reset()?;
        unit(self.decoder.last_state(ids, &self.rope, &mut self.cache)?.to_vec1()?)
    }
}

impl Embedder for DecoderEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn dimensions(&self) -> usize {
        self.decoder.shape.hidden_size
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
        let id = self.id.clone();
        batch.iter().map(|ids| self.vector(ids).map_err(|e| failed(&id, &e))).collect()
    }
}
