//! What one gated delta net remembers: a few rows for its convolution and one matrix a head.
//!
//! Its size does not grow with the tokens seen. It cannot go back in time either: a copy is taken
//! before, and restored. The arithmetic on it is in [`delta_net`](super::delta_net).

use candle_core::{DType, Device, Result, Tensor};

use super::kernels::read;

/// Heads of a gated delta net, and the width of its convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaHeads {
    /// Heads of queries and keys.
    pub key_heads: usize,
    /// Heads of values, a multiple of `key_heads`.
    pub value_heads: usize,
    /// Dimensions of a query or key.
    pub key_dim: usize,
    /// Dimensions of a value.
    pub value_dim: usize,
    /// Tokens that the convolution sees, the present one included.
    pub conv_width: usize,
}

impl DeltaHeads {
    /// Channels of all keys; queries have as many.
    pub fn key_channels(&self) -> usize {
        self.key_heads * self.key_dim
    }

    /// Channels of all values.
    pub fn value_channels(&self) -> usize {
        self.value_heads * self.value_dim
    }

    /// Channels that the convolution runs over: queries, keys, values.
    pub fn conv_channels(&self) -> usize {
        2 * self.key_channels() + self.value_channels()
    }

    /// Value heads that share a key head.
    pub fn group(&self) -> usize {
        self.value_heads / self.key_heads
    }
}

/// Which key head a value head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueHeadOrder {
    /// Head j reads key head j / r: safetensors, and GGUF of `qwen3next`.
    Grouped,
    /// Head j reads key head j mod key_heads: GGUF of `qwen35` and `qwen35moe`.
    Tiled,
}

impl ValueHeadOrder {
    /// The key head that value head `value_head` reads.
    pub fn key_head(self, value_head: usize, heads: &DeltaHeads) -> usize {
        match self {
            Self::Grouped => value_head / heads.group(),
            Self::Tiled => value_head % heads.key_heads,
        }
    }

    /// `x` (key_heads, …) repeated to (value_heads, …), contiguous.
    pub(super) fn expand(self, x: &Tensor, heads: &DeltaHeads) -> Result<Tensor> {
        let axis = match self {
            Self::Grouped => 1,
            Self::Tiled => 0,
        };
        let mut repeated = x.dims().to_vec();
        repeated.insert(axis, heads.group());
        let mut joined = x.dims().to_vec();
        joined[0] = heads.value_heads;
        x.unsqueeze(axis)?.broadcast_as(repeated)?.contiguous()?.reshape(joined)
    }
}

/// The memory of one layer, allocated once.
#[derive(Debug)]
pub struct DeltaState {
    heads: DeltaHeads,
    /// (width − 1, channels), oldest first, before convolution and activation.
    conv: Tensor,
    /// (value_heads, key_dim + 1, value_dim) f32: the last row of a head receives its output when a
    /// single token is mixed in place.
    memory: Tensor,
    /// (key_heads,) u32 zeros, by which a card's blocks count themselves within one step.
    arrivals: Tensor,
}

impl DeltaState {
    /// Zeros; the rows of the convolution are kept in `dtype`, that of the activations.
    pub fn new(heads: DeltaHeads, dtype: DType, device: &Device) -> Result<Self> {
        let rows = heads.conv_width.saturating_sub(1);
        let memory = (heads.value_heads, heads.key_dim + 1, heads.value_dim);
        Ok(Self {
            heads,
            conv: Tensor::zeros((rows, heads.conv_channels()), dtype, device)?,
            memory: zeros_for_vectors(memory, device)?,
            arrivals: Tensor::zeros(heads.key_heads, DType::U32, device)?,
        })
    }

    /// Back to zeros; the memory stays.
    pub fn reset(&mut self) -> Result<()> {
        self.conv.zero_set()?;
        self.memory.zero_set()
    }

    /// A snapshot that shares nothing with this state.
    pub fn copy(&self) -> Result<Self> {
        let (conv, memory) = (self.conv.force_contiguous()?, self.memory.force_contiguous()?);
        Ok(Self { heads: self.heads, conv, memory, arrivals: self.arrivals.clone() })
    }

    /// Takes over what `from` holds; the memory stays. Errors if the shapes differ.
    pub fn restore(&mut self, from: &Self) -> Result<()> {
        if self.heads != from.heads {
            candle_core::bail!("a state of {:?} cannot take over one of {:?}", self.heads, from.heads);
        }
        self.conv.slice_set(&from.conv, 0, 0)?;
        self.memory.slice_set(&from.memory, 0, 0)
    }

    /// The matrices of all heads (value_heads, key_dim, value_dim), heads in the order stored: a
    /// view, which later tokens change.
    pub fn recurrent(&self) -> Result<Tensor> {
        self.memory.narrow(1, 0, self.heads.key_dim)
    }

    /// The last rows before the convolution (width − 1, channels), oldest first.
    pub fn conv(&self) -> Result<Tensor> {
        Ok(self.conv.clone())
    }

    /// The rows before the convolution, which a kernel writes in place.
    pub(super) fn rows(&self) -> &Tensor {
        &self.conv
    }

    /// Matrices with one more row a head, which a kernel writes in place.
    pub(super) fn memory(&self) -> &Tensor {
        &self.memory
    }

