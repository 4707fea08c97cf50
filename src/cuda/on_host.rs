//! For tests: the kernels, compiled as C++ for this processor, run there on tensors in memory.

#![expect(unsafe_code, reason = "a library is loaded, and kernels are called with addresses")]

use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;
use std::process::Command;
use std::ptr::null;
use std::rc::Rc;
use std::sync::{Mutex, OnceLock, PoisonError};

use candle_core::Result;
use libloading::{Library, Symbol};

use super::launch::Launch;

thread_local! {
    static ASKED_FOR: Cell<bool> = const { Cell::new(false) };
    static CHOSEN: RefCell<Option<Rc<Chosen>>> = const { RefCell::new(None) };
}

/// A block's place in its grid.
pub type Block = [u32; 3];

/// Which blocks of a launch run.
type Chosen = dyn Fn(&Launch) -> Vec<Block>;

type Run = unsafe extern "C" fn(
    *const c_char,
    *const u32,
    *const u32,
    u32,
    c_int,
    *const *const c_void,
    *const u32,
    u32,
) -> c_int;

/// Runs `work` with the kernels serving tensors of the processor, on this thread.
pub fn with<R>(work: impl FnOnce() -> R) -> R {
    let before = ASKED_FOR.replace(true);
    let result = work();
    ASKED_FOR.set(before);
    result
}

/// As [`with`], of shapes that are too large to be walked: of each launch only the blocks that `chosen` names run, and
/// outputs begin as zeros, which take memory only where something is written.
pub fn only_blocks<R>(chosen: impl Fn(&Launch) -> Vec<Block> + 'static, work: impl FnOnce() -> R) -> R {
    CHOSEN.set(Some(Rc::new(chosen)));
    let result = with(work);
    CHOSEN.set(None);
    result
}

/// Whether this thread is inside [`only_blocks`].
pub fn runs_only_some_blocks() -> bool {
    CHOSEN.with_borrow(Option::is_some)
}

/// Whether this thread is inside [`with`].
pub fn is_asked_for() -> bool {
    ASKED_FOR.get()
}

/// Runs a launch to its end.
pub fn launch(launch: &Launch) -> Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let name = CString::new(launch.kernel.as_str()).map_err(candle_core::Error::wrap)?;
    let words: Vec<Vec<u64>> = launch.arguments.iter().map(|argument| argument.words()).collect();
    let arguments: Vec<*const c_void> = words.iter().map(|words| words.as_ptr().cast()).collect();
    let chosen = CHOSEN.with_borrow(Clone::clone).map(|chosen| chosen(launch));
    let (blocks, count) = match &chosen {
        Some(blocks) => (blocks.as_ptr().cast(), blocks.len() as u32),
        None => (null(), 0),
    };
    // SAFETY: the library is the one built below, and addresses are of tensors that the caller holds.
    let status = unsafe {
        let run: Symbol<'_, Run> = library().get(b"run_on_host").map_err(candle_core::Error::wrap)?;
        let (grid, block) = (launch.grid.as_ptr(), launch.block.as_ptr());
        let overlaps = launch.overlaps.into();
        run(name.as_ptr(), grid, block, launch.shared_bytes, overlaps, arguments.as_ptr(), blocks, count)
    };
    match status {
        0 => Ok(()),
        2 => candle_core::bail!(
            "{} may overlap the kernel ahead, and a block of it does not wait",
            launch.kernel
        ),
        _ => candle_core::bail!("there is no kernel {}", launch.kernel),
    }
}

fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder for the kernels");
        let built = folder.path().join("kernels.so");
        compile(&built);
        // SAFETY: it runs no code of its own when loaded but that of the C++ library and of the kernels' table.
        unsafe { Library::new(&built).expect("the kernels that were just built") }
    })
}

fn compile(to: &Path) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cuda");
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "g++".into());
    let output = Command::new(compiler)
        .args([
            "-x",
            "c++",
            "-std=c++17",
            "-O1",
            "-shared",
            "-fPIC",
            "-Wall",
            "-Wno-unknown-pragmas",
            "-Werror",
        ])
        .args(["-ffp-contract=off", "-include"])
        .arg(here.join("host/cuda_on_host.h"))
        .arg(here.join("kernels/all.cu"))
        .arg("-o")
        .arg(to)
        .output()
        .expect("a C++ compiler (g++, or what CXX names) builds the CUDA kernels for tests");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
