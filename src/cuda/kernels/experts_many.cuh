// The feed-forwards of many tokens, expert by expert: two grouped products over tiles of rows, then a weighted
// sum.
//
// x (tokens, hidden) T -> middle (tokens · used, middle) T, rows in the order of `pairs`: silu(gate x) · up x
//                      -> made (tokens · used, hidden) T, rows by token and pick: down middle
//                      -> out (tokens, hidden) T: weights (tokens, used), rounded to T, times made, summed in f32
//                         in ascending order of expert. Each row is written once: nothing depends on an order.
//
// A block takes one tile of `experts_tiles` (64 rows of one expert) and 64 rows of weights: for gate and up 32
// of each, so that their product is at hand where they are. It goes through the columns 32 at a time, both
// sides in shared memory in f32, 4 × 4 sums a thread. Matrices of experts that nobody picked are not read;
// neighbouring blocks take the column strips of one tile, so that its rows come from the second-level cache.
//
// This form serves every type and every card: f32, and 16 bits where there are no tensor cores for them
// (experts_tensor.cuh). Bound by the FMA units: 2 · 3 · hidden · middle FLOP a pair; H100: 67 TFLOP/s at most,
// and half of that with what shared memory delivers. Gain expected: no trip to the host and 5 launches a layer
// in place of 4 an expert (1,000 and more); not measured: no GPU here.
#pragma once
#include "experts_group.cuh"
#include "experts_weights.cuh"

constexpr int EXPERTS_ROWS = 64, EXPERTS_STRIP = 64, EXPERTS_DEEP = 32, EXPERTS_PITCH = 64 + 4;

// Weights of T, or of blocks whose kind a launch says.
template <class T> struct ExpertsDense {
    static __device__ __forceinline__ void eight(ExpertsRow from, int columns, int column, int, float (&to)[8]) {
        const T* row = static_cast<const T*>(from.matrix) + (long long)from.row * columns;
        experts_eight(row + column, columns - column, to);
    }
};
struct ExpertsBlocks {
    static __device__ __forceinline__ void eight(ExpertsRow from, int columns, int column, int kind, float (&to)[8]) {
        with_kind(kind, [&](auto k) { experts_eight<decltype(k)>(from, columns, column, to); });
    }
};

// Where a block works: rows `first` to `first + rows` of `pairs`, of `expert`; none if rows is 0.
struct ExpertsTile {
    unsigned expert, first;
    int rows;
};

__device__ __forceinline__ ExpertsTile experts_tile(const uint2* tiles, const unsigned* offsets, unsigned tile,
                                                    int most) {
    const uint2 at = tiles[tile];
    if (at.x == EXPERTS_NO_TILE) return {0, 0, 0};
    const int left = int(offsets[at.x + 1] - at.y);
    return {at.x, at.y, left < most ? left : most};
}

// Sums of 64 rows times 64 rows of weights: thread (y, x) of 16 × 16 gets rows 4y.. and weights 4x..
// `row_at(i)`: row i of the tile, `weight_at(n)`: the matrix of which row `.row` is the n-th, null where there
// is none.
template <class T, class Weights, class RowAt, class WeightAt>
__device__ __forceinline__ void experts_sums(float (&sums)[4][4], int columns, int rows, int kind, RowAt row_at,
                                             WeightAt weight_at) {
    alignas(16) __shared__ float left[EXPERTS_DEEP][EXPERTS_PITCH], right[EXPERTS_DEEP][EXPERTS_PITCH];
    const int y = threadIdx.x / 16, x = threadIdx.x % 16;
    // What this thread brings: 8 columns of one row of each side.
    const int brings = threadIdx.x / 4, part = threadIdx.x % 4 * 8;
    const T* row = brings < rows ? row_at(brings) : nullptr;
    const ExpertsRow weight = weight_at(brings);
    for (int column = 0; column < columns; column += EXPERTS_DEEP) {
        float of_row[8] = {}, of_weight[8] = {};
        const int from = column + part, there = columns - from;
        if (row && there > 0) experts_eight(row + from, there, of_row);
        if (weight.matrix && there > 0) Weights::eight(weight, columns, from, kind, of_weight);
        __syncthreads();  // the last columns have been used
#pragma unroll
        for (int i = 0; i < 8; i++) {
            left[part + i][brings] = of_row[i];
            right[part + i][brings] = of_weight[i];
        }
        __syncthreads();
#pragma unroll 8
        for (int k = 0; k < EXPERTS_DEEP; k++) {
            const float4 a = *reinterpret_cast<const float4*>(&left[k][4 * y]);
            const float4 b = *reinterpret_cast<const float4*>(&right[k][4 * x]);
            const float rows_of[4] = {a.x, a.y, a.z, a.w}, weights_of[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
            for (int i = 0; i < 4; i++) {
#pragma unroll
                for (int j = 0; j < 4; j++) sums[i][j] += rows_of[i] * weights_of[j];
            }
        }
    }
}

// Grid: strips of 32 of the middle, tiles.
template <class T, class Weights>
__device__ __forceinline__ void experts_many_gate_up(const T* x, const unsigned long long* table,
                                                     const unsigned* pairs, const unsigned* offsets,
                                                     const uint2* tiles, T* out, int hidden, int middle, int used,
                                                     int kind) {
    const ExpertsTile tile = experts_tile(tiles, offsets, blockIdx.y, EXPERTS_ROWS);
    if (tile.rows == 0) return;
    const int strip = blockIdx.x * (EXPERTS_STRIP / 2);
    float sums[4][4] = {};
    const auto row_at = [&](int row) { return x + (long long)(pairs[tile.first + row] / used) * hidden; };
    // Of 4 weights side by side 2 are the gate's and 2 those of up.
    const auto weight_at = [&](int n) {
        const int row = strip + n / 4 * 2 + n % 2;
        return experts_row(row < middle ? table[3 * tile.expert + n % 4 / 2] : 0, row);
    };
    experts_sums<T, Weights>(sums, hidden, tile.rows, kind, row_at, weight_at);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int row = threadIdx.x / 16 * 4 + i;
        if (row >= tile.rows) break;
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const int column = strip + threadIdx.x % 16 * 2 + j;
            const float made = experts_silu(sums[i][j]) * sums[i][j + 2];
            if (column < middle) out[(long long)(tile.first + row) * middle + column] = narrow<T>(made);
        }
    }
}

