//! The decoder: shapes, attention, cache.

pub mod shape;
