//! A card that is nowhere, put into a synthetic document: one of everything that such a run adds.

use ctxbench::environment::card::{CardIdentity, CardProcess, CardRecord, CardState, Throttle, Unread};
use ctxbench::report::document::{Document, LongestRecord};
use ctxbench::report::during::{CardDuring, Range};
use ctxbench::report::start_up::{ArmStartUp, StartUp};
use ctxbench::sample::energy::PhaseEnergy;
use ctxbench::sample::first_times::FirstTimes;
use ctxbench::sample::longest::{Attempt, StoppedBy};

/// Gives the run a card, its first case what was seen of it, its second one no energy, and the run a longest context and
/// what came before its first sample.
pub fn put_on_a_card(document: &mut Document) {
    let identity = identity();
    let before = state(320, 61.5);
    document.environment.card = Some(CardRecord {
        identity,
        after: Some(CardState { unread: Unread::new(), ..state(1755, 402.0) }),
        before,
    });
    let during = CardDuring {
        sm_clock_mhz: Some(Range { low: 1410.0, high: 1980.0 }),
        memory_clock_mhz: Some(Range { low: 2619.0, high: 2619.0 }),
        power_w: Some(Range { low: 310.0, high: 402.0 }),
        temperature_c: Some(Range { low: 41.0, high: 52.0 }),
        throttle_reasons: Some(vec![Throttle::PowerCap]),
        other_processes: Some(vec![CardProcess { pid: 4321, memory_bytes: Some(2 << 30) }]),
        prefill_energy: PhaseEnergy::of(600.0, 8000, 2.25),
        output_energy: PhaseEnergy::of(700.0, 350, 2.5),
    };
    document.cases[0].out_of_memory = true;
    document.cases[1].card = Some(CardDuring { prefill_energy: None, output_energy: None, ..during.clone() });
    document.cases[0].card = Some(during);
    document.start_up = Some(start_up(&document.cases[0].model));
    document.longest_contexts = vec![longest(&document.cases[0].model)];
}

fn identity() -> CardIdentity {
    CardIdentity {
        name: Some("Synthetic GPU".into()),
        uuid: Some("GPU-00000000".into()),
        driver_version: Some("000.00".into()),
        cuda_version: Some("13.0".into()),
        compute_capability: Some("9.0".into()),
        memory_total_bytes: Some(80 << 30),
        sm_clock_max_mhz: Some(1980),
        memory_clock_max_mhz: Some(2619),
        power_limit_w: None,
        unread: Unread::from([("power_limit_w".into(), "not supported".into())]),
    }
}

fn state(sm_clock_mhz: u32, power_w: f64) -> CardState {
    CardState {
        memory_used_bytes: Some(5 << 30),
        memory_free_bytes: Some(75 << 30),
        sm_clock_mhz: Some(sm_clock_mhz),
        memory_clock_mhz: Some(2619),
        throttle_reasons: Some(vec![Throttle::Idle]),
        power_w: Some(power_w),
        temperature_c: Some(35),
        energy_j: Some(123_456.5),
        processes: Some(vec![CardProcess { pid: 4321, memory_bytes: None }]),
        unread: Unread::from([("example".into(), "not supported".into())]),
    }
}

fn start_up(model: &str) -> StartUp {
    let times = FirstTimes {
        load_ms: 4321.0,
        first_prompt_ms: Some(98.7),
        first_step_ms: Some(21.5),
        capture_ms: Some(33.25),
    };
    let arm = ArmStartUp { model: model.into(), quantization: "q8_0".into(), times };
    StartUp { device_ms: 456.5, kernels_ms: Some(1234.0), arms: vec![arm] }
}

fn longest(model: &str) -> LongestRecord {
    let attempt = |tokens, error: Option<&str>| Attempt {
        tokens,
        memory_bytes: error.is_none().then_some(60 << 30),
        error: error.map(Into::into),
    };
    LongestRecord {
        model: model.into(),
        quantization: "q8_0".into(),
        device: "cuda:0".into(),
        tokens: Some(24_576),
        memory_bytes: Some(60 << 30),
        stopped_by: StoppedBy::OutOfMemory,
        attempts: vec![attempt(40_959, Some("CUDA_ERROR_OUT_OF_MEMORY")), attempt(24_576, None)],
    }
}
