// The two grouped products of experts_many.cuh on tensor cores: bf16 and f16, from compute capability 8.0.
//
// What goes in and out is as there. A block of 4 warps takes a tile of ROWS (32, 64 or 128) rows of one expert
// and 64 rows of weights, and goes through the columns 64 at a time: two stages of both sides in shared memory,
// 16-byte pieces swizzled so that ldmatrix meets no bank twice. Rows of x are gathered by cp.async; so are
// dense weights; blocks of levels are turned into numbers of T on their way in. Warp (m, n) of 2 × 2 has every
// second 16 rows and 32 of the weights, for gate and up 16 of each, so that silu(gate) · up needs no other
// thread. Fragments of rows that a tile does not have are left out: an expert with few tokens costs what it
// reads, not a whole tile.
//
// Bound: with many rows an expert by the tensor cores, 2 · 3 · hidden · middle FLOP a pair, of which `mma.sync`
// reaches about 60 % on Hopper; shared memory gives 3 KiB to 16 products a warp and step, that is 24 of
// 128-byte cycles to 16 at full rate, about the same. With few rows by the bytes of the picked experts'
// weights. Blocks cost about 3 instructions a number and tile, which 128 rows make small. Gain expected: 5
// times the FMA form and more; not measured: no GPU here.
//
// Needs columns in multiples of 8 and addresses in multiples of 16; the launching side sees to it.
#pragma once
#include "experts_many.cuh"
#include "mma.cuh"

constexpr int TENSOR_THREADS = 128, TENSOR_STRIP = 64, TENSOR_DEEP = 64, TENSOR_STAGES = 2;

// 64 columns of `LINES` rows, in 16-byte pieces: piece p of row r stands at p ^ r % 8.
template <class T, int LINES> struct ExpertsStage {
    T numbers[LINES][TENSOR_DEEP];

    __device__ __forceinline__ T* piece(int line, int piece) { return &numbers[line][(piece ^ (line & 7)) * 8]; }
};

// What this thread brings of 64 rows of weights: piece thread % 8 of every 16th row.
// Dense weights come as they are.
template <class T> struct ExpertsCopied {
    template <class WeightAt>
    static __device__ __forceinline__ void bring(ExpertsStage<T, TENSOR_STRIP>& stage, WeightAt weight_at,
                                                 int columns, int column, int) {
#pragma unroll
        for (int line = threadIdx.x / 8; line < TENSOR_STRIP; line += TENSOR_THREADS / 8) {
            const ExpertsRow row = weight_at(line);
            const bool there = row.matrix && column < columns;
            const T* from = static_cast<const T*>(row.matrix) + (there ? (long long)row.row * columns + column : 0);
            copy_async(stage.piece(line, threadIdx.x % 8), from, there);
        }
    }
};

// Blocks are turned into numbers first.
template <class T> struct ExpertsTurned {
    template <class WeightAt>
    static __device__ __forceinline__ void bring(ExpertsStage<T, TENSOR_STRIP>& stage, WeightAt weight_at,
                                                 int columns, int column, int kind) {
        with_kind(kind, [&](auto k) {
#pragma unroll
            for (int line = threadIdx.x / 8; line < TENSOR_STRIP; line += TENSOR_THREADS / 8) {
                const ExpertsRow row = weight_at(line);
                float numbers[8] = {};
                if (row.matrix && column < columns) experts_eight<decltype(k)>(row, columns, column, numbers);
                uint4 packed;
                packed.x = pack<T>(numbers[0], numbers[1]);
                packed.y = pack<T>(numbers[2], numbers[3]);
                packed.z = pack<T>(numbers[4], numbers[5]);
                packed.w = pack<T>(numbers[6], numbers[7]);
                *reinterpret_cast<uint4*>(stage.piece(line, threadIdx.x % 8)) = packed;
            }
        });
    }
};

