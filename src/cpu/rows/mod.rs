//! Element-wise work and norms of rows, in place: the caller alone for a token or two, the pool for many.
//!
//! Each function takes the instruction set, so that tests reach all of them.

mod element_wise;
mod norm;

pub use element_wise::{add, gelu, scale_add, sigmoid_mul, silu_mul};
pub use norm::{add_norm, norm};

/// Numbers of a piece: 3 to 6 microseconds of work with wide vectors. Fewer are not worth waking a thread for.
const PIECE: usize = 32 * 1024;
