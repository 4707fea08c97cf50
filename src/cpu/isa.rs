//! Which instructions this processor offers to the kernels, found out once.

use std::sync::OnceLock;

/// Names an instruction set to use instead of the best one, e.g. `portable`: for tests and comparisons.
pub const VARIABLE: &str = "CTXBENCH_ISA";

/// Instruction sets for which there are kernels of their own, the best first. No processor has those of two
/// architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// 512-bit vectors with integer and bf16 dot products.
    Avx512Bf16,
    /// 512-bit vectors with integer dot products.
    Avx512Vnni,
    /// 256-bit vectors with multiply-add and f16 conversion.
    Avx2,
    /// 128-bit vectors of Arm with integer dot products.
    Neon,
    /// Whatever the compiler makes of plain loops.
    Portable,
}

impl Isa {
    /// All of them, the best first.
    pub const ALL: [Self; 5] = [Self::Avx512Bf16, Self::Avx512Vnni, Self::Avx2, Self::Neon, Self::Portable];

    /// Its name in reports and in [`VARIABLE`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512Bf16 => "avx512-bf16",
            Self::Avx512Vnni => "avx512-vnni",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }

    /// Whether 512-bit kernels may run.
    pub fn is_avx512(self) -> bool {
        matches!(self, Self::Avx512Bf16 | Self::Avx512Vnni)
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            other => detected(other),
        }
    }

    /// The sets that this processor has, the best first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available())
    }
}

/// Whether this processor has a set of kernels written for its architecture.
#[cfg(target_arch = "x86_64")]
fn detected(isa: Isa) -> bool {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    let avx512 = avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni");
    match isa {
        Isa::Avx512Bf16 => avx512 && is_x86_feature_detected!("avx512bf16"),
        Isa::Avx512Vnni => avx512,
        Isa::Avx2 => avx2,
        Isa::Neon | Isa::Portable => false,
    }
}

#[cfg(target_arch = "aarch64")]
fn detected(isa: Isa) -> bool {
    use std::arch::is_aarch64_feature_detected as detected;
    isa == Isa::Neon && detected!("neon") && detected!("dotprod")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detected(_isa: Isa) -> bool {
    false
}

/// The set that runs: the one that [`VARIABLE`] names if the processor has it, else the best.
pub fn isa() -> Isa {
    static CHOSEN: OnceLock<Isa> = OnceLock::new();
    *CHOSEN.get_or_init(|| choose(std::env::var(VARIABLE).ok().as_deref()))
}

fn choose(named: Option<&str>) -> Isa {
    let named = named.and_then(|name| Isa::available().find(|isa| isa.name() == name));
    named.or_else(|| Isa::available().next()).unwrap_or(Isa::Portable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_taken_by_its_name_and_the_best_without_one() {
        assert_eq!(choose(Some("portable")), Isa::Portable);
        assert_eq!(Some(choose(None)), Isa::available().next());
        assert_eq!(choose(Some("mmx")), choose(None));
    }

    /// Whether a processor of the architecture of this build may have it.
    fn belongs_here(isa: Isa) -> bool {
        match isa {
            Isa::Avx512Bf16 | Isa::Avx512Vnni | Isa::Avx2 => cfg!(target_arch = "x86_64"),
            Isa::Neon => cfg!(target_arch = "aarch64"),
            Isa::Portable => true,
        }
    }

    #[test]
    fn a_set_brings_those_of_its_architecture_below_it_and_none_of_another() {
        let available: Vec<Isa> = Isa::available().collect();
        let of_here: Vec<Isa> = Isa::ALL.into_iter().filter(|isa| belongs_here(*isa)).collect();
        assert!(of_here.ends_with(&available), "{available:?} of {of_here:?}");
        assert_eq!(available.last(), Some(&Isa::Portable));
    }

    #[test]
    fn each_set_has_a_name_of_its_own() {
        for isa in Isa::ALL {
            let named = choose(Some(isa.name()));
            assert!(named == isa || !isa.is_available(), "{isa:?} by its name is {named:?}");
        }
    }
}
