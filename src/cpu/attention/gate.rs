//! The output gate of hybrids: mixed values times the sigmoid of their gates.

use crate::cpu::isa::Isa;
use crate::cpu::lanes::{self, Kernel, LANES, Lanes};
use crate::cpu::pool;

/// Numbers of a piece: some microseconds of work.
const PIECE: usize = 1 << 14;

/// Multiplies each of `mixed` by 1 / (1 + e^-gate).
///
/// # Panics
/// If there are not as many gates.
pub fn gate_outputs(isa: Isa, mixed: &mut [f32], gates: &[f32]) {
    assert_eq!(mixed.len(), gates.len(), "as many gates as values");
    pool::run_chunks(mixed, PIECE, |piece, mixed| {
        let gates = &gates[piece * PIECE..][..mixed.len()];
        lanes::run(isa, Gate { mixed, gates });
    });
}

struct Gate<'a> {
    mixed: &'a mut [f32],
    gates: &'a [f32],
}

impl Kernel for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let (mixed, mixed_rest) = self.mixed.as_chunks_mut();
        let (gates, gates_rest) = self.gates.as_chunks();
        for (mixed, gates) in mixed.iter_mut().zip(gates) {
            open(lanes, mixed, gates);
        }
        let (mut mixed, mut gates) = ([0.0; LANES], [0.0; LANES]);
        mixed[..mixed_rest.len()].copy_from_slice(mixed_rest);
        gates[..gates_rest.len()].copy_from_slice(gates_rest);
        open(lanes, &mut mixed, &gates);
        mixed_rest.copy_from_slice(&mixed[..mixed_rest.len()]);
    }
}

#[inline(always)]
fn open<L: Lanes>(lanes: L, mixed: &mut [f32; LANES], gates: &[f32; LANES]) {
    // 2^127 is all that may be asked for: gates below -88 shut all the same.
    let exponent = lanes.mul(lanes.load(gates), lanes.splat(-std::f32::consts::LOG2_E));
    let high =
        lanes.mul(lanes.max(lanes.splat(-126.0), lanes.mul(exponent, lanes.splat(-1.0))), lanes.splat(-1.0));
    let mut grown = [0.0; LANES];
    lanes.store(lanes.add(lanes.exp2(high), lanes.splat(1.0)), &mut grown);
    for (mixed, grown) in mixed.iter_mut().zip(grown) {
        *mixed /= grown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_the_sigmoid_at_any_length_and_at_the_extremes() {
        for length in [0, 1, 15, 16, 17, PIECE + 5] {
            let gates: Vec<f32> = (0..length).map(|i| (i % 401) as f32 - 200.0).collect();
            for isa in Isa::available() {
                let mut mixed = vec![3.0; length];
                gate_outputs(isa, &mut mixed, &gates);
                for (gate, got) in gates.iter().zip(&mixed) {
                    let exact = 3.0 / (1.0 + (-f64::from(*gate)).exp());
                    let error = (f64::from(*got) - exact).abs();
                    // Rounding of the exponent grows with it.
                    let bar = 1e-6 * (1.0 + f64::from(gate.abs()) / 8.0) * exact.max(1e-30);
                    assert!(error <= bar, "{isa:?}: {gate} gave {got} for {exact}");
                }
            }
        }
        let mut wrong = [1.0];
        gate_outputs(Isa::Portable, &mut wrong, &[f32::NAN]);
        assert!(wrong[0].is_nan());
    }
}
