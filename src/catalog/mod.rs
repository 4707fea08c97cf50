//! The models ctxbench knows, as data.
