//! One timed stage.

use std::time::Duration;

use crate::clock::Clock;

/// Runs `work` between two clock reads and adds its milliseconds to `stage`, also where it fails.
pub fn timed<T, E>(
    clock: &dyn Clock,
    stage: &mut Option<f64>,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let before = clock.now();
    let result = work();
    let took = ms(clock.now() - before);
    *stage = Some(stage.unwrap_or(0.0) + took);
    result
}

/// In milliseconds.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
