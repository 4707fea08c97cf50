//! `ctxbench bench --start`: from the start of the process to its first token, stage by stage.
//!
//! Comes in: a model and the length of a prompt. Goes out: one JSON object with `stages_ms` and their sum. The stages
//! lie one behind the other without a gap; a device is idle at the end of each. What the process took before its own code
//! ran (the loader and its libraries) is the kernel's to tell, in hundredths of a second, and is known to 10 ms.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::{ids, open, origin, precision};
use crate::cli::BenchArgs;
use crate::clock::{Clock, SystemClock};
use crate::device::kernel_files::KernelFiles;
use crate::device::{process, select, threads};
use crate::engine::Engine as _;
use crate::engine::candle::CandleEngine;

/// Where the time went, in milliseconds; `None` where it is not known, or there is no such stage.
#[derive(Debug, Serialize)]
struct Stages {
    /// Until the command began: the loader, libraries, arguments.
    process: Option<f64>,
    /// Opening the device.
    device: f64,
    /// Loading our kernels, which the driver compiles unless it remembers them; on a card only.
    kernels: Option<f64>,
    /// Making or reading the weights, and moving them to the device.
    weights: f64,
    /// The cache and the buffers of a step.
    cache: f64,
    /// The prompt, and what libraries load or choose with the first one.
    prompt: f64,
    /// The first token, to the host.
    token: f64,
}

impl Stages {
    /// From the start of the process; `None` where that is not known.
    fn first_token_ms(&self) -> Option<f64> {
        let own = self.device + self.weights + self.cache + self.prompt + self.token;
        Some(self.process? + own + self.kernels.unwrap_or(0.0))
    }
}

/// Times from one call to the next.
struct Laps<'a> {
    clock: &'a dyn Clock,
    last: Duration,
}

impl Laps<'_> {
    fn next_ms(&mut self) -> f64 {
        let now = self.clock.now();
        let lap = now - self.last;
        self.last = now;
        ms(lap)
    }
}

/// Runs the command.
pub(super) fn run(args: &BenchArgs, tokens: u32) -> anyhow::Result<ExitCode> {
    let age = process::age(&KernelFiles::default());
    let clock = SystemClock::default();
    let mut laps = Laps { clock: &clock, last: clock.now() };

    threads::settle(args.threads)?;
    let opened = select::open_timed(args.device.parse()?, &clock)?;
    let (opening, kernels) = (laps.next_ms(), opened.kernels_took.map(ms));

    let mut model = open(args)?;
    let decoder = model.decoder(precision(args), &opened.device, &mut |_, _| {})?;
    opened.device.synchronize()?;
    let weights = laps.next_ms();

    let vocabulary = decoder.shape.vocab_size as u32;
    let mut engine = CandleEngine::new(decoder, tokens as usize + 1)?;
    opened.device.synchronize()?;
    let cache = laps.next_ms();

    engine.prefill(&ids(tokens, vocabulary))?;
    let prompt = laps.next_ms();
    let id = engine.sample()?;
    let token = laps.next_ms();

    let device = opening - kernels.unwrap_or(0.0);
    let stages = Stages { process: age.map(ms), device, kernels, weights, cache, prompt, token };
    anyhow::ensure!(
        engine.output_is_finite()?,
        "the logits of the first token are not all finite, so the times mean nothing; \
         `ctxbench verify` says what is wrong on this device"
    );
    let said = serde_json::json!({
        "model": args.model,
        "weights": origin(args),
        "device": args.device,
        "dtype": format!("{:?}", args.dtype).to_lowercase(),
        "attention_path": engine.attention_path(),
        "prompt_tokens": tokens,
        "first_token": id,
        "first_token_ms": stages.first_token_ms(),
        "stages_ms": stages,
    });
    writeln!(io::stdout(), "{said}")?;
    Ok(ExitCode::SUCCESS)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn laps_follow_one_another_without_a_gap() {
        let clock = ManualClock::default();
        clock.advance(Duration::from_millis(5));
        let mut laps = Laps { clock: &clock, last: clock.now() };
        clock.advance(Duration::from_millis(7));
        assert_eq!(laps.next_ms(), 7.0);
        assert_eq!(laps.next_ms(), 0.0);
        clock.advance(Duration::from_millis(11));
        assert_eq!(laps.next_ms(), 11.0);
    }

    #[test]
    fn a_start_is_the_sum_of_its_stages_and_unknown_where_its_beginning_is() {
        let stages = |process, kernels| Stages {
            process,
            device: 2.0,
            kernels,
            weights: 4.0,
            cache: 8.0,
            prompt: 16.0,
            token: 32.0,
        };
        assert_eq!(stages(Some(1.0), Some(64.0)).first_token_ms(), Some(127.0));
        assert_eq!(stages(Some(1.0), None).first_token_ms(), Some(63.0));
        assert_eq!(stages(None, Some(64.0)).first_token_ms(), None);
    }
}
