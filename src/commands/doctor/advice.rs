//! What is missing or in the way on this box, each with what to do about it. Pure.

use serde::Serialize;

use super::checkup::Checkup;
use crate::environment::card::Severity;
use crate::units;

/// One thing that is missing or in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Remedy {
    /// What was found.
    pub found: String,
    /// What to do.
    pub remedy: String,
}

/// Share of the CPU in other hands above which rates are not believed.
const DISTURBED: f64 = 0.05;

/// Everything there is to say, the most important first; empty on a box that lacks nothing.
pub(super) fn remedies(checkup: &Checkup) -> Vec<Remedy> {
    let mut remedies = Vec::new();
    let mut add = |found: String, remedy: &str| remedies.push(Remedy { found, remedy: remedy.into() });
    if checkup.tool.profile != "release" {
        add("a debug build: its times mean nothing".into(), "build with `cargo build --release`");
    }
    for (found, remedy) in accelerator_remedies(checkup)
        .into_iter()
        .chain(card_remedies(checkup))
        .chain(machine_remedies(checkup))
    {
        add(found, &remedy);
    }
    for (found, remedy) in hub_remedies(checkup) {
        add(found, &remedy);
    }
    if checkup.tool.git_commit.is_none() {
        let remedy = "build inside a git checkout, so that reports name the commit";
        add("the commit this was built from is unknown".into(), remedy);
    }
    remedies
}

fn accelerator_remedies(checkup: &Checkup) -> Vec<(String, String)> {
    let unused = checkup.accelerators.iter().filter(|accelerator| !accelerator.compiled_in);
    let unused = unused.map(|accelerator| {
        let remedy = match accelerator.feature {
            Some(feature) => format!("build with `cargo build --release --features {feature}`"),
            None => "candle has no code for it; only the CPU will be used".into(),
        };
        (format!("{} is here, but not compiled in", accelerator.name), remedy)
    });
    let missing = checkup.tool.features.iter().filter(|feature| {
        !checkup.accelerators.iter().any(|accelerator| accelerator.feature == Some(feature.as_str()))
    });
    let missing = missing.map(|feature| {
        let remedy = "check the driver (for CUDA: `nvidia-smi`), or use --device cpu";
        (format!("{feature} is compiled in, but no such device was found"), remedy.to_owned())
    });
    unused.chain(missing).collect()
}

/// What disturbs a card, or keeps it slow.
fn card_remedies(checkup: &Checkup) -> Vec<(String, String)> {
    let mut remedies = Vec::new();
    for (number, card) in checkup.cards.iter().enumerate() {
        let processes = card.state.processes.as_ref().map_or(0, Vec::len);
        if processes > 0 {
            let found = format!("card {number} is in use by {processes} other processes");
            remedies.push((found, "stop them before measuring on it (`nvidia-smi` names them)".to_owned()));
        }
        let slowed = card.state.throttle_reasons.iter().flatten().find(|r| r.severity() == Severity::Slowed);
        if let Some(reason) = slowed {
            let found = format!("card {number} is slowed down: {}", reason.words());
            remedies
                .push((found, "look at its cooling and its power supply before measuring on it".to_owned()));
        }
    }
    remedies
}

fn machine_remedies(checkup: &Checkup) -> Vec<(String, String)> {
    let environment = &checkup.environment;
    let mut remedies = Vec::new();
    let has = |feature: &str| environment.cpu_features.iter().any(|name| name == feature);
    if cfg!(target_arch = "x86_64") && !(has("avx2") && has("fma")) {
        let found = "the CPU has no AVX2 and FMA: candle's fast kernels do not run".to_owned();
        remedies.push((found, "in a virtual machine, let the guest see the host's CPU".to_owned()));
    }
    if let Some(share) = checkup.used_by_others.filter(|share| *share > DISTURBED) {
        let percent = 100.0 * share;
        let found =
            format!("other processes used {percent:.0} % of the CPU meanwhile: these rates are too low");
        remedies.push((found, "stop them before measuring anything here".to_owned()));
    }
    if let (Some(free), Some(implied)) = (checkup.available_bytes, &checkup.implied)
        && free < implied.needed_bytes
    {
        let needed = units::bytes(implied.needed_bytes);
        let found = format!(
            "{} free, {} in {} needs {needed}",
            units::bytes(free),
            implied.model,
            implied.quantization
        );
        remedies.push((found, "free memory, or see `ctxbench models` for what fits".to_owned()));
    }
    if environment.memory_bandwidth_bytes_per_s.is_none() {
        let found = "memory bandwidth could not be measured".to_owned();
        remedies.push((found, "reports will have no MBU; the clock of this box may not move".to_owned()));
    }
    remedies
}

