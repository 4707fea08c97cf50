//! Whether an arm fits the memory of this box, or of the card it is to run on: said before anything is downloaded or loaded.

use super::arms::{label, layout};
use crate::catalog::fit::LISTED;
use crate::catalog::memory::{largest_context, needed_bytes};
use crate::cli::Quantization;
use crate::config::RunConfig;
use crate::device::card;
use crate::device::memory::Memory;
use crate::device::select::DeviceChoice;
use crate::model::shape::ModelShape;
use crate::runner::plan::Room;
use crate::units;

/// A model in one weight type, as far as memory goes.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Catalog id, or what was named.
    pub id: &'a str,
    /// Its shape.
    pub shape: &'a ModelShape,
    /// Weight type asked for.
    pub quantization: Quantization,
    /// A GGUF's own name for its mix of types.
    pub file: Option<&'a str>,
}

impl Candidate<'_> {
    /// Lengths that the device's free memory and the model itself leave room for. Memory that is unknown limits nothing.
    ///
    /// Errors if not one token fits; the sentence names the largest weight type that does.
    pub fn room(&self, config: &RunConfig) -> anyhow::Result<Room> {
        self.room_within(config, Free::on(config.device))
    }

    fn room_within(&self, config: &RunConfig, free: Free) -> anyhow::Result<Room> {
        let held = held_as(self.quantization, self.file);
        let tokens = match free.bytes {
            None => u64::from(u32::MAX),
            Some(bytes) => match largest_context(self.shape, layout(config, held), bytes) {
                Some(tokens) => tokens,
                None => anyhow::bail!(self.refusal(config, held, free.whose, bytes)),
            },
        };
        let memory = Some(tokens.min(u64::from(u32::MAX)) as u32);
        Ok(Room { max_positions: self.shape.max_positions as u32, memory, whose: free.whose })
    }

    fn refusal(&self, config: &RunConfig, held: Quantization, whose: &str, free: u64) -> String {
        let label = label(self.quantization, self.file);
        let experts = self.shape.experts.as_ref().map_or(String::new(), |experts| {
            format!(
                ", since all {} experts of a layer must be in memory and not only the {} that a token takes",
                experts.count, experts.used
            )
        });
        format!(
            "{} {label} does not fit {whose} free memory: it needs {} and {} are free{experts}; {}",
            self.id,
            units::bytes(self.needed(config, held)),
            units::bytes(free),
            self.remedy(config, free)
        )
    }

    /// Bytes with one token of context.
    fn needed(&self, config: &RunConfig, quantization: Quantization) -> u64 {
        needed_bytes(self.shape, layout(config, quantization), 1).peak()
    }

    /// The most exact of the listed types that fits; if there is none, the one that needs least.
    fn remedy(&self, config: &RunConfig, free: u64) -> String {
        let listed = LISTED.map(|(quantization, _)| quantization);
        let fits = |q: &&Quantization| largest_context(self.shape, layout(config, **q), free).is_some();
        if let Some(best) = listed.iter().find(fits).map(|best| best.name()) {
            return match self.file {
                Some(_) => format!("the largest type that fits is {best}: take a file in it"),
                None => format!("the largest type that fits is {best}: take --quant {best}"),
            };
        }
        let names = listed.map(Quantization::name).join(", ");
        let least = listed.into_iter().map(|q| (self.needed(config, q), q)).min_by_key(|(bytes, _)| *bytes);
        let least = least.map_or(String::new(), |(bytes, q)| {
            format!(" ({}, the least, needs {})", q.name(), units::bytes(bytes))
        });
        format!("none of {names} fits{least}: take a smaller model")
    }
}

/// Memory that can still be taken where an arm is to run.
#[derive(Clone, Copy, Debug)]
struct Free {
    bytes: Option<u64>,
    whose: &'static str,
}

impl Free {
    fn on(device: DeviceChoice) -> Self {
        match device {
            DeviceChoice::Cuda(_) => Self { bytes: card::free_bytes(device), whose: "the card's" },
            // Apple's GPU shares the box's memory.
            DeviceChoice::Cpu | DeviceChoice::Metal => Self::of_box(Memory::now().available_bytes),
        }
    }

    fn of_box(bytes: Option<u64>) -> Self {
        Self { bytes, whose: "this box's" }
    }
}

