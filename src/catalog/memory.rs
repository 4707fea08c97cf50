//! Memory that a model needs at a context length, and the longest context that fits: counting only.
//!
//! Comes in: a shape, a weight type, a length. Not here: what this box has (`device::memory`).
//! The bytes of weights and cache are exact; the allowance for everything else is stated at
//! [`Need`], and errs on the large side.

use candle_core::quantized::GgmlDType;

use crate::cli::Quantization;
use crate::model::attention::QUERY_BLOCK;
use crate::model::decoder::MICRO_BATCH;
use crate::model::shape::{DELTA_CHUNK, DeltaNetShape, MatrixGroup, ModelShape, Part};
use crate::weights::block_type::block_type;

mod card;

/// Tokens that prefill runs at once: activations never span more.
pub const PREFILL_CHUNK_TOKENS: u64 = MICRO_BATCH as u64;

/// The program itself, thread stacks, tokenizer and prompts.
const PROGRAM_BYTES: u64 = 128 << 20;

/// Bytes of an f32: norms, biases, activations, recurrent state.
const F32: u64 = 4;

/// Whose kernels run, and so what lies between the weights and the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// The processor's, and those of devices without kernels of their own.
    Processor,
    /// An NVIDIA card's.
    Card,
}

/// How a model is held in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Type of the matrices.
    pub quantization: Quantization,
    /// Bytes of a weight that is not quantized: 2 for bf16 and f16, 4 for f32.
    pub dtype_bytes: u64,
    /// Bytes of a key or value in the cache.
    pub kv_bytes_per_value: u64,
    /// Where it runs.
    pub kernels: Kernels,
}

impl Layout {
    /// Unquantized weights and cache in 16 bits, as the hub's files have them, on the processor.
    pub fn half(quantization: Quantization) -> Self {
        Self { quantization, dtype_bytes: 2, kv_bytes_per_value: 2, kernels: Kernels::Processor }
    }
}

/// What one loaded model takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// All weights.
    pub weights: u64,
    /// What the one packed copy of the CPU takes beyond the bytes of the file: the scales of Q4_K and Q5_K, which take
    /// a byte each there. Counted on every device.
    pub packing: u64,
    /// Keys and values of the context, and the state that does not grow with it.
    pub cache: u64,
    /// On the processor one prefill chunk in f32: the residual stream, one layer's projections, the scores of one block
    /// of query rows against the whole context, what a gated delta net holds of its chunks, one row of
    /// logits; and the program itself. On a card what its kernels hand on, for a longer chunk.
    pub activations: u64,
    /// The largest matrix in f32, held while it is converted or quantized for an accelerator; gone before the first
    /// request. The CPU converts some rows at a time.
    pub loading: u64,
}

impl Need {
    /// The most that is in use at one time: while loading, or while running.
    pub fn peak(&self) -> u64 {
        self.weights + self.loading.max(self.packing + self.cache + self.activations)
    }
}

fn matrix_bytes(matrices: &MatrixGroup, quantization: Quantization, dtype_bytes: u64) -> u64 {
    let kind = match matrices.part {
        Part::Small => return matrices.weights() * F32,
        _ => block_type(quantization, matrices.row_length),
    };
    let row = match kind {
        Some(kind) => (matrices.row_length / kind.block_size() * kind.type_size()) as u64,
        None => matrices.row_length as u64 * dtype_bytes,
    };
    matrices.count * matrices.rows * row
}

/// Bytes of all weights: matrices in their block type where the row length allows one and in
/// `dtype_bytes` where not, norms and biases in f32. A tied head counts once.
pub fn weight_bytes(shape: &ModelShape, quantization: Quantization, dtype_bytes: u64) -> u64 {
    let matrices = shape.matrices();
    shape.vector_parameters() * F32
        + matrices.iter().map(|m| matrix_bytes(m, quantization, dtype_bytes)).sum::<u64>()
}

