//! Room for all that a series of launches makes, where the series is the same each time.
//!
//! Comes in: the series, once to be counted and then as often as it is run. Goes out: what it makes, one output
//! behind the other in memory that was taken once. A captured step then holds nothing but kernels: memory that is
//! asked for between them would be nodes of its own, at which kernels that may overlap would meet. Not here: what
//! lives longer than its series, for the next one overwrites it.

use std::cell::RefCell;

use candle_core::{DType, Device, Result, Tensor};

/// Outputs begin at a multiple of so many bytes, as memory of their own would.
const ALIGNMENT: usize = 256;

thread_local! {
    static STATE: RefCell<State> = const { RefCell::new(State::Off) };
}

/// What becomes of outputs asked for on this thread.
enum State {
    /// Each has memory of its own.
    Off,
    /// The same, and numbers of each type are counted.
    Counting(Vec<(DType, usize)>),
    /// They lie in these, of which so many numbers are taken.
    Serving(Vec<(Tensor, usize)>),
}

/// The room: for each type one row of numbers.
#[derive(Clone, Debug)]
pub struct Scratch {
    rows: Vec<Tensor>,
}

impl Scratch {
    /// Runs `work` and takes the room, on `device`, that what it made would have needed.
    pub fn measured(device: &Device, work: impl FnOnce() -> Result<()>) -> Result<Self> {
        let state = Switched::to(State::Counting(Vec::new()));
        work()?;
        let State::Counting(counts) = state.back() else {
            candle_core::bail!("two series of launches were counted at once")
        };
        let rows = counts.iter().map(|(dtype, count)| Tensor::zeros(*count, *dtype, device));
        Ok(Self { rows: rows.collect::<Result<_>>()? })
    }

    /// Runs `work`, whose outputs lie here; what does not fit, as after a change of the series, has memory of its own.
    pub fn serve<R>(&self, work: impl FnOnce() -> Result<R>) -> Result<R> {
        let rows = self.rows.iter().map(|row| (row.clone(), 0)).collect();
        let _serving = Switched::to(State::Serving(rows));
        work()
    }

    /// Bytes of it.
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(|row| row.elem_count() * row.dtype().size_in_bytes()).sum()
    }
}

/// The next output, if outputs lie in a [`Scratch`] now and it has room for this one.
pub(super) fn next(shape: &[usize], dtype: DType) -> Result<Option<Tensor>> {
    let count: usize = shape.iter().product();
    let step = count.next_multiple_of(ALIGNMENT / dtype.size_in_bytes());
    STATE.with_borrow_mut(|state| match state {
        State::Off => Ok(None),
        State::Counting(counts) => {
            match counts.iter_mut().find(|(of, _)| *of == dtype) {
                Some((_, sum)) => *sum += step,
                None => counts.push((dtype, step)),
            }
            Ok(None)
        }
        State::Serving(rows) => {
            let Some((row, used)) = rows.iter_mut().find(|(row, _)| row.dtype() == dtype) else {
                return Ok(None);
            };
            if count == 0 || *used + step > row.elem_count() {
                return Ok(None);
            }
            let taken = row.narrow(0, *used, count)?.reshape(shape)?;
            *used += step;
            Ok(Some(taken))
        }
    })
}

/// Puts the state back when it is dropped, also by an error.
struct Switched;

impl Switched {
    fn to(state: State) -> Self {
        STATE.replace(state);
        Self
    }

    fn back(self) -> State {
        STATE.replace(State::Off)
    }
}

impl Drop for Switched {
    fn drop(&mut self) {
        STATE.replace(State::Off);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::address::{address, output};

    /// Three outputs of two types.
    fn made(like: &Tensor) -> Result<[Tensor; 3]> {
        let of = |shape: &[usize], dtype| output(shape, like, dtype);
        Ok([of(&[3, 5], DType::F32)?, of(&[7], DType::BF16)?, of(&[2], DType::F32)?])
    }

    #[test]
    fn a_series_lies_in_the_same_places_each_time_without_overlap_and_poisoned() {
        let like = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
        let scratch = Scratch::measured(&Device::Cpu, || made(&like).map(|_| ())).unwrap();
        assert_eq!(scratch.bytes(), 2 * ALIGNMENT + ALIGNMENT);
        let places = || {
            let made = scratch.serve(|| made(&like)).unwrap();
            for one in &made {
                let flat = one.flatten_all().unwrap();
                let numbers = flat.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
                assert!(numbers.iter().all(|x| x.is_nan()));
                flat.slice_set(&flat.zeros_like().unwrap(), 0, 0).unwrap();
            }
            made.map(|one| (address(&one).unwrap(), one.dims().to_vec()))
        };
        let first = places();
        assert_eq!(first, places());
        assert_eq!(first[2].0 - first[0].0, ALIGNMENT as u64);
        assert_eq!(first[0].1, [3, 5]);
        let [own, ..] = made(&like).unwrap();
        assert!(first.iter().all(|(place, _)| *place != address(&own).unwrap()), "the series is over");
    }

    #[test]
    fn what_does_not_fit_has_memory_of_its_own_and_an_error_ends_the_series() {
        let like = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
        let scratch =
            Scratch::measured(&Device::Cpu, || output(&[4], &like, DType::F32).map(|_| ())).unwrap();
        let from = address(&scratch.rows[0]).unwrap();
        let within = |x: &Tensor| (from..from + ALIGNMENT as u64).contains(&address(x).unwrap());
        let all = scratch.serve(|| {
            Ok([
                output(&[65], &like, DType::F32)?,
                output(&[4], &like, DType::F32)?,
                output(&[1], &like, DType::U32)?,
            ])
        });
        assert_eq!(all.unwrap().each_ref().map(within), [false, true, false]);
        let failed = scratch.serve(|| -> Result<()> { candle_core::bail!("on purpose") });
        assert!(failed.is_err() && !within(&output(&[4], &like, DType::F32).unwrap()));
    }
}
