//! Whether a number may be trusted.
//!
//! [`validity`] is the stamp, [`reasons`] is every reason there is, [`judge`] decides which apply.

pub mod claims;
pub mod judge;
pub mod reasons;
pub mod validity;
