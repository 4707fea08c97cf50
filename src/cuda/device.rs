//! Launches on a card, and graphs of them.
//!
//! candle owns the card, its memory and the one stream that everything runs on; what stands here loads the module
//! that was compiled for the card's capability, and starts kernels by name.

#![expect(unsafe_code, reason = "kernels are started with addresses, and a stream is captured")]

use std::ffi::c_void;
use std::sync::{PoisonError, RwLock};

use candle_core::backend::BackendStorage as _;
use candle_core::cuda_backend::CudaStorage;
use candle_core::cuda_backend::DeviceId;
use candle_core::cuda_backend::cudarc::driver::{CudaGraph, DevicePtr as _, sys};
use candle_core::{CudaDevice, DType, Error, Result};
use half::{bf16, f16};

use super::launch::Launch;

/// What a block may have of shared memory without asking for more.
const SHARED_WITHOUT_ASKING: u32 = 48 << 10;

/// Set to `off`, no kernel comes before the one ahead has ended: what overlapping gains can be measured by it.
const OVERLAP: &str = "CTXBENCH_CUDA_OVERLAP";
/// Cards that can let a kernel wait within itself.
const OVERLAP_SINCE: u32 = 90;
/// Drivers that keep overlapping launches in a captured graph.
const OVERLAP_CAPTURED_SINCE: i32 = 12_030;

/// The kernels for cards of at least a capability, newest first.
const MODULES: [Module; 3] = [
    Module {
        capability: 90,
        name: "ctxbench_90",
        ptx: include_str!(concat!(env!("OUT_DIR"), "/kernels_90.ptx")),
    },
    Module {
        capability: 80,
        name: "ctxbench_80",
        ptx: include_str!(concat!(env!("OUT_DIR"), "/kernels_80.ptx")),
    },
    Module {
        capability: 75,
        name: "ctxbench_75",
        ptx: include_str!(concat!(env!("OUT_DIR"), "/kernels_75.ptx")),
    },
];

struct Module {
    capability: u32,
    name: &'static str,
    ptx: &'static str,
}

/// What is asked of a card once.
#[derive(Clone, Copy)]
struct Card {
    /// Ten times its major number plus its minor one.
    capability: u32,
    module: &'static Module,
    multiprocessors: usize,
    /// Whether a kernel may come while the one ahead still runs.
    overlaps: bool,
}

impl Card {
    fn of(device: &CudaDevice) -> Result<Self> {
        static KNOWN: RwLock<Vec<(DeviceId, Card)>> = RwLock::new(Vec::new());
        let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, card)) = known.iter().find(|(id, _)| *id == device.id()) {
            return Ok(*card);
        }
        drop(known);
        let card = Self::asked(device)?;
        KNOWN.write().unwrap_or_else(PoisonError::into_inner).push((device.id(), card));
        Ok(card)
    }

    fn asked(device: &CudaDevice) -> Result<Self> {
        use sys::CUdevice_attribute::{
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR,
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
            CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT as MULTIPROCESSORS,
        };
        let stream = device.cuda_stream();
        let number =
            |attribute| stream.context().attribute(attribute).map(i32::unsigned_abs).map_err(Error::wrap);
        let capability = 10 * number(MAJOR)? + number(MINOR)?;
        let wanted = std::env::var_os(OVERLAP).is_none_or(|value| value != "off");
        let overlaps = wanted && capability >= OVERLAP_SINCE && driver()? >= OVERLAP_CAPTURED_SINCE;
        let multiprocessors = number(MULTIPROCESSORS)? as usize;
        Ok(Self { capability, module: module(capability)?, multiprocessors, overlaps })
    }
}

/// The card's compute capability, ten times its major number plus its minor one: 90 for an H100.
pub fn capability(device: &CudaDevice) -> Result<u32> {
    Ok(Card::of(device)?.capability)
}

/// The newest CUDA that the driver knows: 12030 for 12.3.
fn driver() -> Result<i32> {
    let mut version = 0;
    // SAFETY: the driver writes one number there.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(Error::wrap)?;
    Ok(version)
}

/// How many multiprocessors the card has.
pub fn multiprocessors(device: &CudaDevice) -> Result<usize> {
    Ok(Card::of(device)?.multiprocessors)
}

fn module(capability: u32) -> Result<&'static Module> {
    match MODULES.iter().find(|module| module.capability <= capability) {
        Some(module) => Ok(module),
        None => candle_core::bail!(
            "this card has compute capability {}.{}, and the kernels need 7.5 or newer: use --device cpu",
            capability / 10,
            capability % 10
        ),
    }
}

