//! Accelerators the machine shows, whether or not this build can use them. Nothing is opened.

use super::kernel_files::KernelFiles;
use super::select::compiled_features;

/// An accelerator that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accelerator {
    /// Name given by its driver, or by its device node.
    pub name: String,
    /// Cargo feature that uses it; `None` if no build of ctxbench does.
    pub feature: Option<&'static str>,
}

impl Accelerator {
    /// Whether this build has the code for it.
    pub fn is_compiled_in(&self) -> bool {
        self.feature.is_some_and(|feature| compiled_features().iter().any(|name| name == feature))
    }
}

/// What `files` shows: NVIDIA GPUs by their driver or device nodes, AMD GPUs by theirs, Apple's by the system.
pub fn found(files: &KernelFiles) -> Vec<Accelerator> {
    let mut found = nvidia(files);
    if files.names("/dev").iter().any(|name| name == "kfd") {
        found.push(Accelerator { name: "AMD GPU (/dev/kfd)".into(), feature: None });
    }
    if cfg!(target_os = "macos") {
        found.push(Accelerator { name: "Apple GPU".into(), feature: Some("metal") });
    }
    found
}

/// The same, with NVIDIA's cards by the names that their driver gives, where it gives any.
pub fn with_cards(found: Vec<Accelerator>, names: Vec<String>) -> Vec<Accelerator> {
    if names.is_empty() {
        return found;
    }
    let cards = names.into_iter().map(|name| Accelerator { name, feature: Some("cuda") });
    let others = found.into_iter().filter(|accelerator| accelerator.feature != Some("cuda"));
    cards.chain(others).collect()
}

/// Version of the NVIDIA driver, where its kernel module is loaded.
pub fn nvidia_driver(files: &KernelFiles) -> Option<String> {
    let text = files.text("/proc/driver/nvidia/version")?;
    let is_version = |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.split_whitespace().find(is_version).map(str::to_owned)
}

fn nvidia(files: &KernelFiles) -> Vec<Accelerator> {
    let gpus = "/proc/driver/nvidia/gpus";
    let by_driver = files
        .names(gpus)
        .into_iter()
        .filter_map(|id| files.value(&format!("{gpus}/{id}/information"), "Model"));
    let mut names: Vec<String> = by_driver.collect();
    if names.is_empty() {
        let is_gpu = |name: &String| {
            name.strip_prefix("nvidia")
                .is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()))
        };
        // `dxg` is how Windows hands its GPU to Linux.
        let nodes = files.names("/dev").into_iter().filter(|name| is_gpu(name) || name == "dxg");
        names = nodes.map(|node| format!("NVIDIA GPU (/dev/{node})")).collect();
    }
    names.into_iter().map(|name| Accelerator { name, feature: Some("cuda") }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::kernel_files::tests::tree;
    use super::*;

    #[test]
    fn the_driver_names_its_gpus() {
        let (_keep, files) = tree(&[
            (
                "/proc/driver/nvidia/gpus/0000:01:00.0/information",
                "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 1\n",
            ),
            (
                "/proc/driver/nvidia/version",
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n",
            ),
            ("/dev/nvidia0", ""),
        ]);
        assert_eq!(found(&files)[0].name, "NVIDIA H100 80GB HBM3");
        assert_eq!(nvidia_driver(&files), Some("550.54.15".into()));
    }

    #[test]
    fn the_drivers_own_list_takes_the_place_of_what_the_kernel_shows() {
        let (_keep, files) = tree(&[("/dev/nvidia0", ""), ("/dev/kfd", "")]);
        let names = |listed: &[&str]| -> Vec<String> {
            let listed = listed.iter().map(|name| (*name).to_owned()).collect();
            with_cards(found(&files), listed).into_iter().map(|a| a.name).collect()
        };
        assert_eq!(names(&["NVIDIA L4"]), ["NVIDIA L4", "AMD GPU (/dev/kfd)"]);
        assert_eq!(names(&[]), ["NVIDIA GPU (/dev/nvidia0)", "AMD GPU (/dev/kfd)"]);
    }

    #[test]
    fn device_nodes_count_where_the_driver_hides() {
        let (_keep, files) = tree(&[("/dev/nvidia1", ""), ("/dev/nvidiactl", ""), ("/dev/kfd", "")]);
        let found = found(&files);
        assert_eq!(found[0], Accelerator { name: "NVIDIA GPU (/dev/nvidia1)".into(), feature: Some("cuda") });
        assert_eq!(found[1].feature, None);
        assert!(!found[1].is_compiled_in());
    }
}
