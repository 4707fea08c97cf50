//! Kernels in 256-bit vectors.

pub(super) mod peak;
