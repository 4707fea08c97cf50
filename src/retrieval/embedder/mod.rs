//! Texts to vectors: encoders like MiniLM, decoders like Qwen3-Embedding, and a stand-in without weights.
//!
//! Comes in: a catalog id, a hub repository, a folder or `stand-in` ([`obtain()`]). Goes out: an
//! [`Embedder`](super::Embedder), and many texts at once as vectors with what they took ([`embed_texts`]).
//! Not here: stores, and what is done with a question ([`crate::rag`]).
//!
//! ```text
//! obtain → folder → settings, text (tokenizer) → bert | decoder      stand_in
//!                                                  └ encoder, which rerank shares
//! ```

mod bert;
mod config;
mod decoder;
pub mod encoder;
mod encoder_weights;
mod error;
mod folder;
mod obtain;
mod settings;
mod stand_in;
mod texts;
mod tokens;
mod vector;

pub use bert::BertEmbedder;
pub use decoder::DecoderEmbedder;
pub use error::EmbedderError;
pub use obtain::obtain;
pub use stand_in::{STAND_IN, StandInEmbedder};
pub use texts::{Embedded, embed_texts};

pub(super) use bert::{failed, parts};
pub(super) use config::BertConfig;
pub(super) use encoder_weights::EncoderReader;
pub(super) use folder::ModelFolder;
pub(super) use obtain::hub_folder;
pub(super) use tokens::{MarkedTokenizer, Marks};
