//! A mixture of experts on a card: who goes where, and what comes of it, without the host.
//!
//! Comes in: a router's scores, rows of tokens, and a [`Table`] of the experts' matrices. Goes out: the weighted sum of
//! what the chosen experts made of each token. Not here: the product that scores, and a shared expert.

#[cfg(test)]
mod edge;
mod group;
mod many;
mod one;
mod route;
mod table;
#[cfg(test)]
mod tests;

pub use group::{Groups, group};
pub use many::mix_many;
pub use one::{mix_one, mix_one_rounded};
pub use route::{Routes, Scaling, route};
pub use table::{Expert, Table};