/// Bytes that one decode step has to read with `depth` tokens in the cache: every weight that a token
/// is multiplied with, the keys and values, and the state (read and written).
pub fn decode_read_bytes(shape: &ModelShape, layout: Layout, depth: u64) -> u64 {
    let read = |m: &MatrixGroup| {
        let bytes = matrix_bytes(m, layout.quantization, layout.dtype_bytes);
        match m.part {
            Part::Head => bytes,
            Part::Embedding if shape.tie_embeddings => bytes,
            Part::Embedding => 0,
            Part::Every | Part::Expert | Part::Small => bytes / m.count * m.used,
        }
    };
    shape.vector_parameters() * F32
        + shape.matrices().iter().map(read).sum::<u64>()
        + depth * shape.kv_bytes_per_token(layout.kv_bytes_per_value)
        + 2 * shape.constant_state_bytes()
}

/// Four bytes more for each 256 weights of Q4_K and Q5_K: see `cpu::block`.
fn packing_bytes(matrices: &MatrixGroup, quantization: Quantization) -> u64 {
    let kind = block_type(quantization, matrices.row_length).filter(|_| matrices.part != Part::Small);
    match kind {
        Some(GgmlDType::Q4K | GgmlDType::Q5K) => matrices.weights() / 256 * 4,
        _ => 0,
    }
}

/// Bytes of scores that one more token of context adds to a block of query rows.
fn score_bytes_per_token(shape: &ModelShape) -> u64 {
    (QUERY_BLOCK * shape.heads) as u64 * F32
}

/// Numbers that one token of a prefill chunk takes in the feed-forward: three middles. In a mixture three
/// copies of its rows, too, one for each expert it goes to: sorted by expert, made, and joined.
fn feed_forward_width(shape: &ModelShape) -> usize {
    let dense = 3 * shape.intermediate_size.unwrap_or(0);
    let mixture = shape.experts.as_ref().map_or(0, |experts| {
        let middle = experts.width.max(experts.shared_width.unwrap_or(0));
        3 * middle + 3 * experts.used * shape.hidden_size + experts.count
    });
    dense + mixture
}

/// Numbers that one token of a prefill chunk takes in the widest mixer: in attention its queries (with
/// their gates, in a hybrid), keys, values and output; or what [`delta_net_width`] says.
fn mixer_width(shape: &ModelShape) -> usize {
    let (q, kv) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let gates = if shape.architecture.is_hybrid() { q } else { 0 };
    (2 * (q + kv) + gates).max(shape.delta_net.as_ref().map_or(0, delta_net_width))
}

/// Of a gated delta net: the convolution's input and output and the gate, eight tensors of
/// [tokens, value heads, head dimensions], and three chunk matrices of [value heads, chunk, chunk].
fn delta_net_width(net: &DeltaNetShape) -> usize {
    let projections = 2 * net.conv_channels() + net.value_channels();
    let heads = 8 * net.value_heads * net.key_dim.max(net.value_dim);
    projections + heads + 3 * net.value_heads * DELTA_CHUNK as usize
}

fn activation_bytes(shape: &ModelShape, context: u64) -> u64 {
    let per_token = (3 * shape.hidden_size + mixer_width(shape) + feed_forward_width(shape)) as u64 * F32;
    let logits = shape.vocab_size as u64 * F32;
    PREFILL_CHUNK_TOKENS * per_token + context * score_bytes_per_token(shape) + logits + PROGRAM_BYTES
}

/// What `shape` takes with a cache of `context` tokens.
pub fn needed_bytes(shape: &ModelShape, layout: Layout, context: u64) -> Need {
    let matrices = shape.matrices();
    Need {
        weights: weight_bytes(shape, layout.quantization, layout.dtype_bytes),
        packing: matrices.iter().map(|m| packing_bytes(m, layout.quantization)).sum(),
        cache: context * shape.kv_bytes_per_token(layout.kv_bytes_per_value) + shape.constant_state_bytes(),
        activations: match layout.kernels {
            Kernels::Processor => activation_bytes(shape, context),
            Kernels::Card => card::activation_bytes(shape, layout, context),
        },
        loading: matrices.iter().map(|m| m.rows * m.row_length as u64 * F32).max().unwrap_or(0),
    }
}

