//! ctxbench: what context length costs on the box in front of you.
//!
//! The map. Data flows one way, and `tests/architecture.rs` holds it:
//!
//! ```text
//! catalog → hub → weights → model → engine → runner → sample → stats → verdict → report
//! ```
//!
//! | room | what happens there |
//! |---|---|
//! | [`cli`], [`config`] | what was typed, and what it means |
//! | [`commands`] | one file per command: wiring, no logic |
//! | [`clock`], [`units`], [`sample`], [`environment`] | vocabulary, below everything |
//! | [`catalog`] | the models ctxbench knows, as data |
//! | [`hub`] | files of a hub repository: found, fetched, checked, cached |
//! | [`weights`] | tensors by name, from safetensors, GGUF or a seed |
//! | [`cpu`] | the CPU's own kernels: thread pool, packed weights, products, attention |
//! | [`cuda`] | kernels for NVIDIA cards, and who launches them |
//! | [`model`] | the decoder: shapes, attention, cache |
//! | [`engine`] | a loaded model that can be asked for tokens |
//! | [`tokenizer`] | text to ids, chat templates |
//! | [`prompts`], [`workload`] | scenarios and corpus, and requests of an exact length |
//! | [`retrieval`] | documents to chunks to vectors, and the chunks nearest to a question |
//! | [`rag`] | the paired experiment: arms, stage ledger, hybrid |
//! | [`runner`] | warm-up, random blocks, budgets: samples come out |
//! | [`stats`] | intervals, fits, comparisons over numbers alone |
//! | [`verdict`] | whether a number may be trusted |
//! | [`report`] | the document, and every format it is shown in |
//! | [`device`] | selection of the device, and what it can do at most |

pub mod catalog;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod cpu;
pub mod cuda;
pub mod device;
pub mod engine;
pub mod environment;
pub mod hub;
pub mod model;
pub mod prompts;
pub mod rag;
pub mod report;
pub mod retrieval;
pub mod runner;
pub mod sample;
pub mod stats;
pub mod tokenizer;
pub mod units;
pub mod verdict;
pub mod weights;
pub mod workload;
