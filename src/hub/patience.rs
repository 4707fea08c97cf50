//! How often and how long one thing is tried: the only place of this room that waits.

use std::time::Duration;

use super::{HubError, Limits};
use crate::clock::Clock;

/// The tries of one request or one file.
pub(super) struct Patience<'a> {
    limits: &'a Limits,
    clock: &'a dyn Clock,
    /// When something new came last.
    since: Duration,
    /// Failed tries since then.
    failures: u32,
    /// Those of them where nobody answered, or the answer was a refusal.
    refusals: u32,
}

/// What an error is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    /// Trying again cannot help.
    Nothing,
    /// It may pass, but mostly does not.
    FewTries,
    /// It mostly passes.
    AllTries,
}

/// Most tries where nobody answers.
const FEW: u32 = 3;

/// Limits of one request, made to fit into the time that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeouts {
    /// For the name, and again for the connection.
    pub(super) connect: Duration,
    /// For the response's head, and again for each read of its body.
    pub(super) stall: Duration,
}

impl<'a> Patience<'a> {
    pub(super) fn new(limits: &'a Limits, clock: &'a dyn Clock) -> Self {
        Self { limits, clock, since: clock.now(), failures: 0, refusals: 0 }
    }

    /// Something new came: the count starts again.
    pub(super) fn progressed(&mut self) {
        self.since = self.clock.now();
        (self.failures, self.refusals) = (0, 0);
    }

    /// Time left until this is given up, if nothing new comes.
    pub(super) fn left(&self) -> Duration {
        self.limits.no_progress.saturating_sub(self.clock.now().saturating_sub(self.since))
    }

    /// Limits of a request made now. Together they are no longer than what is left.
    pub(super) fn timeouts(&self) -> Timeouts {
        let Limits { connect, stall, .. } = *self.limits;
        let whole = (2 * connect + 2 * stall).as_secs_f64().max(1e-9);
        let scale = (self.left().as_secs_f64() / whole).min(1.0);
        let scaled = |limit: Duration| limit.mul_f64(scale).max(Duration::from_millis(1));
        Timeouts { connect: scaled(connect), stall: scaled(stall) }
    }

    /// Waits before another try, after telling `announce` how long; or gives the error back for good.
    pub(super) fn wait_after(
        &mut self,
        error: HubError,
        announce: &mut dyn FnMut(&HubError, Duration),
    ) -> Result<(), HubError> {
        self.failures += 1;
        self.refusals += u32::from(worth(&error) == Worth::FewTries);
        let few_used_up = worth(&error) == Worth::FewTries && self.refusals >= FEW;
        if worth(&error) == Worth::Nothing || few_used_up || self.failures >= self.limits.tries {
            return Err(error);
        }
        let wait = self.next_wait(&error);
        if matches!(error, HubError::RateLimited { .. }) && wait > self.limits.longest_wait {
            return Err(error);
        }
        // What is left after the wait must be enough for a try that could succeed.
        if wait + self.limits.stall / 2 >= self.left() {
            let waited = whole(self.clock.now().saturating_sub(self.since));
            return Err(HubError::NoProgress { waited, last: Box::new(error) });
        }
        announce(&error, wait);
        std::thread::sleep(wait);
        Ok(())
    }

    fn next_wait(&self, error: &HubError) -> Duration {
        match error {
            HubError::RateLimited { retry_after: Some(wait) } => *wait,
            _ => {
                let doubled =
                    self.limits.first_wait * 2u32.saturating_pow(self.failures.saturating_sub(1).min(16));
                doubled.min(self.limits.longest_wait)
            }
        }
    }
}

fn worth(error: &HubError) -> Worth {
    match error {
        HubError::Unreachable { .. } | HubError::StorageRefused { .. } => Worth::FewTries,
        HubError::Stalled { .. }
        | HubError::RateLimited { .. }
        | HubError::ServerFault { .. }
        | HubError::Truncated { .. } => Worth::AllTries,
        _ => Worth::Nothing,
    }
}

/// A time for messages: whole seconds from one second on.
pub(super) fn whole(time: Duration) -> Duration {
    match time.as_secs() {
        0 => Duration::from_millis(u64::from(time.subsec_millis())),
        seconds => Duration::from_secs(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn limits() -> Limits {
        Limits { first_wait: Duration::ZERO, ..Limits::default() }
    }

    fn fault() -> HubError {
        HubError::ServerFault { host: "h".into(), status: 503 }
    }

    #[test]
    fn tries_end_and_progress_renews_them() {
        let (limits, clock) = (limits(), ManualClock::default());
        let mut patience = Patience::new(&limits, &clock);
        for _ in 0..limits.tries - 1 {
            assert!(patience.wait_after(fault(), &mut |_, _| ()).is_ok());
        }
        patience.progressed();
        assert!(patience.wait_after(fault(), &mut |_, _| ()).is_ok());
        let unknown = HubError::RepoNotFound { repo: "o/n".into(), token_sent: false };
        let mut fresh = Patience::new(&limits, &clock);
        assert!(matches!(fresh.wait_after(unknown, &mut |_, _| ()), Err(HubError::RepoNotFound { .. })));
    }

    #[test]
    fn without_progress_it_ends_in_ninety_seconds_whatever_the_tries() {
        let (limits, clock) = (Limits { tries: 1000, ..limits() }, ManualClock::default());
        let mut patience = Patience::new(&limits, &clock);
        let error = loop {
            let Timeouts { connect, stall } = patience.timeouts();
            clock.advance(2 * connect + 2 * stall);
            match patience.wait_after(fault(), &mut |_, _| ()) {
                Ok(()) => continue,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, HubError::NoProgress { .. }), "{error}");
        assert!((80..=90).contains(&clock.now().as_secs()), "{:?}", clock.now());
    }

    #[test]
    fn stalls_do_not_use_up_the_tries_for_a_server_that_is_gone_for_a_moment() {
        let (limits, clock) = (limits(), ManualClock::default());
        let mut patience = Patience::new(&limits, &clock);
        let gone = || HubError::Unreachable { host: "h".into(), cause: "gone".into() };
        for error in [fault(), fault(), fault(), gone(), gone()] {
            assert!(patience.wait_after(error, &mut |_, _| ()).is_ok());
        }
        let mut fresh = Patience::new(&limits, &clock);
        let tries = (1..).find(|_| fresh.wait_after(gone(), &mut |_, _| ()).is_err());
        assert_eq!(tries, Some(FEW));
    }

    #[test]
    fn a_long_retry_after_is_not_waited_for_and_a_short_one_is() {
        let (limits, clock) = (limits(), ManualClock::default());
        let limited = |wait| HubError::RateLimited { retry_after: Some(wait) };
        let mut patience = Patience::new(&limits, &clock);
        assert!(patience.wait_after(limited(Duration::from_secs(3600)), &mut |_, _| ()).is_err());
        let mut told = None;
        let short = Duration::from_millis(1);
        patience.wait_after(limited(short), &mut |_, wait| told = Some(wait)).unwrap();
        assert_eq!(told, Some(short));
    }
}
