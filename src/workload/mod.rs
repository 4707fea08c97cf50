//! Requests of an exact length, each with its own prefix.