// Sums of a warp: fragment m is rows 16 · (2m + warp / 2 of the block), n is 8 weights.
template <class T, class Bring, int ROWS> struct ExpertsProduct {
    static constexpr int FRAGMENTS = ROWS / 32;
    float sums[FRAGMENTS][4][4] = {};

    // `row_at(i)`: which row of x is the i-th, of `there`. `weight_at` as in experts_sums.
    template <class RowAt, class WeightAt>
    __device__ __forceinline__ void run(const T* x, int there, int columns, int kind, RowAt row_at,
                                        WeightAt weight_at) {
        alignas(128) __shared__ ExpertsStage<T, ROWS> left[TENSOR_STAGES];
        alignas(128) __shared__ ExpertsStage<T, TENSOR_STRIP> right[TENSOR_STAGES];
        const int thread = threadIdx.x, steps = (columns + TENSOR_DEEP - 1) / TENSOR_DEEP;
        // Of every 16 lines one is this thread's. In registers: two stages of 128 rows fill the shared memory.
        int rows[ROWS / 16];
#pragma unroll
        for (int i = 0; i < ROWS / 16; i++) rows[i] = thread / 8 + 16 * i < there ? row_at(thread / 8 + 16 * i) : -1;
        const auto bring = [&](int step) {
            const int stage = step % TENSOR_STAGES, first = step * TENSOR_DEEP;
            const int column = first + thread % 8 * 8;
#pragma unroll
            for (int i = 0; i < ROWS / 16; i++) {
                const bool is = rows[i] >= 0 && column < columns;
                const T* from = x + (is ? (long long)rows[i] * columns + column : 0);
                copy_async(left[stage].piece(thread / 8 + 16 * i, thread % 8), from, is);
            }
            Bring::bring(right[stage], weight_at, columns, column, kind);
            copy_async_commit();
        };
        bring(0);
        for (int step = 0; step < steps; step++) {
            copy_async_wait<0>();
            __syncthreads();  // this stage is there, and nobody reads the other
            if (step + 1 < steps) bring(step + 1);
            multiply(left[step % TENSOR_STAGES], right[step % TENSOR_STAGES], there);
        }
    }

    __device__ __forceinline__ void multiply(ExpertsStage<T, ROWS>& left, ExpertsStage<T, TENSOR_STRIP>& right,
                                             int there) {
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
        for (int deep = 0; deep < TENSOR_DEEP / 16; deep++) {
            unsigned b[2][4];
#pragma unroll
            for (int pair = 0; pair < 2; pair++) {
                const int line = warp % 2 * 32 + pair * 16 + lane / 16 * 8 + lane % 8;
                load_matrices(b[pair], right.piece(line, deep * 2 + lane / 8 % 2));
            }
#pragma unroll
            for (int m = 0; m < FRAGMENTS; m++) {
                const int first = 16 * (2 * m + warp / 2);
                if (first >= there) break;
                unsigned a[4];
                load_matrices(a, left.piece(first + lane % 16, deep * 2 + lane / 16));
#pragma unroll
                for (int n = 0; n < 4; n++) {
                    const unsigned(&of)[4] = b[n / 2];
                    mma_16x8x16<T>(sums[m][n], a, of[n % 2 * 2], of[n % 2 * 2 + 1]);
                }
            }
        }
    }
};

// Grid: strips of 32 of the middle, tiles.
template <class T, class Bring, int ROWS>
__device__ __forceinline__ void experts_tensor_gate_up(const T* x, const unsigned long long* table,
                                                       const unsigned* pairs, const unsigned* offsets,
                                                       const uint2* tiles, T* out, int hidden, int middle, int used,
                                                       int kind) {
    const ExpertsTile tile = experts_tile(tiles, offsets, blockIdx.y, ROWS);
    if (tile.rows == 0) return;
    const auto row_at = [&](int row) { return int(pairs[tile.first + row] / used); };
    const int strip = blockIdx.x * (TENSOR_STRIP / 2);
    const unsigned long long gate = table[3 * tile.expert], up = table[3 * tile.expert + 1];
    // Of a warp's 32 weights 16 are the gate's and 16 those of up.
    const auto weight_at = [&](int n) {
        const int row = strip + n / 32 * 16 + n % 16;
        return experts_row(row >= middle ? 0 : n % 32 < 16 ? gate : up, row);
    };
    ExpertsProduct<T, Bring, ROWS> product;
    product.run(x, tile.rows, hidden, kind, row_at, weight_at);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int m = 0; m < ROWS / 32; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = 16 * (2 * m + warp / 2) + lane / 4 + 8 * half;
            if (row >= tile.rows) continue;
#pragma unroll
            for (int n = 0; n < 2; n++) {
                const int column = strip + warp % 2 * 16 + n * 8 + lane % 4 * 2;
                if (column >= middle) continue;
                const float* gates = &product.sums[m][n][2 * half];
                const float* ups = &product.sums[m][n + 2][2 * half];
                const unsigned both = pack<T>(experts_silu(gates[0]) * ups[0], experts_silu(gates[1]) * ups[1]);
                *reinterpret_cast<unsigned*>(out + (long long)(tile.first + row) * middle + column) = both;
            }
        }
    }
}

