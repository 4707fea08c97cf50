// Products of one row x (1, columns), rounded to 8 bits (blocks_levels.cuh), with matrices (rows,
// columns) in GGUF's blocks as a file has them: y = x · Wᵀ + b. Levels are multiplied four at a time in
// integers, scales in f32.
//
// For other files, all 32 lanes of a warp together:
//     float blocks_row_dot<Kind>(row, x, columns, lane)        one matrix row, the sum in every lane
//     float blocks_row_dot(kind, row, x, columns, lane)        the kind known at run time only
//     void blocks_dots<Kind, ROWS>(rows, x, columns, first, stride, sums)
//         several rows that share x: adds the share of lane `first` of `stride` lanes, a multiple of 32;
//         or of 8 or 16, when parts of the warp, in step, have rows of their own
//     size_t blocks_row_bytes(kind, columns)
// with Kind one of blocks::Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4K, Q5K, Q6K, numbered KIND_...; the matrix
// begins at a multiple of 16 bytes.
//
// Layout: a lane takes 16 bytes of levels of a block; a warp, so, 4 blocks of 256 weights or 16 to 32 of
// 32 weights side by side, of 4 rows (Q5_K, Q6_K: 2) at once, so that x is read from L1 once for them and 8
// loads of 16 bytes are in flight for a lane. 1, 2 or 4 warps take such a tile of rows; blocks of 4
// warps, as many as there are tiles. What lies at odd places comes in aligned pieces of 16 bytes and is
// shifted in registers: L1, not memory, is what misaligned loads would wait for at the rate of an H100.
// Bound by the bytes of weights: Q4_K at 2.5 TB/s needs a quarter of the instructions an H100 issues and
// about half of its L1's cycles, Q6_K about two thirds of them. Gain expected: 1.3 to 1.8 times
// llama.cpp's Q4_K_M decode, whose loads are of 2 or 4 bytes; not measured: no GPU here.
#pragma once
#include <type_traits>

#include "blocks_32.cuh"
#include "blocks_k.cuh"
#include "blocks_levels.cuh"
#include "gemv_dense.cuh"

constexpr int KIND_Q4_0 = 0, KIND_Q4_1 = 1, KIND_Q5_0 = 2, KIND_Q5_1 = 3, KIND_Q8_0 = 4;
constexpr int KIND_Q4K = 5, KIND_Q5K = 6, KIND_Q6K = 7;

// `work(K())` with K the kind that `kind` numbers.
template <class Work> __device__ __forceinline__ auto with_kind(int kind, Work work) {
    switch (kind) {
        case KIND_Q4_0: return work(blocks::Q4_0());
        case KIND_Q4_1: return work(blocks::Q4_1());
        case KIND_Q5_0: return work(blocks::Q5_0());
        case KIND_Q5_1: return work(blocks::Q5_1());
        case KIND_Q8_0: return work(blocks::Q8_0());
        case KIND_Q4K: return work(blocks::Q4K());
        case KIND_Q5K: return work(blocks::Q5K());
        default: return work(blocks::Q6K());
    }
}

__device__ __forceinline__ size_t blocks_row_bytes(int kind, int columns) {
    return with_kind(kind, [&](auto k) {
        return (size_t)(columns / decltype(k)::WEIGHTS) * decltype(k)::BYTES;
    });
}

template <class Kind, int ROWS>
__device__ __forceinline__ void blocks_dots(const uint8_t* const (&rows)[ROWS], const Levels& x, int columns,
                                            int first, int stride, float (&sums)[ROWS]) {
    const int piece = first % Kind::PIECES, count = columns / Kind::WEIGHTS, step = stride / Kind::PIECES;
    int index = first / Kind::PIECES;
    // As often for every lane. Beyond the last block, the last is taken again and left out.
#pragma unroll 1
    for (int of_warp = first / 32 * 32 / Kind::PIECES; of_warp < count; of_warp += step, index += step) {
        const int taken = min(index, count - 1);
        const size_t at = (size_t)taken * Kind::BYTES;
        typename Kind::Weights weights[ROWS];
#pragma unroll
        for (int row = 0; row < ROWS; row++) weights[row] = Kind::load(rows[row] + at, piece);
        loads_before();
        const typename Kind::Input input = Kind::input(x, taken, piece);
#pragma unroll
        for (int row = 0; row < ROWS; row++) {
            const unsigned address = reinterpret_cast<size_t>(rows[row] + at);
            const unsigned place = Kind::ALIGNED ? 0 : known_late(address);
            const float dot = Kind::dot(weights[row], input, place, piece);
            sums[row] += index < count ? dot : 0.0f;
        }
    }
}

template <class Kind>
__device__ __forceinline__ float blocks_row_dot(const uint8_t* row, const Levels& x, int columns, int lane) {
    const uint8_t* const rows[1] = {row};
    float sums[1] = {};
    blocks_dots<Kind, 1>(rows, x, columns, lane, 32, sums);
    return warp_sum(sums[0]);
}

__device__ __forceinline__ float blocks_row_dot(int kind, const uint8_t* row, const Levels& x, int columns,
                                                int lane) {
    return with_kind(kind, [&](auto k) { return blocks_row_dot<decltype(k)>(row, x, columns, lane); });
}

