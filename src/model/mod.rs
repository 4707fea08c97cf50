//! The decoder: shapes, attention, cache. Comes in: tensors by name, ids. Goes out: logits.
//!
//! One decoder serves every architecture: [`decoder`] is a list of layers, each a mixer
//! ([`attention`] or [`delta_net`]) and a [`feed_forward`] (one [`swiglu`], or many as [`experts`]). What
//! differs between dense and quantized weights ends in [`linear`]. There is one RoPE ([`rope`]), one
//! RMSNorm ([`norm`]), one attention; a test counts them. Loops over raw numbers live in [`kernels`].

pub mod attention;
pub mod cache;
pub mod decoder;
pub mod delta_net;
pub mod delta_state;
pub mod experts;
pub mod feed_forward;
pub mod kernels;
pub mod linear;
pub mod norm;
pub mod position;
pub mod rope;
pub mod shape;
pub mod swiglu;
mod tiled;
