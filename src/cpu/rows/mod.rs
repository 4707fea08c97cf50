//! Element-wise work and norms of rows, in place: the caller alone for a token or two, the pool for many.
//!
//! Each function takes the instruction set, so that tests reach all of them.

mod element_wise;
mod norm;

pub use element_wise::{add, gelu, scale_add, sigmoid_mul, silu_mul};
pub use norm::{add_norm, norm};

/// Numbers that one thread works through in some ten microseconds: fewer are not worth waking another for.
const PIECE: usize = 16 * 1024;