// Grid: strips of 64 of the hidden, tiles.
template <class T, class Weights>
__device__ __forceinline__ void experts_many_down(const T* x, const unsigned long long* table, const unsigned* pairs,
                                                  const unsigned* offsets, const uint2* tiles, T* out, int hidden,
                                                  int middle, int, int kind) {
    const ExpertsTile tile = experts_tile(tiles, offsets, blockIdx.y, EXPERTS_ROWS);
    if (tile.rows == 0) return;
    const int strip = blockIdx.x * EXPERTS_STRIP;
    float sums[4][4] = {};
    const auto row_at = [&](int row) { return x + (long long)(tile.first + row) * middle; };
    const auto weight_at = [&](int n) {
        return experts_row(strip + n < hidden ? table[3 * tile.expert + 2] : 0, strip + n);
    };
    experts_sums<T, Weights>(sums, middle, tile.rows, kind, row_at, weight_at);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int row = threadIdx.x / 16 * 4 + i;
        if (row >= tile.rows) break;
        T* to = out + (long long)pairs[tile.first + row] * hidden;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int column = strip + threadIdx.x % 16 * 4 + j;
            if (column < hidden) to[column] = narrow<T>(sums[i][j]);
        }
    }
}

// made (tokens · used, hidden) -> out (tokens, hidden). A thread takes 8 columns of one token.
template <class T>
__device__ __forceinline__ void experts_mix(const T* made, const float* weights, T* out, int tokens, int hidden,
                                            int used) {
    const int strips = (hidden + 7) / 8;
    const long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= (long long)tokens * strips) return;
    const long long token = at / strips;
    const int column = int(at % strips) * 8, there = hidden - column;
    float sums[8] = {};
    for (int pick = 0; pick < used; pick++) {
        float row[8] = {};
        experts_eight(made + (token * used + pick) * hidden + column, there, row);
        const float weight = wide(narrow<T>(weights[token * used + pick]));
#pragma unroll
        for (int i = 0; i < 8; i++) sums[i] += weight * row[i];
    }
#pragma unroll
    for (int i = 0; i < 8; i++) {
        if (i < there) out[token * hidden + column + i] = narrow<T>(sums[i]);
    }
}

#define EXPERTS_MANY(what, name, T, Weights)                                                                     \
    extern "C" __global__ void __launch_bounds__(256)                                                            \
        experts_many_##what##_##name(const T* x, const unsigned long long* table, const unsigned* pairs,         \
                                     const unsigned* offsets, const uint2* tiles, T* out, int hidden, int middle, \
                                     int used, int kind) {                                                       \
        experts_many_##what<T, Weights>(x, table, pairs, offsets, tiles, out, hidden, middle, used, kind);       \
    }                                                                                                            \
    ENTRY(experts_many_##what##_##name);

EXPERTS_MANY(gate_up, f32, float, ExpertsDense<float>)
EXPERTS_MANY(gate_up, f16, f16, ExpertsDense<f16>)
EXPERTS_MANY(gate_up, bf16, bf16, ExpertsDense<bf16>)
EXPERTS_MANY(gate_up, blocks_f32, float, ExpertsBlocks)
EXPERTS_MANY(gate_up, blocks_f16, f16, ExpertsBlocks)
EXPERTS_MANY(gate_up, blocks_bf16, bf16, ExpertsBlocks)
EXPERTS_MANY(down, f32, float, ExpertsDense<float>)
EXPERTS_MANY(down, f16, f16, ExpertsDense<f16>)
EXPERTS_MANY(down, bf16, bf16, ExpertsDense<bf16>)
EXPERTS_MANY(down, blocks_f32, float, ExpertsBlocks)
EXPERTS_MANY(down, blocks_f16, f16, ExpertsBlocks)
EXPERTS_MANY(down, blocks_bf16, bf16, ExpertsBlocks)

#define EXPERTS_MIX(name, T)                                                                                     \
    extern "C" __global__ void __launch_bounds__(256)                                                            \
        experts_mix_##name(const T* made, const float* weights, T* out, int tokens, int hidden, int used) {      \
        experts_mix(made, weights, out, tokens, hidden, used);                                                   \
    }                                                                                                            \
    ENTRY(experts_mix_##name);

EXPERTS_MIX(f32, float)
EXPERTS_MIX(f16, f16)
EXPERTS_MIX(bf16, bf16)