fn hub_remedies(checkup: &Checkup) -> Vec<(String, String)> {
    let hub = &checkup.hub;
    let mut remedies = Vec::new();
    if hub.reachable == Some(false) {
        let why = hub.reason.as_deref().unwrap_or("no reason given");
        let remedy = "check the network and HF_ENDPOINT; or go on with files in the cache (--offline), \
                      `ctxbench fetch MODEL --from FOLDER`, or --weights random";
        remedies.push((format!("the hub did not answer: {why}"), remedy.to_owned()));
    }
    if hub.cache.is_none() {
        let remedy = "set HF_HOME to a folder with room for the models";
        remedies.push(("no place for the hub's cache".to_owned(), remedy.to_owned()));
    }
    if let Some(free) = hub.cache_free_bytes.filter(|free| *free < 4 << 30) {
        let remedy = "free disk space, or set HF_HOME to a folder on another disk";
        remedies
            .push((format!("only {} free where models are cached", units::bytes(free)), remedy.to_owned()));
    }
    remedies
}

#[cfg(test)]
mod tests {
    use super::super::checkup::tests::healthy;
    use super::super::checkup::{AcceleratorStatus, CardStatus};
    use super::*;
    use crate::environment::card::{CardIdentity, CardProcess, CardState, Throttle};

    fn found(change: impl FnOnce(&mut Checkup)) -> Vec<String> {
        let mut checkup = healthy();
        change(&mut checkup);
        remedies(&checkup).into_iter().map(|r| format!("{} -> {}", r.found, r.remedy)).collect()
    }

    #[test]
    fn a_box_that_lacks_nothing_gets_no_advice() {
        assert_eq!(found(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn a_gpu_that_is_not_compiled_in_names_the_feature() {
        let all = found(|checkup| {
            let name = "NVIDIA L4".to_owned();
            checkup.accelerators =
                vec![AcceleratorStatus { name, compiled_in: false, feature: Some("cuda") }];
        });
        assert!(all[0].starts_with("NVIDIA L4 is here, but not compiled in -> build with"), "{all:?}");
        assert!(all[0].contains("--features cuda"), "{all:?}");
    }

    #[test]
    fn a_card_that_others_use_or_that_is_braked_is_said() {
        let all = found(|checkup| {
            let process = CardProcess { pid: 1, memory_bytes: None };
            let state = CardState {
                processes: Some(vec![process]),
                throttle_reasons: Some(vec![Throttle::PowerCap, Throttle::PowerBrake]),
                ..CardState::default()
            };
            checkup.cards = vec![CardStatus { identity: CardIdentity::default(), state }];
        });
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(all[0].starts_with("card 0 is in use by 1 other processes -> stop them"), "{all:?}");
        assert!(all[1].starts_with("card 0 is slowed down: the brake of the power supply ->"), "{all:?}");
    }

    #[test]
    fn each_thing_in_the_way_is_said() {
        let all = found(|checkup| {
            checkup.tool.profile = "debug".into();
            checkup.tool.features = vec!["cuda".into()];
            checkup.used_by_others = Some(0.5);
            checkup.environment.memory_bandwidth_bytes_per_s = None;
            checkup.available_bytes = Some(1 << 30);
            checkup.hub.reachable = Some(false);
            checkup.hub.cache_free_bytes = Some(1 << 30);
            checkup.tool.git_commit = None;
        });
        let parts = [
            "debug build",
            "cuda is compiled in, but",
            "other processes used 50 %",
            "1.00 GiB free, qwen3",
            "bandwidth could not",
            "did not answer",
            "only 1.00 GiB free where",
            "commit this was built from",
        ];
        assert_eq!(all.len(), parts.len(), "{all:#?}");
        for (said, part) in all.iter().zip(parts) {
            assert!(said.contains(part), "{said} should contain {part}");
        }
    }
}
