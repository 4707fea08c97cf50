//! What else ran: CPU time of other processes between two readings, and the clock rate. Unknown is `None`.

use super::kernel_files::KernelFiles;

/// CPU time used so far, in the kernel's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuTimes {
    /// All processors, idle time included.
    all: u64,
    /// All processors, working for anyone; time that a hypervisor gave to others included.
    busy: u64,
    /// This process, all threads, children not included.
    own: u64,
}

impl CpuTimes {
    /// Reads the counters of this machine.
    pub fn now() -> Option<Self> {
        Self::read(&KernelFiles::default())
    }

    /// Reads the counters under `files`.
    pub fn read(files: &KernelFiles) -> Option<Self> {
        let stat = files.text("/proc/stat")?;
        // user nice system idle iowait irq softirq steal; guest times are in user already
        let ticks: Vec<u64> = stat
            .lines()
            .next()?
            .strip_prefix("cpu ")?
            .split_whitespace()
            .take(8)
            .map_while(|n| n.parse().ok())
            .collect();
        let [_, _, _, idle, iowait, ..] = ticks[..] else { return None };
        let all: u64 = ticks.iter().sum();
        Some(Self { all, busy: all - idle - iowait, own: own_ticks(&files.text("/proc/self/stat")?)? })
    }

    /// Share of all processors' time, from 0 to 1, that others than this process used since `earlier`.
    /// `None` if no tick has passed: ticks are 10 ms, so readings should lie a second apart.
    pub fn used_by_others_since(&self, earlier: &Self) -> Option<f64> {
        let all = self.all.checked_sub(earlier.all).filter(|ticks| *ticks > 0)?;
        let busy = self.busy.saturating_sub(earlier.busy);
        let others = busy.saturating_sub(self.own.saturating_sub(earlier.own));
        Some((others as f64 / all as f64).min(1.0))
    }
}

/// Fields 14 and 15; the name in field 2 may hold spaces and brackets.
fn own_ticks(stat: &str) -> Option<u64> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Clock rate at this moment in MHz, mean over processors. In a virtual machine it may never change.
pub fn frequency_mhz(files: &KernelFiles) -> Option<f64> {
    let rates: Vec<f64> = files
        .names("/sys/devices/system/cpu")
        .iter()
        .filter_map(|cpu| files.number(&format!("/sys/devices/system/cpu/{cpu}/cpufreq/scaling_cur_freq")))
        .map(|khz| khz as f64 / 1000.0)
        .collect();
    if rates.is_empty() {
        return files.value("/proc/cpuinfo", "cpu MHz")?.parse().ok();
    }
    Some(rates.iter().sum::<f64>() / rates.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::super::kernel_files::tests::tree;
    use super::*;

    fn times(stat: &str, own: &str) -> Option<CpuTimes> {
        let (_keep, files) = tree(&[("/proc/stat", stat), ("/proc/self/stat", own)]);
        CpuTimes::read(&files)
    }

    #[test]
    fn what_others_used_is_what_is_busy_and_not_ours() {
        let own = "1 (a ) b) S 0 0 0 0 0 0 0 0 0 0 30 20 9 9";
        let before = times("cpu  100 0 50 800 10 0 0 40 0 0\n", own).unwrap();
        assert_eq!(before, CpuTimes { all: 1000, busy: 190, own: 50 });
        let after = CpuTimes { all: 1200, busy: 340, own: 150 };
        assert_eq!(after.used_by_others_since(&before), Some(0.25));
    }

    #[test]
    fn no_time_passed_or_nothing_readable_is_unknown() {
        let reading = CpuTimes { all: 10, busy: 5, own: 5 };
        assert_eq!(reading.used_by_others_since(&reading), None);
        assert_eq!(times("intr 1\n", "x"), None);
        assert_eq!(times("cpu  1 2 3 4 5 6 7 8\n", "no name"), None);
    }

    #[test]
    fn own_ticks_ahead_of_the_total_do_not_turn_negative() {
        let before = CpuTimes { all: 0, busy: 0, own: 0 };
        let after = CpuTimes { all: 100, busy: 90, own: 95 };
        assert_eq!(after.used_by_others_since(&before), Some(0.0));
    }

    #[test]
    fn the_clock_rate_is_a_mean_or_what_cpuinfo_says() {
        let path = |n| format!("/sys/devices/system/cpu/cpu{n}/cpufreq/scaling_cur_freq");
        let (_keep, files) = tree(&[(&path(0), "2000000\n"), (&path(1), "3000000\n")]);
        assert_eq!(frequency_mhz(&files), Some(2500.0));
        let (_keep, files) = tree(&[("/proc/cpuinfo", "cpu MHz\t\t: 2596.1\n")]);
        assert_eq!(frequency_mhz(&files), Some(2596.1));
    }
}