/// The longest context that fits `memory_bytes`, at most the model's own limit; `None` if not one token does.
pub fn largest_context(shape: &ModelShape, layout: Layout, memory_bytes: u64) -> Option<u64> {
    let fits = |context: u64| needed_bytes(shape, layout, context).peak() <= memory_bytes;
    let (mut fitting, mut beyond) = (0, shape.max_positions as u64 + 1);
    while beyond - fitting > 1 {
        let between = fitting + (beyond - fitting) / 2;
        match fits(between) {
            true => fitting = between,
            false => beyond = between,
        }
    }
    Some(fitting).filter(|tokens| *tokens > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shape::{qwen3_0_6b, qwen3_5_0_8b, qwen3_5_35b_a3b};

    fn qwen2_5_0_5b() -> ModelShape {
        ModelShape {
            architecture: crate::model::shape::Architecture::Qwen2,
            hidden_size: 896,
            layers: 24,
            heads: 14,
            kv_heads: 2,
            head_dim: 64,
            rotary_dim: None,
            intermediate_size: Some(4864),
            delta_net: None,
            experts: None,
            ..qwen3_0_6b()
        }
    }

    #[test]
    fn quantized_bytes_are_those_of_real_files() {
        // Tensor data of Qwen3-0.6B files by llama.cpp's quantizer, 10⁶ bytes: Q8_0 633, Q6_K 489.
        let shape = qwen3_0_6b();
        let megabytes = |q| weight_bytes(&shape, q, 2) / 1_000_000;
        assert_eq!((megabytes(Quantization::Q8_0), megabytes(Quantization::Q6K)), (633, 489));
        assert_eq!(megabytes(Quantization::Q4K), 335);
        // 65,536 norm weights are in f32, two bytes more each than in the file.
        assert_eq!(weight_bytes(&shape, Quantization::Native, 2), 2 * 596_049_920 + 2 * 65_536);
    }

    #[test]
    fn rows_that_k_quants_do_not_fit_cost_what_their_fallback_costs() {
        let shape = qwen2_5_0_5b();
        assert_eq!(shape.parameters(), 494_032_768);
        // Only ffn_down has rows of 4,864 = 19 × 256; all others have 896 and fall back to 5.5 bits.
        let down = 24 * 896 * 4864_u64;
        let vectors = shape.parameters() - shape.matrix_parameters_per_token() - shape.head_parameters();
        let others = shape.parameters() - vectors - down;
        let wanted = down * 144 / 256 + others * 22 / 32 + vectors * 4;
        assert_eq!(weight_bytes(&shape, Quantization::Q4K, 2), wanted);
    }

    #[test]
    fn the_largest_context_fits_and_one_more_token_does_not() {
        let shape = qwen3_0_6b();
        for quantization in [Quantization::Native, Quantization::Q8_0, Quantization::Q4K] {
            let layout = Layout::half(quantization);
            let memory = 4 << 30;
            let context = largest_context(&shape, layout, memory).unwrap();
            assert!(context < shape.max_positions as u64, "{context}");
            assert!(needed_bytes(&shape, layout, context).peak() <= memory);
            assert!(needed_bytes(&shape, layout, context + 1).peak() > memory);
        }
    }

    #[test]
    fn the_models_own_limit_and_too_little_memory_are_kept() {
        let (shape, layout) = (qwen3_0_6b(), Layout::half(Quantization::Q8_0));
        assert_eq!(largest_context(&shape, layout, 1 << 40), Some(40_960));
        assert_eq!(largest_context(&shape, layout, 1 << 29), None);
        assert_eq!(largest_context(&shape, layout, 0), None);
    }

    #[test]
    fn loading_counts_where_it_is_the_peak() {
        let need = needed_bytes(&qwen3_0_6b(), Layout::half(Quantization::Q4_0), 1);
        assert_eq!(need.packing, 0);
        assert_eq!(need.loading, 151_936 * 1024 * 4);
        assert_eq!(need.peak(), need.weights + need.loading);
    }

    #[test]
    fn decode_reads_a_tied_table_once_and_an_untied_embedding_never() {
        let (tied, layout) = (qwen3_0_6b(), Layout::half(Quantization::Q8_0));
        let untied = ModelShape { tie_embeddings: false, ..tied.clone() };
        assert_eq!(decode_read_bytes(&tied, layout, 0), weight_bytes(&tied, Quantization::Q8_0, 2));
        assert_eq!(decode_read_bytes(&untied, layout, 0), decode_read_bytes(&tied, layout, 0));
        let cache = decode_read_bytes(&tied, layout, 1000) - decode_read_bytes(&tied, layout, 0);
        assert_eq!(cache, 114_688_000);
    }

    #[test]
    fn routers_convolutions_and_norms_stay_in_f32() {
        let shape = qwen3_5_35b_a3b();
        let small: u64 = shape.matrices().iter().filter(|m| m.part == Part::Small).map(|m| m.weights()).sum();
        // 256 rows of the router and one of the shared expert's gate, in each of 40 layers.
        assert_eq!(small, 40 * 257 * 2048);
        let in_f32 = small + shape.vector_parameters();
        let blocks = (shape.parameters() - in_f32) / 32 * 34;
        assert_eq!(weight_bytes(&shape, Quantization::Q8_0, 2), blocks + 4 * in_f32);
        assert_eq!(weight_bytes(&shape, Quantization::Native, 2), 2 * shape.parameters() + 2 * in_f32);
    }

    #[test]
    fn all_experts_are_resident_and_few_are_read() {
        let (shape, layout) = (qwen3_5_35b_a3b(), Layout::half(Quantization::Q8_0));
        let resident = weight_bytes(&shape, layout.quantization, 2);
        let read = decode_read_bytes(&shape, layout, 0) - 2 * shape.constant_state_bytes();
        assert!((34e9..38e9).contains(&(resident as f64)), "{resident}");
        assert!((3.0e9..3.4e9).contains(&(read as f64)), "{read}");
        assert!(needed_bytes(&shape, layout, 1).peak() > resident);
    }

    #[test]
    fn rows_of_a_mixture_are_held_once_for_each_expert_they_go_to() {
        let shape = qwen3_5_35b_a3b();
        let mut twice = shape.clone();
        twice.experts.as_mut().unwrap().used *= 2;
        let activations = |shape| needed_bytes(shape, Layout::half(Quantization::Q8_0), 1).activations;
        assert_eq!(activations(&twice) - activations(&shape), 512 * 3 * 8 * 2048 * 4);
    }

    #[test]
    fn packing_costs_what_the_kernels_take() {
        use crate::cpu::{block::BlockType, packed::Packed};
        let columns = 1024;
        let group = MatrixGroup { part: Part::Every, count: 1, used: 1, rows: 32, row_length: columns };
        let kinds = [(Quantization::Q4K, BlockType::Q4K), (Quantization::Q5K, BlockType::Q5K)];
        for (quantization, kind) in kinds.into_iter().chain([(Quantization::Q8_0, BlockType::Q8_0)]) {
            let packed = Packed::pack(kind, 32, columns, |_, _| Ok::<(), ()>(())).unwrap();
            let stored = matrix_bytes(&group, quantization, 2);
            assert_eq!(packed.memory_bytes() as u64, stored + packing_bytes(&group, quantization));
        }
    }

    #[test]
    fn a_hybrids_state_counts_once_and_its_chunks_count_as_activations() {
        let (shape, layout) = (qwen3_5_0_8b(), Layout::half(Quantization::Q8_0));
        let need = |context| needed_bytes(&shape, layout, context);
        assert_eq!(need(0).cache, 20_201_472);
        assert_eq!(need(1000).cache - need(0).cache, 1000 * 12_288);
        // 16 heads of 128: the eight tensors alone are 8 · 16 · 128 numbers a token, 512 tokens at once.
        assert!(need(0).activations > PROGRAM_BYTES + 512 * 8 * 16 * 128 * 4);
        assert!(need(0).activations < 512 << 20);
    }
}
