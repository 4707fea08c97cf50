//! The CPU's own kernels: numbers in slices in, numbers in slices out. No tensors, no models, no clocks.
//!
//! `unsafe` lives in this room alone (and where a file is mapped): in [`pool`] and [`buffer`], which lend
//! memory to threads, and in the folders named after an instruction set. Each kernel has a plain twin and a
//! test that holds the two together. Which set runs is decided once, at run time, by [`isa`].

mod activations;
pub mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod block;
pub mod buffer;
pub mod delta;
pub mod isa;
pub mod lanes;
mod narrow;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
pub mod packed;
mod panel;
pub mod peak;
pub mod pool;
pub mod product;
pub mod rows;
pub mod small_product;
mod tile;
mod unpack;
