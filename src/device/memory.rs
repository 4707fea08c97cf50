//! Memory of the box and of this process, within the container's limits. Unknown is `None`.
//!
//! Limits are read from cgroup v2 and v1, at every level from this process' group up to the root.

use super::kernel_files::KernelFiles;

/// Memory at one moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Of the box, or of the container if that is less.
    pub total_bytes: Option<u64>,
    /// What can still be taken without swapping; page cache counts as free.
    pub available_bytes: Option<u64>,
    /// Size of the swap space.
    pub swap_total_bytes: Option<u64>,
}

/// Pages swapped since the system started; a difference of two readings says whether anything was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwapCounters {
    /// Pages read back.
    pub pages_in: u64,
    /// Pages written out.
    pub pages_out: u64,
}

impl SwapCounters {
    /// Reads them. The counters are the whole system's, in a container too.
    pub fn read(files: &KernelFiles) -> Option<Self> {
        let pages_in = files.field("/proc/vmstat", "pswpin")?;
        Some(Self { pages_in, pages_out: files.field("/proc/vmstat", "pswpout")? })
    }

    /// Pages swapped either way since `earlier`.
    pub fn pages_since(&self, earlier: &Self) -> u64 {
        self.pages_in.saturating_sub(earlier.pages_in) + self.pages_out.saturating_sub(earlier.pages_out)
    }
}

impl Memory {
    /// Reads memory and limits of this machine.
    pub fn now() -> Self {
        match Self::read(&KernelFiles::default()) {
            Self { total_bytes: None, .. } => Self::of_another_system(),
            memory => memory,
        }
    }

    /// Reads what Linux says under `files`.
    pub fn read(files: &KernelFiles) -> Self {
        let meminfo = |key| files.field("/proc/meminfo", key).map(|kib| kib * 1024);
        let mut memory = Self {
            total_bytes: meminfo("MemTotal:"),
            available_bytes: meminfo("MemAvailable:"),
            swap_total_bytes: meminfo("SwapTotal:"),
        };
        for group in memory_groups(files) {
            memory.total_bytes = smaller(memory.total_bytes, Some(group.limit));
            memory.available_bytes = smaller(memory.available_bytes, group.free());
        }
        memory
    }

    fn of_another_system() -> Self {
        let kind = sysinfo::MemoryRefreshKind::everything();
        let refresh = sysinfo::RefreshKind::nothing().with_memory(kind);
        let Ok(system) = sysinfo::System::new_with_specifics(refresh) else {
            return Self::default();
        };
        let known = |bytes: u64| (bytes > 0).then_some(bytes);
        Self {
            total_bytes: known(system.total_memory()),
            available_bytes: known(system.available_memory()),
            swap_total_bytes: Some(system.total_swap()),
        }
    }
}

/// Resident set of this process, in bytes.
pub fn resident_bytes() -> Option<u64> {
    status_bytes(&KernelFiles::default(), "VmRSS:")
}

/// Highest resident set since the process began, or since [`reset_peak`].
pub fn peak_resident_bytes() -> Option<u64> {
    status_bytes(&KernelFiles::default(), "VmHWM:")
}

/// Sets the peak back to the present resident set. `None` where the system cannot: then
/// [`peak_resident_bytes`] goes on counting from the start of the process.
pub fn reset_peak() -> Option<()> {
    std::fs::write("/proc/self/clear_refs", "5").ok()
}

fn status_bytes(files: &KernelFiles, key: &str) -> Option<u64> {
    files.field("/proc/self/status", key).map(|kib| kib * 1024)
}

/// A control group with a limit.
struct Group {
    limit: u64,
    usage: Option<u64>,
    /// Page cache that would be given up first.
    reclaimable: u64,
}

impl Group {
    fn free(&self) -> Option<u64> {
        Some(self.limit.saturating_sub(self.usage?.saturating_sub(self.reclaimable)))
    }
}

/// Names of the files that one version of cgroup uses.
struct Version {
    mounts: &'static [&'static str],
    limit: &'static str,
    usage: &'static str,
    reclaimable: &'static str,
}

const V2: Version = Version {
    mounts: &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"],
    limit: "memory.max",
    usage: "memory.current",
    reclaimable: "inactive_file",
};