/// The type whose size comes nearest to that of a file in block types, which runs as it is.
pub fn held_as(quantization: Quantization, file: Option<&str>) -> Quantization {
    const BY_PREFIX: [(&str, Quantization); 7] = [
        ("Q8_0", Quantization::Q8_0),
        ("Q6_K", Quantization::Q6K),
        ("Q5", Quantization::Q5K),
        ("Q4_K", Quantization::Q4K),
        ("Q4", Quantization::Q4_0),
        ("Q3", Quantization::Q4_0),
        ("Q2", Quantization::Q4_0),
    ];
    let of = |name: &str| BY_PREFIX.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, q)| *q);
    match quantization {
        Quantization::Native => file.and_then(of).unwrap_or(quantization),
        asked_for => asked_for,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::model::shape::{qwen3_0_6b, qwen3_5_35b_a3b};
    use clap::Parser;

    fn config() -> RunConfig {
        match Cli::try_parse_from(["ctxbench", "run"]).unwrap().command {
            Command::Run(args) => RunConfig::new(&args).unwrap(),
            _ => panic!("not a run"),
        }
    }

    fn refused(shape: &ModelShape, file: Option<&str>, quantization: Quantization, free: u64) -> String {
        let candidate = Candidate { id: "m", shape, quantization, file };
        candidate.room_within(&config(), Free::of_box(Some(free))).expect_err("it does not fit").to_string()
    }

    fn needs(shape: &ModelShape, quantization: Quantization) -> u64 {
        let candidate = Candidate { id: "m", shape, quantization, file: None };
        candidate.needed(&config(), quantization)
    }

    #[test]
    fn the_largest_type_that_fits_is_named_with_both_sizes() {
        let shape = qwen3_5_35b_a3b();
        let mut sizes = Vec::new();
        for (best, name) in
            [(Quantization::Q8_0, "q8_0"), (Quantization::Q6K, "q6_k"), (Quantization::Q4K, "q4_k")]
        {
            let free = needs(&shape, best) + (1 << 20);
            let error = refused(&shape, None, Quantization::Native, free);
            let needed = units::bytes(needs(&shape, Quantization::Native));
            for part in [
                "m native does not fit",
                &format!("it needs {needed} and {} are free", units::bytes(free)),
                "all 256 experts of a layer must be in memory and not only the 8",
                &format!("the largest type that fits is {name}: take --quant {name}"),
            ] {
                assert!(error.contains(part), "'{part}' is not in: {error}");
            }
            sizes.push(free);
        }
        assert!(sizes.is_sorted_by(|a, b| a > b), "{sizes:?}");
    }

    #[test]
    fn where_none_fits_the_least_is_named() {
        let shape = qwen3_5_35b_a3b();
        let error = refused(&shape, None, Quantization::Q4K, 8 << 30);
        let least = units::bytes(needs(&shape, Quantization::Q4K));
        assert!(error.contains("none of native, q8_0, q6_k, q4_k fits (q4_k, the least, needs"), "{error}");
        assert!(error.contains(&least) && error.ends_with("take a smaller model"), "{error}");
        let dense = refused(&qwen3_0_6b(), None, Quantization::Q8_0, 1 << 20);
        assert!(!dense.contains("experts"), "{dense}");
    }

    #[test]
    fn a_file_in_block_types_counts_as_what_it_holds() {
        let shape = qwen3_5_35b_a3b();
        let free = needs(&shape, Quantization::Q4K) + (1 << 30);
        let file =
            |name| Candidate { id: "m", shape: &shape, quantization: Quantization::Native, file: name };
        assert!(file(Some("Q4_K_M")).room_within(&config(), Free::of_box(Some(free))).is_ok());
        let error = refused(&shape, Some("Q8_0"), Quantization::Native, free);
        assert!(error.contains("m file:Q8_0") && error.ends_with("q4_k: take a file in it"), "{error}");
        assert!(file(Some("BF16")).room_within(&config(), Free::of_box(Some(free))).is_err());
    }

    #[test]
    fn what_fits_and_what_is_unknown_is_not_refused() {
        let shape = qwen3_0_6b();
        let candidate = Candidate { id: "m", shape: &shape, quantization: Quantization::Q8_0, file: None };
        let room = |free| candidate.room_within(&config(), Free::of_box(free)).unwrap();
        assert_eq!(room(None).memory, Some(u32::MAX));
        assert!(room(Some(2 << 30)).memory.unwrap() > 100 && room(Some(2 << 30)).max_positions == 40_960);
    }

    #[test]
    fn what_a_card_cannot_hold_is_refused_in_its_name_and_a_card_that_tells_nothing_limits_nothing() {
        let shape = qwen3_5_35b_a3b();
        let candidate = Candidate { id: "m", shape: &shape, quantization: Quantization::Native, file: None };
        let on_card = |bytes| candidate.room_within(&config(), Free { bytes, whose: "the card's" });
        let error = on_card(Some(24 << 30)).unwrap_err().to_string();
        assert!(error.contains("m native does not fit the card's free memory: it needs"), "{error}");
        assert!(error.contains("24.0 GiB are free") && error.contains("take --quant q4_k"), "{error}");
        assert_eq!(on_card(None).unwrap().memory, Some(u32::MAX));
        assert_eq!(on_card(Some(200 << 30)).unwrap().whose, "the card's");
    }
}
