//! How many threads the engine uses on the CPU, settled once, before the first candle call.
//!
//! candle-core 0.11.1 has two pools: its own barrier pool reads `CANDLE_NUM_THREADS`, and `gemm` takes
//! the number from `RAYON_NUM_THREADS`; neither can be told otherwise. Setting a variable of a running
//! process is `unsafe`, so where candle would choose another number than the one wanted, the program
//! starts itself again with both variables set. Mostly it need not: candle's default is ours.

use std::collections::BTreeSet;
use std::process::Command;

use thiserror::Error;

use super::kernel_files::KernelFiles;

const RAYON: &str = "RAYON_NUM_THREADS";
const CANDLE: &str = "CANDLE_NUM_THREADS";

/// The program could not start itself again.
#[derive(Debug, Error)]
#[error(
    "could not restart with {count} threads: {source}; \
     set {RAYON}={count} and {CANDLE}={count} yourself"
)]
pub struct ThreadsError {
    count: u32,
    source: std::io::Error,
}

/// Settles the engine's threads and returns their number: `requested`, else what the environment
/// variables of rayon or candle say, else [`default_count`].
///
/// To be called first thing by a command, before any output: it may start the program again, and then
/// does not return. Errors if that fails.
pub fn settle(requested: Option<u32>) -> Result<u32, ThreadsError> {
    let (rayon, candle) = (variable(RAYON), variable(CANDLE));
    let wanted = requested.or(rayon).or(candle).unwrap_or_else(default_count).max(1);
    let by_itself = rayon.unwrap_or_else(|| candle_core::utils::get_num_threads() as u32);
    if by_itself != wanted || candle.unwrap_or(by_itself) != wanted {
        restart(wanted)?;
    }
    crate::cpu::pool::set_threads(wanted as usize);
    // Fails only if the pool exists already; then it was made from the same variables.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(wanted as usize).build_global();
    if let Err(error) = pool {
        tracing::debug!("rayon's pool was there before: {error}");
    }
    Ok(wanted)
}

/// Physical cores that this process may run on, no more than a container's CPU quota allows; at least 1.
pub fn default_count() -> u32 {
    let allowed = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let cores = physical_cores(&KernelFiles::default())
        .or_else(|| sysinfo::System::physical_core_count().ok().map(|n| n as u32))
        .unwrap_or(allowed);
    cores.clamp(1, allowed)
}

/// Distinct cores among the processors this process may run on; `None` where Linux does not tell.
pub fn physical_cores(files: &KernelFiles) -> Option<u32> {
    let allowed = files.value("/proc/self/status", "Cpus_allowed_list")?;
    let mut cores = BTreeSet::new();
    for processor in processors(&allowed)? {
        let topology = format!("/sys/devices/system/cpu/cpu{processor}/topology");
        let package = files.number(&format!("{topology}/physical_package_id"))?;
        cores.insert((package, files.number(&format!("{topology}/core_id"))?));
    }
    (!cores.is_empty()).then_some(cores.len() as u32)
}

/// `0-2,5` is 0, 1, 2 and 5.
fn processors(list: &str) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        all.extend(first.parse::<u32>().ok()?..=last.parse().ok()?);
    }
    Some(all)
}

fn variable(name: &str) -> Option<u32> {
    std::env::var(name).ok()?.trim().parse().ok().filter(|count| *count > 0)
}

fn restart(count: u32) -> Result<(), ThreadsError> {
    let failed = |source| ThreadsError { count, source };
    // Set already, and candle still disagrees: starting again would go on for ever.
    if variable(RAYON) == Some(count) && variable(CANDLE) == Some(count) {
        return Err(failed(std::io::Error::other("candle ignores the variables")));
    }
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(std::env::args_os().skip(1)).env(RAYON, count.to_string()).env(CANDLE, count.to_string());
    become_command(command).map_err(failed)
}

/// Replaces this process; returns only if that fails.
#[cfg(unix)]
fn become_command(mut command: Command) -> std::io::Result<()> {
    use std::os::unix::process::CommandExt;
    Err(command.exec())
}

/// Runs the command and ends with its exit code; returns only if it cannot be started.
#[cfg(not(unix))]
fn become_command(mut command: Command) -> std::io::Result<()> {
    let status = command.status()?;
    std::process::exit(status.code().unwrap_or(2))
}

#[cfg(test)]
mod tests {
    use super::super::kernel_files::tests::tree;
    use super::*;

    fn topology(cpu: u32, package: u32, core: u32) -> [(String, String); 2] {
        let folder = format!("/sys/devices/system/cpu/cpu{cpu}/topology");
        [
            (format!("{folder}/physical_package_id"), package.to_string()),
            (format!("{folder}/core_id"), core.to_string()),
        ]
    }

    #[test]
    fn two_threads_of_one_core_count_once_and_forbidden_processors_not_at_all() {
        let mut files = vec![("/proc/self/status".to_owned(), "Cpus_allowed_list:\t0-2,5\n".to_owned())];
        for (cpu, package, core) in [(0, 0, 0), (1, 0, 0), (2, 0, 1), (3, 0, 2), (5, 1, 0)] {
            files.extend(topology(cpu, package, core));
        }
        let borrowed: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let (_keep, files) = tree(&borrowed);
        assert_eq!(physical_cores(&files), Some(3));
    }

    #[test]
    fn where_nothing_is_told_the_count_is_unknown_but_the_default_is_at_least_one() {
        let (_keep, files) = tree(&[]);
        assert_eq!(physical_cores(&files), None);
        assert_eq!(processors("0-x"), None);
        assert!(default_count() >= 1);
    }
}
