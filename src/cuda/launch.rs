//! One launch of a kernel, as a value: what it is called, how many threads, which arguments.

use candle_core::{DType, Device, Result};

/// Threads of a block where nothing speaks for another number.
pub const THREADS: u32 = 256;

/// A kernel to be started, with all it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// Its name in the module.
    pub kernel: String,
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory of a block.
    pub shared_bytes: u32,
    /// Whether its blocks may come before the kernel ahead on the stream has ended.
    pub overlaps: bool,
    /// In the order of the kernel's parameters.
    pub arguments: Vec<Argument>,
}

/// One argument, as the kernel's parameter has it in memory.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    /// A pointer.
    Address(u64),
    /// `int`
    Int(i32),
    /// `long long`
    Long(i64),
    /// `float`
    Float(f32),
    /// A plain struct, in its bytes, alignment 8 at most.
    Struct(Vec<u64>),
}

impl Launch {
    /// `kernel` over `blocks` blocks of `threads` threads, without arguments yet.
    pub fn new(kernel: impl Into<String>, blocks: usize, threads: u32) -> Result<Self> {
        Self::grid(kernel, [blocks, 1, 1], threads)
    }

    /// As [`Self::new`], over a grid of up to three dimensions.
    ///
    /// Errors if a dimension is larger than any card has.
    pub fn grid(kernel: impl Into<String>, blocks: [usize; 3], threads: u32) -> Result<Self> {
        let kernel = kernel.into();
        let most = [i32::MAX as usize, 65_535, 65_535];
        if blocks.iter().zip(most).any(|(blocks, most)| *blocks > most) {
            candle_core::bail!(
                "{kernel} over {blocks:?} blocks: no card has so many; take fewer tokens at a time"
            );
        }
        let grid = blocks.map(|blocks| blocks as u32);
        Ok(Self {
            kernel,
            grid,
            block: [threads, 1, 1],
            shared_bytes: 0,
            overlaps: false,
            arguments: Vec::new(),
        })
    }

    /// With so many bytes of dynamic shared memory.
    pub fn shared(mut self, bytes: usize) -> Self {
        self.shared_bytes = bytes as u32;
        self
    }

    /// Lets its blocks come while the kernel ahead still runs, where a card can do that: the kernel itself waits, by
    /// `begin_after_previous` of `types.cuh`, before it touches what others write.
    pub fn overlapping(mut self) -> Self {
        self.overlaps = true;
        self
    }

    /// One more argument, a pointer.
    pub fn address(self, address: u64) -> Self {
        self.argument(Argument::Address(address))
    }

    /// One more argument, a pointer that may be null.
    pub fn maybe(self, address: Option<u64>) -> Self {
        self.address(address.unwrap_or(0))
    }

    /// One more argument, an `int`. Errors beyond 2³¹ − 1: a kernel never counts further in 32 bits.
    pub fn int(self, number: usize) -> Result<Self> {
        match i32::try_from(number) {
            Ok(number) => Ok(self.argument(Argument::Int(number))),
            Err(_) => candle_core::bail!("{} is too large for the kernel {}", number, self.kernel),
        }
    }

    /// One more argument, a `long long`.
    pub fn long(self, number: usize) -> Self {
        self.argument(Argument::Long(number as i64))
    }

    /// One more argument, a `float`.
    pub fn float(self, number: f32) -> Self {
        self.argument(Argument::Float(number))
    }

    /// One more argument of any kind.
    pub fn argument(mut self, argument: Argument) -> Self {
        self.arguments.push(argument);
        self
    }

    /// Starts it on the stream of `device`; it has ended when that stream has come so far.
    ///
    /// Errors if the device has no kernels, or refuses.
    pub fn run(&self, device: &Device) -> Result<()> {
        if self.grid.contains(&0) {
            return Ok(());
        }
        match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => super::device::launch(device, self),
            #[cfg(test)]
            Device::Cpu => super::on_host::launch(self),
            _ => candle_core::bail!("no kernel {} for {:?}", self.kernel, device.location()),
        }
    }
}

impl Argument {
    /// Its bytes, where a kernel's parameter would lie.
    pub fn words(&self) -> Vec<u64> {
        match self {
            Self::Address(address) => vec![*address],
            Self::Int(number) => vec![u64::from(*number as u32)],
            Self::Long(number) => vec![*number as u64],
            Self::Float(number) => vec![u64::from(number.to_bits())],
            Self::Struct(words) => words.clone(),
        }
    }
}

/// What a type is called at the end of a kernel's name.
///
/// Errors for types that no kernel has.
pub fn suffix(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::BF16 => Ok("bf16"),
        DType::F16 => Ok("f16"),
        DType::F32 => Ok("f32"),
        other => candle_core::bail!("kernels work on f32, f16 and bf16, not on {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_would_wrap_are_refused() {
        let launch = || Launch::new("some", 1, 32).unwrap();
        assert!(launch().int(i32::MAX as usize).is_ok());
        let error = launch().int(1 << 31).unwrap_err().to_string();
        assert!(error.contains("2147483648 is too large for the kernel some"), "{error}");
        assert!(
            Launch::new("some", 1 << 31, 32).is_err() && Launch::grid("some", [1, 65_536, 1], 32).is_err()
        );
        assert_eq!(launch().long(1 << 40).arguments, [Argument::Long(1 << 40)]);
    }

    #[test]
    fn arguments_lie_as_the_kernel_reads_them() {
        assert_eq!(Argument::Int(-2).words(), [0xffff_fffe]);
        assert_eq!(Argument::Float(1.0).words(), [0x3f80_0000]);
        assert_eq!(Argument::Long(-1).words(), [u64::MAX]);
    }
}
