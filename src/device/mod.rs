//! Which device runs, what it is, and what it can do at most.
//!
//! Goes out: a candle device ([`select`]), the thread count ([`threads`]), readings of memory, of
//! other processes' work and of this one's age ([`memory`], [`interference`], [`process`]), a graphics card's own state ([`card`]), measured limits ([`roofline`]) and the record
//! of the box ([`environment`]). `cfg(feature = …)` stands in [`select`] and nowhere else.

pub mod accelerator;
pub mod card;
pub mod card_roofline;
pub mod environment;
pub mod interference;
pub mod kernel_files;
pub mod memory;
pub mod process;
pub mod roofline;
pub mod select;
pub mod threads;
