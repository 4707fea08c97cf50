//! Whether a number may be trusted.

pub mod validity;
