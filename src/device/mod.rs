//! Which device runs, and what it can do at most.
