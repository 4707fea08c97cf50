//! How long this process has run, by the kernel's own record of its start.

use std::time::Duration;

use super::kernel_files::KernelFiles;

/// Ticks a second in which Linux tells programs a time, on every platform that this runs on.
const TICKS_PER_S: u64 = 100;

/// Place of the start time among the words behind the program's name in `/proc/self/stat`: field 22 of proc(5).
const START_TIME: usize = 19;

/// Time since this process was started, to 10 ms either way: both the start and the present are told in hundredths of
/// a second. `None` where the kernel does not tell.
pub fn age(files: &KernelFiles) -> Option<Duration> {
    let stat = files.text("/proc/self/stat")?;
    // The name stands in brackets and may hold anything, brackets included.
    let (_, behind_name) = stat.rsplit_once(')')?;
    let ticks: u64 = behind_name.split_whitespace().nth(START_TIME)?.parse().ok()?;
    let started = Duration::from_millis(ticks * (1000 / TICKS_PER_S));
    let uptime: f64 = files.text("/proc/uptime")?.split_whitespace().next()?.parse().ok()?;
    let now = Duration::try_from_secs_f64(uptime).ok()?;
    // A start that is not told is 0, and would make the process as old as the machine.
    (ticks > 0).then(|| now.saturating_sub(started))
}

#[cfg(test)]
mod tests {
    use super::super::kernel_files::tests::tree;
    use super::*;

    fn stat(name: &str, started: u64) -> String {
        format!("4711 ({name}) R 1 2 3 0 -1 4194304 100 0 0 0 5 6 7 8 20 0 1 0 {started} 3133440 408 0 0")
    }

    fn age_of(stat: &str, uptime: &str) -> Option<Duration> {
        let (_keep, files) = tree(&[("/proc/self/stat", stat), ("/proc/uptime", uptime)]);
        age(&files)
    }

    #[test]
    fn the_age_is_what_has_passed_since_the_start_whatever_the_program_is_called() {
        let age = age_of(&stat("ctxbench", 6_954_333), "69543.75 25267.97\n");
        assert_eq!(age, Some(Duration::from_millis(420)));
        assert_eq!(age_of(&stat("a) R 9 (b", 100), "2.50 0.00\n"), Some(Duration::from_millis(1500)));
    }

    #[test]
    fn a_start_in_the_present_tick_is_no_age_and_one_that_is_not_told_is_unknown() {
        assert_eq!(age_of(&stat("ctxbench", 201), "2.00 0.00\n"), Some(Duration::ZERO));
        assert_eq!(age_of(&stat("ctxbench", 0), "2.00 0.00\n"), None);
        assert_eq!((age_of("", "2.00 0.00\n"), age_of(&stat("ctxbench", 100), "")), (None, None));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_an_age_that_grows() {
        let files = KernelFiles::default();
        let first = age(&files).expect("Linux tells it");
        assert!(first < Duration::from_secs(3600) && age(&files) >= Some(first));
    }
}
