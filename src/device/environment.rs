//! Fills the record of the box and of the program ([`crate::environment`]) from what the system tells.
//!
//! Unknown stays `None`. Not here: measured rates ([`super::roofline`]).

use std::collections::BTreeMap;

use sysinfo::System;

use super::kernel_files::KernelFiles;
use super::memory::Memory;
use super::{accelerator, select, threads};
use crate::environment::{Environment, Tool};

/// candle's version, as `Cargo.lock` has it (a test holds the two together).
const CANDLE_VERSION: &str = "0.11.1";

impl Tool {
    /// The program that is running.
    pub fn this_build() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            git_commit: option_env!("CTXBENCH_GIT_COMMIT").map(Into::into),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" }.into(),
            features: select::compiled_features(),
        }
    }
}

impl Environment {
    /// The box now, with an engine of `threads` threads. Rates are not measured.
    pub fn detect(threads: u32) -> Self {
        let files = KernelFiles::default();
        Self {
            os: operating_system(),
            cpu: processor_name(&files),
            cpu_features: processor_features(),
            physical_cores: threads::physical_cores(&files).or_else(all_physical_cores),
            logical_cores: std::thread::available_parallelism().ok().map(|n| n.get() as u32),
            threads: Some(threads),
            memory_bytes: Memory::now().total_bytes,
            accelerators: accelerator::found(&files).into_iter().map(|found| found.name).collect(),
            load_average: System::load_average().ok().map(|load| load.one),
            versions: versions(&files),
            ..Self::default()
        }
    }
}

fn all_physical_cores() -> Option<u32> {
    System::physical_core_count().ok().map(|n| n as u32)
}

/// `Debian GNU/Linux 12, Linux 6.1.0`.
fn operating_system() -> Option<String> {
    let name = System::long_os_version().ok();
    let kernel = System::kernel_version().ok().map(|version| format!("{} {version}", kernel_name()));
    let parts: Vec<String> = name.into_iter().chain(kernel).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn kernel_name() -> &'static str {
    match std::env::consts::OS {
        "linux" => "Linux",
        "macos" => "Darwin",
        other => other,
    }
}

fn processor_name(files: &KernelFiles) -> Option<String> {
    let by_kernel = files.value("/proc/cpuinfo", "model name");
    by_kernel.filter(|name| !name.is_empty()).or_else(|| {
        let kind = sysinfo::RefreshKind::nothing().with_cpu(sysinfo::CpuRefreshKind::nothing());
        let system = System::new_with_specifics(kind).ok()?;
        let brand = system.cpus().first()?.brand().trim().to_owned();
        (!brand.is_empty()).then_some(brand)
    })
}

/// Instruction sets that decide which kernels run.
#[cfg(target_arch = "x86_64")]
fn processor_features() -> Vec<String> {
    let known = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("f16c", is_x86_feature_detected!("f16c")),
        ("avx_vnni", is_x86_feature_detected!("avxvnni")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("avx512_vnni", is_x86_feature_detected!("avx512vnni")),
        ("avx512_bf16", is_x86_feature_detected!("avx512bf16")),
    ];
    present(&known)
}

/// Instruction sets that decide which kernels run.
#[cfg(target_arch = "aarch64")]
fn processor_features() -> Vec<String> {
    use std::arch::is_aarch64_feature_detected as detected;
    present(&[
        ("neon", detected!("neon")),
        ("fp16", detected!("fp16")),
        ("dotprod", detected!("dotprod")),
        ("bf16", detected!("bf16")),
        ("i8mm", detected!("i8mm")),
        ("sve", detected!("sve")),
    ])
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn processor_features() -> Vec<String> {
    Vec::new()
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn present(known: &[(&str, bool)]) -> Vec<String> {
    known.iter().filter(|(_, detected)| *detected).map(|(name, _)| (*name).to_owned()).collect()
}

fn versions(files: &KernelFiles) -> BTreeMap<String, String> {
    let driver = accelerator::nvidia_driver(files).map(|version| ("nvidia_driver".to_owned(), version));
    BTreeMap::from_iter(std::iter::once(("candle".to_owned(), CANDLE_VERSION.to_owned())).chain(driver))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_candle_is_that_of_the_lock_file() {
        let lock = include_str!("../../Cargo.lock");
        let locked = format!("name = \"candle-core\"\nversion = \"{CANDLE_VERSION}\"\n");
        assert!(lock.contains(&locked), "CANDLE_VERSION is not the one in Cargo.lock");
    }

    #[test]
    fn the_build_knows_its_profile_and_its_commit_is_a_hash() {
        let tool = Tool::this_build();
        assert_eq!(tool.profile == "debug", cfg!(debug_assertions));
        let is_hash = |commit: &String| commit.len() >= 40 && commit.chars().all(|c| c.is_ascii_hexdigit());
        assert!(tool.git_commit.as_ref().is_none_or(is_hash), "{:?}", tool.git_commit);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells_what_the_box_is() {
        let environment = Environment::detect(3);
        assert_eq!(environment.threads, Some(3));
        assert!(environment.os.is_some_and(|os| os.contains("Linux")));
        assert!(environment.memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
        assert!(environment.physical_cores >= Some(1) && environment.logical_cores >= Some(1));
    }
}
