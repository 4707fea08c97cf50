//! Kernels in 512-bit vectors.

pub(super) mod peak;
