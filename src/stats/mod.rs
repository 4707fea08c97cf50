//! Intervals, fits and comparisons: pure functions of numbers. Cannot see an engine, a clock or a report.
//!
//! | file | question it answers |
//! |---|---|
//! | [`percentile`] | which value lies at p %, and may it be printed |
//! | [`percentile_interval`] | and how sure is it |
//! | [`estimate`] | the median of these values, and how sure is it |
//! | [`two_samples`], [`ratio`], [`compare`] | do two sets of values differ, and by what factor |
//! | [`proportion`] | what share of questions was answered, and do two shares differ |
//! | [`paired`] | how much do two arms differ over the same questions |
//! | [`outliers`], [`settled`] | does one value stand apart, has the series come to rest |
//! | [`router`], [`mix`], [`mix_ratio`] | how well were questions routed, and what does a share of routed ones take |
//! | [`fit`], [`least_squares`], [`resample`] | how does a time grow with context length |

pub mod compare;
pub mod estimate;
pub mod fit;
pub mod least_squares;
pub mod mix;
pub mod mix_ratio;
pub mod outliers;
pub mod paired;
pub mod percentile;
pub mod percentile_interval;
pub mod proportion;
pub mod ratio;
pub mod resample;
pub mod router;
pub mod settled;
pub mod two_samples;
