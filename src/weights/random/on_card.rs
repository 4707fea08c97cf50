//! Random matrices made where they are used: candle's generator of the device fills them, and only the seed comes
//! from the host.
//!
//! Comes in: a size and a width. Goes out: a dense matrix in the type that was asked for. On a card the numbers follow
//! from the seed and from the order in which matrices are asked for; they are not those that the processor makes.

use candle_core::{DType, Device, Result, Tensor};

/// Most numbers that are in f32 at one time, 128 MiB of them: the generator knows 32 bits only.
pub(super) const PIECE: usize = 32 << 20;

/// Begins the card's sequence. Errors if the device has no generator with a seed; the processor's has none.
pub(super) fn begin(device: &Device, seed: u64) -> Result<()> {
    device.set_seed(seed)
}

/// Numbers between −`half_width` and `half_width`, (rows, columns) in `dtype`, at most `piece` of them at a time and
/// whole rows.
pub(super) fn matrix(
    [rows, columns]: [usize; 2],
    half_width: f32,
    dtype: DType,
    device: &Device,
    piece: usize,
) -> Result<Tensor> {
    let some =
        |count: usize| Tensor::rand(-half_width, half_width, (count, columns), device)?.to_dtype(dtype);
    let step = (piece / columns.max(1)).max(1);
    if rows <= step {
        return some(rows);
    }
    let whole = Tensor::zeros((rows, columns), dtype, device)?;
    for first in (0..rows).step_by(step) {
        whole.slice_set(&some(step.min(rows - first))?, 0, first)?;
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: [usize; 2] = [301, 256];

    /// A matrix whose numbers have the root mean square `rms`, in more than one piece.
    fn made(rms: f32, dtype: DType) -> Tensor {
        matrix(SIZE, 3f32.sqrt() * rms, dtype, &Device::Cpu, 64 * 256 + 7).unwrap()
    }

    fn numbers(matrix: &Tensor) -> Vec<f32> {
        matrix.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn every_type_has_the_size_and_the_scale_that_were_asked_for() {
        for (dtype, rms) in
            [(DType::F32, 0.0625), (DType::BF16, 0.0625), (DType::F16, 0.0625), (DType::BF16, 8.0)]
        {
            let matrix = made(rms, dtype);
            assert_eq!((matrix.dims(), matrix.dtype()), (&SIZE[..], dtype));
            let values = numbers(&matrix);
            let n = values.len() as f64;
            let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
            let square = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / n;
            assert!(mean.abs() < 0.02 * f64::from(rms), "{dtype:?}: {mean}");
            assert!((square.sqrt() / f64::from(rms) - 1.0).abs() < 0.01, "{dtype:?}: {square}");
        }
    }

    #[test]
    fn every_row_is_filled_with_numbers_of_its_own() {
        let values = numbers(&made(1.0, DType::F32));
        let mut rows: Vec<&[f32]> = values.chunks(SIZE[1]).collect();
        rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
        rows.dedup();
        assert_eq!(rows.len(), SIZE[0]);
        // A row that was left out would hold zeros alone.
        assert!(rows.iter().all(|row| row.iter().filter(|x| **x == 0.0).count() < 3));
        assert_ne!(values, numbers(&made(1.0, DType::F32)));
    }

    #[test]
    fn the_pieces_of_a_matrix_are_whole_rows_however_long_they_are() {
        let one = matrix([3, 5], 1.0, DType::F32, &Device::Cpu, 2).unwrap();
        assert!(one.dims() == [3, 5] && numbers(&one).iter().all(|x| *x != 0.0));
    }
}
