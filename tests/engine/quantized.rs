//! Weights quantized in place: prefill agrees with steps, and fewer bits lie farther from the exact logits.

use candle_core::Tensor;
use ctxbench::cli::Quantization;
use ctxbench::model::shape::{Architecture, ModelShape};

use crate::models::{all_logits, quantized_engine, random_engine, shape};

const TYPES: [Quantization; 5] =
    [Quantization::Q8_0, Quantization::Q6K, Quantization::Q5K, Quantization::Q4K, Quantization::Q4_0];

fn wide() -> ModelShape {
    ModelShape { hidden_size: 256, head_dim: 64, intermediate_size: Some(512), ..shape(Architecture::Qwen3) }
}

/// Rows of 896 as in Qwen2.5-0.5B, which no K-quant divides.
fn odd() -> ModelShape {
    ModelShape {
        hidden_size: 896,
        heads: 14,
        head_dim: 64,
        intermediate_size: Some(512),
        ..shape(Architecture::Qwen2)
    }
}

fn prompt() -> Vec<u32> {
    (0..150).map(|i| (i * i * 3 + 11) % 300).collect()
}

#[test]
fn prefill_agrees_with_steps_and_chunks_in_every_type() {
    let ids = prompt();
    for shape in [wide(), odd()] {
        for quantization in TYPES {
            let mut engine = quantized_engine(&shape, quantization, 3, ids.len());
            let whole = all_logits(&mut engine, &ids, &[ids.len()]);
            for pieces in [&[1][..], &[7, 1, 19, 64]] {
                let got = all_logits(&mut engine, &ids, pieces);
                let relative = relative_error(&whole, &got);
                // Mostly 0. Where a number lies at the edge between two of the 8-bit steps of an activation,
                // the last bit of f32 decides which it becomes, and later positions see that.
                assert!(relative < 0.03, "{quantization:?}, hidden {}: {relative}", shape.hidden_size);
            }
        }
    }
}

/// Root mean square of the difference over that of `exact`.
fn relative_error(exact: &Tensor, got: &Tensor) -> f32 {
    let mean_square = |t: &Tensor| t.sqr().and_then(|s| s.mean_all()?.to_scalar::<f32>()).expect("numbers");
    (mean_square(&(exact - got).expect("one shape")) / mean_square(exact)).sqrt()
}

#[test]
fn fewer_bits_lie_farther_from_the_exact_logits() {
    let ids = prompt();
    for shape in [wide(), odd()] {
        let exact = all_logits(&mut random_engine(&shape, 3, ids.len()), &ids, &[ids.len()]);
        let errors = TYPES.map(|quantization| {
            let mut engine = quantized_engine(&shape, quantization, 3, ids.len());
            relative_error(&exact, &all_logits(&mut engine, &ids, &[ids.len()]))
        });
        let bars = [0.04, 0.09, 0.17, 0.32, 0.34];
        assert!(errors.iter().zip(bars).all(|(error, bar)| *error > 1e-4 && *error < bar), "{errors:?}");
        assert!(errors.is_sorted_by(|a, b| *a <= b * 1.05), "{errors:?}");
    }
}