// Grid: strips of 64 of the hidden, tiles.
template <class T, class Bring, int ROWS>
__device__ __forceinline__ void experts_tensor_down(const T* x, const unsigned long long* table,
                                                    const unsigned* pairs, const unsigned* offsets,
                                                    const uint2* tiles, T* out, int hidden, int middle, int,
                                                    int kind) {
    const ExpertsTile tile = experts_tile(tiles, offsets, blockIdx.y, ROWS);
    if (tile.rows == 0) return;
    const auto row_at = [&](int row) { return int(tile.first) + row; };
    const int strip = blockIdx.x * TENSOR_STRIP;
    const unsigned long long down = table[3 * tile.expert + 2];
    const auto weight_at = [&](int n) { return experts_row(strip + n < hidden ? down : 0, strip + n); };
    ExpertsProduct<T, Bring, ROWS> product;
    product.run(x, tile.rows, middle, kind, row_at, weight_at);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int m = 0; m < ROWS / 32; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = 16 * (2 * m + warp / 2) + lane / 4 + 8 * half;
            if (row >= tile.rows) continue;
            T* to = out + (long long)pairs[tile.first + row] * hidden;
#pragma unroll
            for (int n = 0; n < 4; n++) {
                const int column = strip + warp % 2 * 32 + n * 8 + lane % 4 * 2;
                const float* made = &product.sums[m][n][2 * half];
                if (column < hidden) *reinterpret_cast<unsigned*>(to + column) = pack<T>(made[0], made[1]);
            }
        }
    }
}

#define EXPERTS_TENSOR(what, rows, name, T, Bring)                                                               \
    extern "C" __global__ void __launch_bounds__(TENSOR_THREADS)                                                 \
        experts_tensor_##what##_##rows##_##name(const T* x, const unsigned long long* table, const unsigned* pairs, \
                                                const unsigned* offsets, const uint2* tiles, T* out, int hidden, \
                                                int middle, int used, int kind) {                                \
        experts_tensor_##what<T, Bring, rows>(x, table, pairs, offsets, tiles, out, hidden, middle, used, kind); \
    }                                                                                                            \
    ENTRY(experts_tensor_##what##_##rows##_##name);
#define EXPERTS_TENSORS(rows, name, T, Bring)                                                                    \
    EXPERTS_TENSOR(gate_up, rows, name, T, Bring)                                                                \
    EXPERTS_TENSOR(down, rows, name, T, Bring)

EXPERTS_TENSORS(32, f16, f16, ExpertsCopied<f16>)
EXPERTS_TENSORS(64, f16, f16, ExpertsCopied<f16>)
EXPERTS_TENSORS(128, f16, f16, ExpertsCopied<f16>)
EXPERTS_TENSORS(32, bf16, bf16, ExpertsCopied<bf16>)
EXPERTS_TENSORS(64, bf16, bf16, ExpertsCopied<bf16>)
EXPERTS_TENSORS(128, bf16, bf16, ExpertsCopied<bf16>)
EXPERTS_TENSORS(32, blocks_f16, f16, ExpertsTurned<f16>)
EXPERTS_TENSORS(64, blocks_f16, f16, ExpertsTurned<f16>)
EXPERTS_TENSORS(128, blocks_f16, f16, ExpertsTurned<f16>)
EXPERTS_TENSORS(32, blocks_bf16, bf16, ExpertsTurned<bf16>)
EXPERTS_TENSORS(64, blocks_bf16, bf16, ExpertsTurned<bf16>)
EXPERTS_TENSORS(128, blocks_bf16, bf16, ExpertsTurned<bf16>)
