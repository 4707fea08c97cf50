//! Hands the commit this is built from to the program, and, with the feature `cuda`, compiles its kernels.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    commit();
    if std::env::var_os("CARGO_FEATURE_CUDA").is_some()
        && let Err(error) = kernels()
    {
        println!("cargo::error={error}");
        std::process::exit(1);
    }
}

/// Without git, or outside a checkout, nothing is handed on.
fn commit() {
    let Some(root) = git(&["rev-parse", "--show-toplevel"]) else { return };
    // A copy inside some other project's checkout must not take that project's commit.
    if Path::new(&root).canonicalize().ok() != Path::new(".").canonicalize().ok() {
        return;
    }
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    if let Some(commit) = git(&["rev-parse", "HEAD"]) {
        println!("cargo::rustc-env=CTXBENCH_GIT_COMMIT={commit}");
    }
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// Oldest cards first. A driver makes each newer card's code from the newest of these that the card knows.
const CAPABILITIES: [u32; 3] = [75, 80, 90];

/// src/cuda/kernels to one PTX text for each capability, in OUT_DIR.
fn kernels() -> Result<(), String> {
    println!("cargo::rerun-if-changed=src/cuda/kernels");
    for name in ["NVCC", "CUDA_HOME", "CUDA_PATH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let nvcc = nvcc();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: cargo sets it")?);
    std::thread::scope(|scope| {
        let all: Vec<_> = CAPABILITIES
            .iter()
            .map(|capability| {
                let to = out.join(format!("kernels_{capability}.ptx"));
                let nvcc = &nvcc;
                scope.spawn(move || compile(nvcc, *capability, &to))
            })
            .collect();
        all.into_iter().try_for_each(|one| one.join().map_err(|_| "a compilation panicked".to_owned())?)
    })
}

fn nvcc() -> PathBuf {
    let in_toolkit = |name| std::env::var_os(name).map(|home| Path::new(&home).join("bin/nvcc"));
    let named = std::env::var_os("NVCC").map(PathBuf::from);
    let candidates = named.into_iter().chain(["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(in_toolkit));
    let installed = ["/usr/local/cuda/bin/nvcc", "/opt/cuda/bin/nvcc"].map(PathBuf::from);
    candidates.chain(installed).find(|path| path.exists()).unwrap_or_else(|| "nvcc".into())
}

fn compile(nvcc: &Path, capability: u32, to: &Path) -> Result<(), String> {
    let output = Command::new(nvcc)
        .args(["-ptx", "-O3", "-std=c++17", &format!("-arch=compute_{capability}")])
        .arg("src/cuda/kernels/all.cu")
        .arg("-o")
        .arg(to)
        .output()
        .map_err(|error| {
            format!(
                "the feature cuda needs NVIDIA's compiler, and {} did not start ({error}): install the CUDA toolkit \
                 12 or 13, or see docs/gpu.md, and set CUDA_HOME",
                nvcc.display()
            )
        })?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).replace('\n', " | ");
            Err(format!("nvcc could not compile src/cuda/kernels for compute_{capability}: {said}"))
        }
    }
}
