//! Everything `ctxbench doctor` found: what `--format json` prints, and what the text is made from.

use serde::Serialize;

use super::advice::{self, Remedy};
use super::hub_status::HubStatus;
use crate::catalog::entry::Entry;
use crate::catalog::memory::{Layout, decode_read_bytes, needed_bytes};
use crate::cli::Quantization;
use crate::device::accelerator;
use crate::device::card;
use crate::device::interference::frequency_mhz;
use crate::device::kernel_files::KernelFiles;
use crate::device::memory::Memory;
use crate::device::roofline::Roofline;
use crate::environment::card::{CardIdentity, CardState};
use crate::environment::{Environment, Tool};
use crate::report::roof::{self, Roof};
use crate::report::theory::Counts;

/// Prompt whose prefill floor is told, in tokens.
const PROMPT_TOKENS: u32 = 2048;

/// The box before anything was measured on it: measuring raises the load.
pub(super) struct Box {
    environment: Environment,
    memory: Memory,
    clock_mhz: Option<f64>,
    cards: Cards,
}

impl Box {
    /// Reads everything.
    pub fn now(threads: u32) -> Self {
        Self {
            environment: Environment::detect(threads),
            memory: Memory::now(),
            clock_mhz: frequency_mhz(&KernelFiles::default()),
            cards: Cards::now(),
        }
    }
}

/// What the driver of NVIDIA's cards says.
#[derive(Clone, Debug, Default)]
pub(super) struct Cards {
    listed: Vec<CardStatus>,
    /// Why it says nothing.
    unread: Option<String>,
}

impl Cards {
    fn now() -> Self {
        match card::all() {
            Ok(cards) => {
                let status = |card: std::boxed::Box<dyn card::Card>| CardStatus {
                    identity: card.identity(),
                    state: card.state(),
                };
                Self { listed: cards.into_iter().map(status).collect(), unread: None }
            }
            Err(error) => Self { listed: Vec::new(), unread: Some(error.to_string()) },
        }
    }
}

/// A card, before anything was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct CardStatus {
    pub identity: CardIdentity,
    pub state: CardState,
}

/// What was measured, and how undisturbed.
pub(super) struct Measurements {
    pub roofline: Roofline,
    /// Share of all processors' time, 0 to 1, that other processes used meanwhile.
    pub used_by_others: Option<f64>,
}

/// An accelerator, and whether this build can use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct AcceleratorStatus {
    pub name: String,
    pub compiled_in: bool,
    pub feature: Option<&'static str>,
}

/// What the measured rates mean for one model: no run can be faster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Implied {
    pub model: String,
    pub quantization: &'static str,
    /// Bytes that a decode step with an empty cache reads.
    pub decode_read_bytes: u64,
    /// That over the measured bandwidth.
    pub tpot_floor_ms: Option<f64>,
    /// 1000 / `tpot_floor_ms`.
    pub decode_tokens_per_s_ceiling: Option<f64>,
    pub prompt_tokens: u32,
    /// The shortest prefill of that prompt, each part of its FLOPs at the measured peak of its type.
    pub prefill_floor_ms: Option<f64>,
    /// Peak memory with a cache of `prompt_tokens`.
    pub needed_bytes: u64,
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Checkup {
    pub tool: Tool,
    pub environment: Environment,
    pub available_bytes: Option<u64>,
    pub swap_total_bytes: Option<u64>,
    pub clock_mhz: Option<f64>,
    pub accelerators: Vec<AcceleratorStatus>,
    /// NVIDIA's cards, as their driver tells them.
    pub cards: Vec<CardStatus>,
    /// Why the driver told nothing.
    pub cards_unread: Option<String>,
    /// Share of all processors' time, 0 to 1, that other processes used while rates were measured.
    pub used_by_others: Option<f64>,
    pub hub: HubStatus,
    pub implied: Option<Implied>,
    pub remedies: Vec<Remedy>,
}

impl Checkup {
    /// Puts the parts together; `model` is what the rates are applied to.
    pub fn new(found: Box, measured: &Measurements, hub: HubStatus, model: Option<&Entry>) -> Self {
        let mut environment = found.environment;
        measured.roofline.fill(&mut environment);
        let mut checkup = Self {
            tool: Tool::this_build(),
            implied: model.map(|entry| Implied::new(entry, &environment)),
            environment,
            available_bytes: found.memory.available_bytes,
            swap_total_bytes: found.memory.swap_total_bytes,
            clock_mhz: found.clock_mhz,
            accelerators: accelerators(&found.cards.listed),
            cards: found.cards.listed,
            cards_unread: found.cards.unread,
            used_by_others: measured.used_by_others,
            hub,
            remedies: Vec::new(),
        };
        checkup.remedies = advice::remedies(&checkup);
        checkup
    }
}

