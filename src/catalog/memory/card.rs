//! What lies on a card between weights and cache while a model runs there.
//!
//! Counted after what `model` does there: the buffers that are alive at once in the widest part of a layer, for one
//! chunk of a prompt. Held to no measurement.

use super::{F32, Layout};
use crate::cli::Quantization;
use crate::model::attention::{HeadsKnown, known_on_card};
use crate::model::decoder::WIDE_BATCH;
use crate::model::delta_net::CARD_SEGMENT;
use crate::model::linear::CARD_TILE;
use crate::model::shape::{DELTA_CHUNK, DeltaNetShape, ModelShape};

/// The driver's context, the kernels' code and cuBLAS's workspace: an allowance.
const CONTEXT_BYTES: u64 = 512 << 20;

/// Numbers of a row of keys or values between the kernels of a delta net, whatever its heads.
const DELTA_ROW: usize = 128;

/// Bytes beside weights and cache with `context` tokens, of which a chunk is run at once.
pub(super) fn activation_bytes(shape: &ModelShape, layout: Layout, context: u64) -> u64 {
    let chunk = context.min(WIDE_BATCH as u64);
    let rows = chunk * per_token(shape, layout.dtype_bytes);
    let segment = chunk.next_multiple_of(DELTA_CHUNK).min(CARD_SEGMENT as u64);
    let nets = shape.delta_net.as_ref().map_or(0, |net| segment * delta_bytes_per_token(net));
    rows + nets + widened_bytes(layout) + context * per_position(shape) + logits(shape) + CONTEXT_BYTES
}

/// The residual stream, what is normed of it, and what a sublayer makes of that, with the wider of mixer and
/// feed-forward between.
fn per_token(shape: &ModelShape, number: u64) -> u64 {
    let rows = 4 * shape.hidden_size;
    let wide = attention_width(shape).max(delta_width(shape));
    (rows + wide).max(rows + feed_forward_width(shape)) as u64 * number + routed_bytes(shape)
}

/// Queries, keys, values, gates, and the mixed values.
fn attention_width(shape: &ModelShape) -> usize {
    let (q, kv) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let gates = if shape.architecture.is_hybrid() { q } else { 0 };
    2 * (q + kv) + gates
}

/// What the projections of a gated delta net made, and the answers.
fn delta_width(shape: &ModelShape) -> usize {
    let of = |net: &DeltaNetShape| net.conv_channels() + 2 * net.value_channels() + 2 * net.value_heads;
    shape.delta_net.as_ref().map_or(0, of)
}

/// Gate and up; of a mixture the middle and what comes of it for each expert that a token goes to.
fn feed_forward_width(shape: &ModelShape) -> usize {
    let dense = 2 * shape.intermediate_size.unwrap_or(0);
    let mixture = shape.experts.as_ref().map_or(0, |experts| {
        experts.used * (experts.width + shape.hidden_size) + 2 * experts.shared_width.unwrap_or(0)
    });
    dense + mixture
}

/// A row in f32 for the router, its scores, and what a pair of token and expert is sorted by.
fn routed_bytes(shape: &ModelShape) -> u64 {
    shape
        .experts
        .as_ref()
        .map_or(0, |experts| (shape.hidden_size + experts.count + 4 * experts.used) as u64 * F32)
}

/// What the kernels of a gated delta net hand on: rows of queries and keys, of values and of what is read of the
/// memory, and the scores within a chunk with its decays.
fn delta_bytes_per_token(net: &DeltaNetShape) -> u64 {
    let rows = 2 * (net.key_heads + net.value_heads) * DELTA_ROW;
    (rows + net.value_heads * (DELTA_CHUNK as usize + 2)) as u64 * F32
}

/// A tile of a quantized matrix, in the type of the activations.
fn widened_bytes(layout: Layout) -> u64 {
    if layout.quantization == Quantization::Native { 0 } else { CARD_TILE as u64 * layout.dtype_bytes }
}

/// Tables of angles; and where no kernel knows the heads, the scores of a block of queries.
fn per_position(shape: &ModelShape) -> u64 {
    let scores = match known_on_card(shape.head_dim) {
        HeadsKnown::Yes => 0,
        HeadsKnown::No => super::score_bytes_per_token(shape),
    };
    shape.rotary_dim() as u64 * F32 + scores
}