const V1: Version = Version {
    mounts: &["/sys/fs/cgroup/memory"],
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file",
};

fn memory_groups(files: &KernelFiles) -> Vec<Group> {
    let membership = files.text("/proc/self/cgroup").unwrap_or_default();
    let mut groups = Vec::new();
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let version = match controllers {
            "" => &V2,
            list if list.split(',').any(|name| name == "memory") => &V1,
            _ => continue,
        };
        for mount in version.mounts {
            groups.extend(
                ancestors(path).filter_map(|level| group(files, version, &format!("{mount}{level}"))),
            );
        }
    }
    groups
}

/// `/a/b`, `/a` and the empty path of the mount itself. A container may see only the last.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let whole = path.trim_end_matches('/');
    std::iter::successors(Some(whole), |level| level.rfind('/').map(|end| &level[..end]))
}

fn group(files: &KernelFiles, version: &Version, folder: &str) -> Option<Group> {
    Some(Group {
        limit: files.number(&format!("{folder}/{}", version.limit))?, // "max" is no limit
        usage: files.number(&format!("{folder}/{}", version.usage)),
        reclaimable: files.field(&format!("{folder}/memory.stat"), version.reclaimable).unwrap_or(0),
    })
}

fn smaller(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (known, None) | (None, known) => known,
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernel_files::tests::tree;
    use super::*;

    const MEMINFO: (&str, &str) =
        ("/proc/meminfo", "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 800 kB\nSwapTotal: 0 kB\n");

    fn kib(memory: Memory) -> (Option<u64>, Option<u64>) {
        (memory.total_bytes.map(|b| b / 1024), memory.available_bytes.map(|b| b / 1024))
    }

    #[test]
    fn without_limits_the_box_counts() {
        let (_keep, files) = tree(&[MEMINFO]);
        assert_eq!(kib(Memory::read(&files)), (Some(1000), Some(800)));
    }

    #[test]
    fn a_limit_of_a_parent_group_in_v2_counts() {
        let (_keep, files) = tree(&[
            MEMINFO,
            ("/proc/self/cgroup", "0::/a/b\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.max", "409600\n"),
            ("/sys/fs/cgroup/a/memory.current", "307200\n"),
            ("/sys/fs/cgroup/a/memory.stat", "file 1\ninactive_file 102400\n"),
        ]);
        assert_eq!(kib(Memory::read(&files)), (Some(400), Some(200)));
    }

    #[test]
    fn a_container_under_v1_sees_its_limit_at_the_mount() {
        let (_keep, files) = tree(&[
            MEMINFO,
            ("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "512000\n"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "102400\n"),
        ]);
        assert_eq!(kib(Memory::read(&files)), (Some(500), Some(400)));
    }

    #[test]
    fn an_absent_limit_of_v1_is_a_huge_number_and_changes_nothing() {
        let (_keep, files) = tree(&[
            MEMINFO,
            ("/proc/self/cgroup", "4:memory:/\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1024\n"),
        ]);
        assert_eq!(kib(Memory::read(&files)), (Some(1000), Some(800)));
    }

    #[test]
    fn nothing_readable_is_unknown_never_zero() {
        let (_keep, files) = tree(&[]);
        assert_eq!(Memory::read(&files), Memory::default());
        assert_eq!(SwapCounters::read(&files), None);
    }

    #[test]
    fn swap_is_counted_both_ways() {
        let (_keep, files) = tree(&[("/proc/vmstat", "pswpin 7\npswpout 9\n")]);
        let later = SwapCounters::read(&files).unwrap();
        assert_eq!(later.pages_since(&SwapCounters { pages_in: 5, pages_out: 9 }), 2);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_peak_falls_back_to_the_present_when_reset() {
        let block = std::hint::black_box(vec![1_u8; 256 << 20]);
        let with_block = peak_resident_bytes().unwrap();
        assert!(with_block >= block.len() as u64);
        drop(block);
        if reset_peak().is_some() {
            assert!(peak_resident_bytes().unwrap() < with_block, "the peak was not reset");
        }
        assert!(resident_bytes().unwrap() > 0);
    }
}