impl Implied {
    fn new(entry: &Entry, environment: &Environment) -> Self {
        let layout = Layout::half(Quantization::Q8_0);
        let read = decode_read_bytes(&entry.shape, layout, 0);
        let counts = Counts {
            shape: &entry.shape,
            decode_weight_bytes: Some(read - 2 * entry.shape.constant_state_bytes()),
            kv_bytes_per_token: entry.shape.kv_bytes_per_token(layout.kv_bytes_per_value),
        };
        let quantization = layout.quantization.name();
        let roof = Roof::of(&counts, roof::operand(&quantization, ""), environment);
        let tpot = roof.decode_ms.map(|roof| roof.at(0.0));
        Self {
            model: entry.id.clone(),
            quantization: "q8_0",
            decode_read_bytes: read,
            tpot_floor_ms: tpot,
            decode_tokens_per_s_ceiling: tpot.map(|ms| 1000.0 / ms),
            prompt_tokens: PROMPT_TOKENS,
            prefill_floor_ms: roof.prefill_ms.map(|roof| roof.at(f64::from(PROMPT_TOKENS))),
            needed_bytes: needed_bytes(&entry.shape, layout, PROMPT_TOKENS.into()).peak(),
        }
    }
}

fn accelerators(cards: &[CardStatus]) -> Vec<AcceleratorStatus> {
    let names = cards.iter().filter_map(|card| card.identity.name.clone()).collect();
    let found = accelerator::with_cards(accelerator::found(&KernelFiles::default()), names).into_iter();
    let status = |a: accelerator::Accelerator| AcceleratorStatus {
        compiled_in: a.is_compiled_in(),
        name: a.name,
        feature: a.feature,
    };
    found.map(status).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::device::roofline::Measured;

    /// A box on which nothing is missing, with 100 GB/s and 1 TFLOP/s.
    pub(in crate::commands::doctor) fn healthy() -> Checkup {
        let rate = |per_s| Measured { per_s, passes: 3, what: "test".into() };
        let matmul = [("int8", 1e12), ("f32", 2.5e11)].map(|(name, per_s)| (name.to_owned(), rate(per_s)));
        let (bandwidth, matmul) = (Some(rate(1e11)), matmul.into());
        let roofline = Roofline { bandwidth, matmul, threads: 2, isa: "avx2".into() };
        let measured = Measurements { roofline, used_by_others: Some(0.01) };
        let environment = Environment {
            cpu: Some("A CPU".into()),
            cpu_features: ["avx2", "fma", "avx512_vnni", "neon", "dotprod"].map(str::to_owned).to_vec(),
            physical_cores: Some(2),
            load_average: Some(0.1),
            ..Environment::default()
        };
        let memory = Memory {
            total_bytes: Some(32 << 30),
            available_bytes: Some(30 << 30),
            swap_total_bytes: Some(0),
        };
        let hub = HubStatus {
            endpoint: Some("https://hub.example".into()),
            offline: false,
            reachable: Some(true),
            reason: None,
            cache: Some("/cache".into()),
            cache_exists: true,
            cache_free_bytes: Some(1 << 40),
        };
        let catalog = Catalog::load(None).expect("the shipped catalog");
        let found = Box { environment, memory, clock_mhz: None, cards: Cards::default() };
        let mut checkup = Checkup::new(found, &measured, hub, catalog.default_entry());
        checkup.tool.profile = "release".into();
        checkup.tool.features.clear();
        checkup.tool.git_commit = Some("a".repeat(40));
        checkup.accelerators.clear();
        checkup.remedies = advice::remedies(&checkup);
        checkup
    }

    #[test]
    fn floors_follow_from_the_measured_rates() {
        let implied = healthy().implied.unwrap();
        // 751,894,528 weights of 34 bytes per 32, 498,496 of 4 bytes, and a state of 20,201,472 bytes read and written.
        assert_eq!(implied.decode_read_bytes, 798_887_936 + 1_993_984 + 2 * 20_201_472);
        let floor = implied.tpot_floor_ms.unwrap();
        assert!((floor - 8.412_848_64).abs() < 1e-9, "{floor}");
        // (2 × 497,614,848 × 2048 + 2 × 1024 × 248,320) / 1e9
        // + (18 × (163,840 × 16 + 8 × 6144) × 2048 + 2 × 6 × 2048 × 2048²) / 0.25e9
        let prefill = implied.prefill_floor_ms.unwrap();
        let in_f32 = 18.0 * (163_840.0 * 16.0 + 8.0 * 6144.0) * 2048.0 + 12.0 * 2048.0 * 2048.0 * 2048.0;
        let expected = 2_038.738_976_768 + in_f32 / 2.5e8;
        assert!((prefill - expected).abs() < 1e-6, "{prefill} {expected}");
    }

    #[test]
    fn without_rates_nothing_is_implied_but_the_bytes() {
        let catalog = Catalog::load(None).unwrap();
        let implied = Implied::new(catalog.default_entry().unwrap(), &Environment::default());
        assert_eq!((implied.tpot_floor_ms, implied.prefill_floor_ms), (None, None));
        assert_eq!(implied.decode_tokens_per_s_ceiling, None);
    }
}