// The sums over a warp of ROWS (1, 2 or 4) numbers of each lane: lane l gets that of number l / (32 /
// ROWS).
template <int ROWS> __device__ __forceinline__ float sum_of_mine(float (&sums)[ROWS], int lane) {
    int step = 16;
#pragma unroll
    for (int half = ROWS / 2; half > 0; half /= 2, step /= 2) {
        const bool upper = lane & step;
#pragma unroll
        for (int i = 0; i < half; i++) {
            const float given = upper ? sums[i] : sums[i + half], kept = upper ? sums[i + half] : sums[i];
            sums[i] = kept + __shfl_xor_sync(ALL_LANES, given, step);
        }
    }
    for (; step > 0; step /= 2) sums[0] += __shfl_xor_sync(ALL_LANES, sums[0], step);
    return sums[0];
}

// The share of warp `part` of `split` in a tile of Kind::ROWS rows; those beyond the last repeat it.
template <class Kind>
__device__ __forceinline__ float tile_part(const Product& product, int tile, const Levels& x, int columns,
                                           int part, int split, int lane) {
    const size_t row_bytes = (size_t)(columns / Kind::WEIGHTS) * Kind::BYTES;
    const uint8_t* rows[Kind::ROWS];
    float sums[Kind::ROWS] = {};
#pragma unroll
    for (int i = 0; i < Kind::ROWS; i++) {
        const int row = min(tile * Kind::ROWS + i, product.rows - 1);
        rows[i] = static_cast<const uint8_t*>(product.weights) + row * row_bytes;
    }
    constexpr int LINES = 32 / Kind::ROWS;
    const uint8_t* first = static_cast<const uint8_t*>(product.weights) + tile * Kind::ROWS * row_bytes;
    if (tile * Kind::ROWS + lane / LINES < product.rows)
        ask_ahead(first + lane / LINES * row_bytes, row_bytes, part * LINES + lane % LINES);
    begin_after_previous();
    blocks_dots<Kind, Kind::ROWS>(rows, x, columns, part * 32 + lane, split * 32, sums);
    return sum_of_mine<Kind::ROWS>(sums, lane);
}

// All matrices are of kind Only, or, if that is void, each of the kind that it says.
template <class Only>
__device__ __forceinline__ void gemv_blocks(const Products& products, const void* levels, int columns,
                                            int shift) {
    __shared__ float parts[32 * GEMV_WARPS];
    const auto with = [](int kind, auto work) {
        if constexpr (std::is_void_v<Only>) return with_kind(kind, work);
        else return work(Only());
    };
    const auto rows_of = [&](const Product& one) {
        return with(one.kind, [](auto k) { return decltype(k)::ROWS; });
    };
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, split = 1 << shift, part = warp & (split - 1);
    int tile = blockIdx.x * (GEMV_WARPS >> shift) + (warp >> shift);
    const auto tiles = [&](const Product& one) { return (one.rows + rows_of(one) - 1) / rows_of(one); };
    const int which = matrix_of(products, tile, tiles);
    const bool there = tile < tiles(products.each[which]);
    float sum = 0.0f;
    if (there) {
        const Levels x = levels_of(levels, 1, columns, 0);
        sum = with(products.each[which].kind, [&](auto k) {
            return tile_part<decltype(k)>(products.each[which], tile, x, columns, part, split, lane);
        });
    }
    if (split > 1) {
        parts[threadIdx.x] = sum;
        __syncthreads();
        if (part == 0) {
            for (int other = 1; other < split; other++) sum += parts[threadIdx.x + 32 * other];
        }
    }
    const Product& product = products.each[which];
    const int lanes = 32 / rows_of(product), row = tile * rows_of(product) + lane / lanes;
    if (there && part == 0 && lane % lanes == 0 && row < product.rows) finish_row(product, row, sum);
}

// Blocks of a multiprocessor that registers are to suffice for: compilers for older cards need some more.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define GEMV_AT_ONCE(blocks) (blocks - 1)
#else
#define GEMV_AT_ONCE(blocks) blocks
#endif

#define GEMV_BLOCKS(name, Kind, AT_ONCE)                                                                 \
    extern "C" __global__ void __launch_bounds__(32 * GEMV_WARPS, GEMV_AT_ONCE(AT_ONCE))                 \
        gemv_blocks_##name(const __grid_constant__ Products products, const void* levels, int columns,   \
                           int shift) {                                                                  \
        gemv_blocks<Kind>(products, levels, columns, shift);                                             \
    }                                                                                                    \
    ENTRY(gemv_blocks_##name);

GEMV_BLOCKS(q4_0, blocks::Q4_0, 7)
GEMV_BLOCKS(q4_1, blocks::Q4_1, 7)
GEMV_BLOCKS(q5_0, blocks::Q5_0, 7)
GEMV_BLOCKS(q5_1, blocks::Q5_1, 7)
GEMV_BLOCKS(q8_0, blocks::Q8_0, 7)
GEMV_BLOCKS(q4k, blocks::Q4K, 7)
GEMV_BLOCKS(q5k, blocks::Q5K, 7)
GEMV_BLOCKS(q6k, blocks::Q6K, 7)
GEMV_BLOCKS(mixed, void, 6)
