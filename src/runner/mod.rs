//! Warm-up, random blocks, budgets: samples come out.
