//! A cross-encoder: question and passage are read together, and one number says how well they fit.
//!
//! Comes in: a folder or a hub repository of a BERT with one label, such as cross-encoder/ms-marco-MiniLM-L-6-v2.
//! Goes out: a [`Reranker`]. Its scores are the model's raw output; only their order means something.

use candle_core::{Device, Result as CandleResult, Tensor};

use super::embedder::encoder::{Encoder, Sequence};
use super::embedder::{BertConfig, EmbedderError, EncoderReader, MarkedTokenizer, Marks, ModelFolder};
use super::embedder::{failed, hub_folder, parts};
use super::{Reranker, RetrievalError};
use crate::catalog::reference::ModelRef;
use crate::catalog::stated::Stated;
use crate::hub::Hub;
use crate::model::linear::Linear;
use crate::weights::obtain::Listener;

/// A BERT that scores pairs.
pub struct CrossEncoder {
    id: String,
    tokenizer: MarkedTokenizer,
    encoder: Encoder,
    /// (hidden, hidden), tanh behind it.
    pooler: Linear,
    /// (1, hidden)
    classifier: Linear,
}

/// A question and a passage as the model reads them.
struct Pair {
    ids: Vec<u32>,
    types: Vec<u32>,
}

impl CrossEncoder {
    /// Brings and reads the model that `name` says: a folder, or `owner/name[@revision]`.
    pub fn obtain(
        name: &str,
        hub: &Hub,
        device: &Device,
        listener: &mut dyn Listener,
    ) -> Result<Self, EmbedderError> {
        let folder = match ModelRef::parse(name) {
            ModelRef::Folder(path) => ModelFolder::open(&path, &[])?,
            ModelRef::Repo(repo) => hub_folder(name, &repo, &Stated::default(), hub, listener)?,
            ModelRef::Catalog(_) => return Err(EmbedderError::NoRerankerId(name.into())),
            ModelRef::HubGguf { .. } | ModelRef::GgufFile(_) => return Err(EmbedderError::Gguf(name.into())),
        };
        Self::read(name, &folder, device)
    }

    fn read(id: &str, folder: &ModelFolder, device: &Device) -> Result<Self, EmbedderError> {
        let kind = folder.model_type()?;
        if kind != "bert" {
            let feature = format!("an architecture '{kind}' (rerankers are read of bert)");
            return Err(EmbedderError::Unsupported { path: folder.config(), feature });
        }
        let shape = BertConfig::shape(&folder.config())?;
        let tokenizer = MarkedTokenizer::read(
            &folder.tokenizer(),
            shape.vocab_size,
            shape.max_positions,
            Marks::Template,
        )?;
        let (mut source, hidden) = (folder.tensors()?, shape.hidden_size);
        let mut reader = EncoderReader { source: &mut source, shape: &shape, device };
        let classifier = reader.linear("classifier", 1, hidden)?;
        let pooler = reader.linear("bert.pooler.dense", hidden, hidden)?;
        Ok(Self { id: id.into(), tokenizer, encoder: reader.encoder()?, pooler, classifier })
    }

    fn pair(&self, question: &str, passage: &str) -> Result<Pair, RetrievalError> {
        let encoding = self.tokenizer.pair(question, passage)?;
        Ok(Pair { ids: encoding.get_ids().to_vec(), types: encoding.get_type_ids().to_vec() })
    }

    fn scores(&self, pairs: &[Pair]) -> CandleResult<Vec<f32>> {
        let sequences: Vec<Sequence<'_>> =
            pairs.iter().map(|pair| Sequence { ids: &pair.ids, types: &pair.types }).collect();
        let states = self.encoder.forward(&sequences)?;
        let firsts: Vec<u32> = states.spans.iter().map(|span| span.start as u32).collect();
        let firsts = states.rows.index_select(&Tensor::new(firsts, self.encoder.device())?, 0)?;
        let pooled = self.pooler.forward(&firsts)?.tanh()?;
        self.classifier.forward(&pooled)?.flatten_all()?.to_vec1()
    }
}

impl Reranker for CrossEncoder {
    fn id(&self) -> &str {
        &self.id
    }

    fn score(&mut self, question: &str, passages: &[String]) -> Result<Vec<f32>, RetrievalError> {
        let pairs = passages.iter().map(|passage| self.pair(question, passage));
        let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
        let mut scores = Vec::with_capacity(pairs.len());
        for part in parts(&pairs, |pair| pair.ids.len()) {
            scores.extend(self.scores(part).map_err(|e| failed(&self.id, &e))?);
        }
        match scores.iter().all(|score| score.is_finite()) {
            true => Ok(scores),
            false => Err(RetrievalError::Model(format!(
                "'{}' gave a score that is no number; its weights may be damaged: take them again",
                self.id
            ))),
        }
    }
}