    /// (key_heads,) u32: zeros between steps.
    pub(super) fn arrivals(&self) -> &Tensor {
        &self.arrivals
    }

    /// Replaces the matrices by `recurrent` (value_heads, key_dim, value_dim), contiguous.
    pub(super) fn store(&mut self, recurrent: &Tensor) -> Result<()> {
        self.memory.slice_set(recurrent, 1, 0)
    }

    /// Keeps the last rows of `x` (tokens, channels) for the convolution of the next tokens.
    pub(super) fn push(&mut self, x: &Tensor) -> Result<()> {
        let (tokens, rows) = (x.dim(0)?, self.conv.dim(0)?);
        if rows == 0 {
            return Ok(());
        }
        let last = match tokens < rows {
            true => Tensor::cat(&[&self.conv.narrow(0, tokens, rows - tokens)?, x], 0)?,
            false => x.narrow(0, tokens - rows, rows)?,
        };
        self.conv.slice_set(&last, 0, 0)
    }
}

/// Zeros which on the CPU begin where a vector of 64 bytes may begin: one that lies across two cache lines costs
/// two reads.
fn zeros_for_vectors(shape: (usize, usize, usize), device: &Device) -> Result<Tensor> {
    const VECTOR: usize = 64;
    let count = shape.0 * shape.1 * shape.2;
    if !device.is_cpu() {
        return Tensor::zeros(shape, DType::F32, device);
    }
    let room = Tensor::zeros(count + VECTOR / size_of::<f32>(), DType::F32, device)?;
    let skipped = read(&room)?.slice()?.as_ptr().align_offset(VECTOR).min(VECTOR / size_of::<f32>());
    room.narrow(0, skipped, count)?.reshape(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: DeltaHeads =
        DeltaHeads { key_heads: 1, value_heads: 2, key_dim: 2, value_dim: 3, conv_width: 4 };

    fn rows(from: usize, count: usize) -> Tensor {
        let values = (from..from + count).flat_map(|t| vec![t as f32; HEADS.conv_channels()]).collect();
        Tensor::from_vec(values, (count, HEADS.conv_channels()), &Device::Cpu).unwrap()
    }

    fn first_channel(state: &DeltaState) -> Vec<f32> {
        let column = state.conv().unwrap().narrow(1, 0, 1).unwrap();
        column.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn the_last_rows_stay_however_the_tokens_come() {
        let mut state = DeltaState::new(HEADS, DType::F32, &Device::Cpu).unwrap();
        state.push(&rows(1, 1)).unwrap();
        assert_eq!(first_channel(&state), [0.0, 0.0, 1.0]);
        state.push(&rows(2, 2)).unwrap();
        assert_eq!(first_channel(&state), [1.0, 2.0, 3.0]);
        state.push(&rows(4, 9)).unwrap();
        assert_eq!(first_channel(&state), [10.0, 11.0, 12.0]);
    }

    #[test]
    fn a_copy_is_not_touched_by_what_follows_and_can_be_restored() {
        let device = Device::Cpu;
        let mut state = DeltaState::new(HEADS, DType::F32, &device).unwrap();
        state.push(&rows(1, 3)).unwrap();
        state.store(&Tensor::full(2f32, (2, 2, 3), &device).unwrap()).unwrap();
        let snapshot = state.copy().unwrap();
        state.reset().unwrap();
        assert_eq!(first_channel(&state), [0.0; 3]);
        assert_eq!(state.recurrent().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap(), 0.0);
        state.restore(&snapshot).unwrap();
        assert_eq!(first_channel(&state), [1.0, 2.0, 3.0]);
        assert_eq!(state.recurrent().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap(), 24.0);
        state.reset().unwrap();
        assert_eq!(first_channel(&snapshot), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_state_of_other_heads_is_refused() {
        let mut state = DeltaState::new(HEADS, DType::F32, &Device::Cpu).unwrap();
        let other = DeltaHeads { value_heads: 1, ..HEADS };
        assert!(state.restore(&DeltaState::new(other, DType::F32, &Device::Cpu).unwrap()).is_err());
    }

    #[test]
    fn heads_are_repeated_as_they_are_read() {
        let heads = DeltaHeads { key_heads: 2, value_heads: 6, ..HEADS };
        let keys = Tensor::new(&[[[0f32]], [[1.0]]], &Device::Cpu).unwrap();
        for order in [ValueHeadOrder::Grouped, ValueHeadOrder::Tiled] {
            let expanded = order.expand(&keys, &heads).unwrap();
            assert_eq!(expanded.dims(), [6, 1, 1]);
            let read: Vec<f32> = (0..6).map(|j| order.key_head(j, &heads) as f32).collect();
            assert_eq!(expanded.flatten_all().unwrap().to_vec1::<f32>().unwrap(), read);
        }
        assert_eq!(ValueHeadOrder::Grouped.key_head(2, &heads), 0);
        assert_eq!(ValueHeadOrder::Tiled.key_head(2, &heads), 0);
        assert_eq!(ValueHeadOrder::Grouped.key_head(3, &heads), 1);
        assert_eq!(ValueHeadOrder::Tiled.key_head(1, &heads), 1);
    }
}