/// One row in the activations' type, in f32, and as the step keeps it.
fn logits(shape: &ModelShape) -> u64 {
    3 * shape.vocab_size as u64 * F32
}

#[cfg(test)]
mod tests {
    use super::super::{Kernels, largest_context, needed_bytes};
    use super::*;
    use crate::model::shape::{qwen3_0_6b, qwen3_5_0_8b, qwen3_5_35b_a3b};

    fn on_card(quantization: Quantization) -> Layout {
        Layout { kernels: Kernels::Card, ..Layout::half(quantization) }
    }

    fn activations(shape: &ModelShape, quantization: Quantization, context: u64) -> u64 {
        needed_bytes(shape, on_card(quantization), context).activations
    }

    #[test]
    fn a_chunk_counts_until_it_is_whole_and_then_only_the_positions() {
        let (shape, native) = (qwen3_0_6b(), Quantization::Native);
        let more =
            |context: u64| activations(&shape, native, context + 1) - activations(&shape, native, context);
        // Rows of 1,024 numbers; gate and up of 3,072 are as many as queries, keys, values and what is mixed of them.
        let row = 2 * (4 * 1024 + 2 * 3072);
        assert_eq!((more(0), more(4095)), (row + 128 * 4, row + 128 * 4));
        assert_eq!((more(4096), more(30_000)), (128 * 4, 128 * 4));
    }

    #[test]
    fn a_chunk_on_a_card_takes_more_than_the_processors_and_no_scores() {
        let shape = qwen3_0_6b();
        let processor =
            |context| needed_bytes(&shape, Layout::half(Quantization::Native), context).activations;
        assert!(activations(&shape, Quantization::Native, 4096) > processor(4096));
        let growth = |of: &dyn Fn(u64) -> u64| of(40_000) - of(8_000);
        assert!(
            growth(&|context| activations(&shape, Quantization::Native, context)) < growth(&processor) / 10
        );
        let odd = ModelShape { head_dim: 96, ..shape.clone() };
        let on_odd = |context| activations(&odd, Quantization::Native, context);
        assert!(growth(&on_odd) > 32_000 * (128 * 16 * 4), "scores of a block of queries");
    }

    #[test]
    fn quantized_matrices_are_widened_a_tile_at_a_time() {
        let of = |quantization| activations(&qwen3_0_6b(), quantization, 5000);
        assert_eq!(of(Quantization::Q4K) - of(Quantization::Native), 128 << 20);
    }

    #[test]
    fn nets_hand_on_a_segment_and_mixtures_a_row_for_each_expert() {
        let hybrid = qwen3_5_0_8b();
        let mut narrow = hybrid.clone();
        narrow.delta_net = None;
        let difference = activations(&hybrid, Quantization::Native, 8192)
            - activations(&narrow, Quantization::Native, 8192);
        // 16 heads of each kind: 4 rows of 128 words and 66 more for each of 2,048 tokens; wider projections besides.
        assert!(difference >= 2048 * 16 * (4 * 128 + 66) * 4, "{difference}");
        let mixture = qwen3_5_35b_a3b();
        let mut twice = mixture.clone();
        twice.experts.as_mut().unwrap().used *= 2;
        let of = |shape: &ModelShape| activations(shape, Quantization::Q8_0, 4096);
        assert_eq!(of(&twice) - of(&mixture), 4096 * 8 * (2 * (512 + 2048) + 16));
    }

    #[test]
    fn the_largest_context_fits_a_card_and_one_more_token_does_not() {
        // Within the first chunk, and beyond it; of the hybrid where it takes more than loading it did.
        for (shape, contexts) in [(qwen3_0_6b(), [1000, 30_000]), (qwen3_5_0_8b(), [80_000, 200_000])] {
            let layout = on_card(Quantization::Native);
            let at = |context| needed_bytes(&shape, layout, context).peak();
            for context in contexts {
                assert_eq!(largest_context(&shape, layout, at(context)), Some(context));
                assert_eq!(largest_context(&shape, layout, at(context) - 1), Some(context - 1));
            }
        }
    }
}