/// Loads the kernels, which the driver compiles for the card: some seconds, once, until it remembers them.
pub fn load(device: &CudaDevice) -> Result<()> {
    let module = Card::of(device)?.module;
    device.get_or_load_custom_func("advance_position", module.name, module.ptx).map(|_| ())
}

/// Starts a kernel on the device's stream.
pub fn launch(device: &CudaDevice, launch: &Launch) -> Result<()> {
    let Card { module, overlaps, .. } = Card::of(device)?;
    let function = device.get_or_load_custom_func(&launch.kernel, module.name, module.ptx)?;
    if launch.shared_bytes > SHARED_WITHOUT_ASKING {
        use sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES as MOST_SHARED;
        function.set_attribute(MOST_SHARED, launch.shared_bytes as i32).map_err(Error::wrap)?;
    }
    let words: Vec<Vec<u64>> = launch.arguments.iter().map(|argument| argument.words()).collect();
    let mut parameters: Vec<*mut c_void> =
        words.iter().map(|words| words.as_ptr().cast_mut().cast()).collect();
    let stream = device.cuda_stream();
    let mut early = may_come_early();
    let config = sys::CUlaunchConfig {
        gridDimX: launch.grid[0],
        gridDimY: launch.grid[1],
        gridDimZ: launch.grid[2],
        blockDimX: launch.block[0],
        blockDimY: launch.block[1],
        blockDimZ: launch.block[2],
        sharedMemBytes: launch.shared_bytes,
        hStream: stream.cu_stream(),
        attrs: &mut early,
        numAttrs: u32::from(overlaps && launch.overlaps),
    };
    // SAFETY: parameters are those of the kernel, in its order, held by the tests of `on_host`; addresses are of
    // tensors that the caller holds, on this device, and all work of a device runs on this one stream, where a kernel
    // that overlaps waits for the one ahead before it touches memory.
    unsafe {
        let parameters = parameters.as_mut_ptr();
        sys::cuLaunchKernelEx(&config, function.cu_function(), parameters, std::ptr::null_mut())
    }
    .result()
    .map_err(|error| Error::Msg(format!("the kernel {} did not start: {error}", launch.kernel)))
}

/// That blocks may come before the kernel ahead has ended.
fn may_come_early() -> sys::CUlaunchAttribute {
    let mut value = sys::CUlaunchAttributeValue { pad: [0; 64] };
    value.programmaticStreamSerializationAllowed = 1;
    let id = sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    sys::CUlaunchAttribute { id, pad: [0; 4], value }
}

/// Where a tensor's storage begins on the card.
pub(super) fn address(storage: &CudaStorage) -> Result<u64> {
    let stream = storage.device().cuda_stream();
    let address = match storage.dtype() {
        DType::F32 => storage.as_cuda_slice::<f32>()?.device_ptr(&stream).0,
        DType::BF16 => storage.as_cuda_slice::<bf16>()?.device_ptr(&stream).0,
        DType::F16 => storage.as_cuda_slice::<f16>()?.device_ptr(&stream).0,
        DType::U32 => storage.as_cuda_slice::<u32>()?.device_ptr(&stream).0,
        DType::I64 => storage.as_cuda_slice::<i64>()?.device_ptr(&stream).0,
        DType::U8 => storage.as_cuda_slice::<u8>()?.device_ptr(&stream).0,
        other => candle_core::bail!("kernels do not know {other:?}"),
    };
    Ok(address)
}

/// Launches that were captured once, and are started together.
pub struct Graph {
    graph: CudaGraph,
}

impl Graph {
    /// What `work` starts on the device's stream, which is not run now. Memory that `work` takes and gives back
    /// belongs to the graph.
    ///
    /// Errors as `work` does, or if it waits for the device, which a capture cannot.
    pub fn capture(device: &CudaDevice, work: impl FnOnce() -> Result<()>) -> Result<Self> {
        const FREE_ON_LAUNCH: sys::CUgraphInstantiate_flags =
            sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
        use sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL as THIS_THREAD;
        let stream = device.cuda_stream();
        stream.begin_capture(THIS_THREAD).map_err(Error::wrap)?;
        let done = work();
        let captured = stream.end_capture(FREE_ON_LAUNCH);
        done?;
        match captured.map_err(Error::wrap)? {
            Some(graph) => Ok(Self { graph }),
            None => candle_core::bail!("a capture of launches came out empty"),
        }
    }

    /// Starts all of it on the stream.
    pub fn launch(&self) -> Result<()> {
        self.graph.launch().map_err(Error::wrap)
    }
}

/// Gives up the events by which memory is guarded between streams: everything here runs on one, and two events an
/// allocation are a cost of each step.
pub fn use_one_stream(device: &CudaDevice) {
    // SAFETY: this program starts no second stream.
    unsafe { device.disable_event_tracking() };
}
