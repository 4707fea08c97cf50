// The feed-forwards of one token: the matrices of its experts are found, read once and mixed in two launches.
//
// x (1, hidden) -> middle (used, middle): silu(gate x) · up x of each picked expert
//               -> out (1, hidden) T: weights (used), rounded to T, times down middle, summed in f32, in
//                  ascending order of expert, rounded once.
// x and middle are T where the matrices are dense T, and rounded to levels (blocks_levels.cuh) where they are
// blocks. Which experts, and where their matrices lie, is read from memory: `routes` and `table` (experts, 3:
// gate, up, down), so that a graph that holds these launches serves every token.
//
// First launch: a block of 16 warps for 32 rows of the middle of one pick, 2 a warp with gate and up side by
// side, so 4 rows of weights (Q5_K, Q6_K: 2) are under way in each warp at once and share what they read of x.
// 32 rows are one group of levels: the block rounds it itself. Second: a block of 8 warps for 4 rows of the
// hidden, a pick a warp and 2 rows for each half of it, whose 16 lanes are what 512 columns of 256-weight blocks
// keep busy; their sums meet in shared memory, in order. 64 registers a thread, so that a card has 32 warps a
// multiprocessor.
// Bound by the bytes of the picked experts: Qwen3.5-35B-A3B in Q4_K_M 14 to 16 MB a layer, 5 to 6 us at 2.8 TB/s,
// in 128 and 512 blocks, all at once on 132 multiprocessors. Gain expected: 2 launches a layer in place of 8 · 4
// and a synchronisation; not measured: no GPU here.
#pragma once
#include "experts_weights.cuh"
#include "gemv_blocks.cuh"
#include "gemv_dense.cuh"

constexpr int EXPERTS_GATE_WARPS = 16, EXPERTS_GATE_ROWS = 32, EXPERTS_DOWN_WARPS = 8, EXPERTS_DOWN_ROWS = 4;
constexpr int EXPERTS_DOWN_TEAM = 16;
constexpr int EXPERTS_MOST_USED = 64;

// Rows of dense matrices.
template <class T> struct ExpertsOneDense {
    struct X {
        const T* numbers;
    };
    static constexpr int TOGETHER = 4;

    static __device__ __forceinline__ X row_of(const void* x, int, int columns, int row) {
        return {static_cast<const T*>(x) + (size_t)row * columns};
    }
    static __device__ __forceinline__ size_t row_bytes(int columns) { return (size_t)columns * sizeof(T); }

    // Adds the share of lane `first` of `stride` in ROWS rows times x.
    template <int ROWS>
    static __device__ __forceinline__ void dots(const uint8_t* const (&rows)[ROWS], X x, int columns, int first,
                                                int stride, float (&sums)[ROWS]) {
        constexpr int COUNT = 16 / sizeof(T), AHEAD = 8 / ROWS;
        size_t ends = reinterpret_cast<size_t>(x.numbers);
#pragma unroll
        for (int row = 0; row < ROWS; row++) ends |= reinterpret_cast<size_t>(rows[row]);
        const int pieces = ends % 16 == 0 ? columns / COUNT : 0;
#pragma unroll 1
        for (int at = first; at < pieces; at += stride * AHEAD) {
            uint4 weights[AHEAD][ROWS];
#pragma unroll
            for (int ahead = 0; ahead < AHEAD; ahead++) {
                const int piece = at + stride * ahead;
#pragma unroll
                for (int row = 0; row < ROWS; row++) {
                    if (piece < pieces) weights[ahead][row] = stream16(rows[row] + (size_t)piece * 16);
                }
            }
#pragma unroll
            for (int ahead = 0; ahead < AHEAD; ahead++) {
                const int piece = at + stride * ahead;
                if (piece >= pieces) break;
                float numbers[COUNT];
                widen_some<T, COUNT>(x.numbers + (size_t)piece * COUNT, numbers);
#pragma unroll
                for (int row = 0; row < ROWS; row++) {
                    float wide_weights[COUNT];
                    widen16<T>(weights[ahead][row], wide_weights);
#pragma unroll
                    for (int i = 0; i < COUNT; i++) sums[row] += wide_weights[i] * numbers[i];
                }
            }
        }
        for (int at = pieces * COUNT + first; at < columns; at += stride) {
#pragma unroll
            for (int row = 0; row < ROWS; row++) {
                sums[row] += wide(reinterpret_cast<const T*>(rows[row])[at]) * wide(x.numbers[at]);
            }
        }
    }

    static __device__ __forceinline__ void keep_middle(const float* made, void* middle, int, int width, int pick,
                                                       int first) {
        const int row = first + threadIdx.x;
        if (threadIdx.x < EXPERTS_GATE_ROWS && row < width) {
            static_cast<T*>(middle)[(size_t)pick * width + row] = narrow<T>(made[threadIdx.x]);
        }
    }
};

// Rows of blocks.
template <class Kind, int ROWS_TOGETHER = 4> struct ExpertsOneBlocks {
    using X = Levels;
    // Rows of gate and up that a warp reads at once: what 64 registers hold.
    static constexpr int TOGETHER = ROWS_TOGETHER;

    static __device__ __forceinline__ X row_of(const void* x, int rows, int columns, int row) {
        return levels_of(x, rows, columns, row);
    }
    static __device__ __forceinline__ size_t row_bytes(int columns) {
        return (size_t)(columns / Kind::WEIGHTS) * Kind::BYTES;
    }
    template <int ROWS>
    static __device__ __forceinline__ void dots(const uint8_t* const (&rows)[ROWS], X x, int columns, int first,
                                                int stride, float (&sums)[ROWS]) {
        blocks_dots<Kind, ROWS>(rows, x, columns, first, stride, sums);
    }

    static __device__ __forceinline__ void keep_middle(const float* made, void* middle, int used, int width, int pick,
                                                       int first) {
        if (threadIdx.x >= 32) return;
        const bool there = threadIdx.x < EXPERTS_GATE_ROWS / 4;
        float some[4] = {};
        for (int i = 0; there && i < 4; i++) some[i] = made[4 * threadIdx.x + i];
        const size_t at = (size_t)pick * width + first;
        int8_t* levels = static_cast<int8_t*>(middle);
        float2* groups = reinterpret_cast<float2*>(levels + (size_t)used * width);
        round_group(some, there, reinterpret_cast<unsigned*>(levels + at) + threadIdx.x, groups + at / 32);
    }
};

// Grid: groups of 32 rows of the middle, picks.
template <class Side>
__device__ __forceinline__ void experts_one_gate_up(const void* x, const unsigned long long* table,
                                                    const unsigned* experts, void* out, int hidden, int middle) {
    begin_after_previous();
    __shared__ float made[EXPERTS_GATE_ROWS];
    constexpr int EACH = EXPERTS_GATE_ROWS / EXPERTS_GATE_WARPS;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int first = blockIdx.x * EXPERTS_GATE_ROWS, pick = blockIdx.y;
    const unsigned long long* matrices = table + 3 * (size_t)experts[pick];
    constexpr int PAIRS = Side::TOGETHER / 2;
#pragma unroll 1
    for (int pair = warp * EACH; pair < (warp + 1) * EACH; pair += PAIRS) {
        const uint8_t* rows[2 * PAIRS];
#pragma unroll
        for (int i = 0; i < PAIRS; i++) {
            // A row that is not there is another one's, once more.
            const size_t at = min(first + pair + i, middle - 1) * Side::row_bytes(hidden);
            rows[2 * i] = reinterpret_cast<const uint8_t*>(matrices[0]) + at;
            rows[2 * i + 1] = reinterpret_cast<const uint8_t*>(matrices[1]) + at;
        }
        float sums[2 * PAIRS] = {};
        Side::dots(rows, Side::row_of(x, 1, hidden, 0), hidden, lane, 32, sums);
#pragma unroll
        for (int i = 0; i < PAIRS; i++) {
            const float gate = warp_sum(sums[2 * i]), up = warp_sum(sums[2 * i + 1]);
            if (lane == 0) made[pair + i] = experts_silu(gate) * up;
        }
    }
    __syncthreads();
    Side::keep_middle(made, out, gridDim.y, middle, pick, first);
}

// Row threadIdx.x of what each pick made, times the pick's weight.
template <class T>
__device__ __forceinline__ T experts_mixed(const float* weights, const float (*made)[EXPERTS_DOWN_ROWS], int used) {
    float sum = 0.0f;
    for (int pick = 0; pick < used; pick++) sum += wide(narrow<T>(weights[pick])) * made[pick][threadIdx.x];
    return narrow<T>(sum);
}

// Grid: fours of rows of the hidden. `type`: that of x and of out (TYPE_...).
template <class Side>
__device__ __forceinline__ void experts_one_down(const void* x, const unsigned long long* table,
                                                 const unsigned* experts, const float* weights, void* out,
                                                 int hidden, int middle, int used, int type) {
    begin_after_previous();
    __shared__ float made[EXPERTS_MOST_USED][EXPERTS_DOWN_ROWS];
    constexpr int TEAM = EXPERTS_DOWN_TEAM, EACH = EXPERTS_DOWN_ROWS * TEAM / 32;
    const int lane = threadIdx.x % TEAM, team = threadIdx.x % 32 / TEAM, warp = threadIdx.x / 32;
    const int first = blockIdx.x * EXPERTS_DOWN_ROWS;
    for (int pick = warp; pick < used; pick += EXPERTS_DOWN_WARPS) {
        const unsigned long long down = table[3 * (size_t)experts[pick] + 2];
        const uint8_t* rows[EACH];
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            const int row = min(first + team * EACH + i, hidden - 1);
            rows[i] = reinterpret_cast<const uint8_t*>(down) + row * Side::row_bytes(middle);
        }
        float sums[EACH] = {};
        Side::dots(rows, Side::row_of(x, used, middle, pick), middle, lane, TEAM, sums);
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            for (int step = TEAM / 2; step > 0; step /= 2) sums[i] += __shfl_xor_sync(ALL_LANES, sums[i], step);
            if (lane == 0) made[pick][team * EACH + i] = sums[i];
        }
    }
    __syncthreads();
    const int row = first + threadIdx.x;
    if (threadIdx.x >= EXPERTS_DOWN_ROWS || row >= hidden) return;
    if (type == TYPE_F32) static_cast<float*>(out)[row] = experts_mixed<float>(weights, made, used);
    else if (type == TYPE_F16) static_cast<f16*>(out)[row] = experts_mixed<f16>(weights, made, used);
    else static_cast<bf16*>(out)[row] = experts_mixed<bf16>(weights, made, used);
}

#define EXPERTS_ONE_GATE_UP(name, ...)                                                                           \
    extern "C" __global__ void __launch_bounds__(32 * EXPERTS_GATE_WARPS, 2)                                        \
        experts_one_gate_up_##name(const void* x, const unsigned long long* table, const unsigned* experts, void* out, \
                                   int hidden, int middle) {                                                     \
        experts_one_gate_up<__VA_ARGS__>(x, table, experts, out, hidden, middle);                                \
    }                                                                                                            \
    ENTRY(experts_one_gate_up_##name);
#define EXPERTS_ONE_DOWN(name, ...)                                                                              \
    extern "C" __global__ void __launch_bounds__(32 * EXPERTS_DOWN_WARPS, 4)                                       \
        experts_one_down_##name(const void* x, const unsigned long long* table, const unsigned* experts,         \
                                const float* weights, void* out, int hidden, int middle, int used, int type) {   \
        experts_one_down<__VA_ARGS__>(x, table, experts, weights, out, hidden, middle, used, type);              \
    }                                                                                                            \
    ENTRY(experts_one_down_##name);
#define EXPERTS_ONE(name, ...)                                                                                   \
    EXPERTS_ONE_GATE_UP(name, __VA_ARGS__)                                                                       \
    EXPERTS_ONE_DOWN(name, __VA_ARGS__)

EXPERTS_ONE(f32, ExpertsOneDense<float>)
EXPERTS_ONE(f16, ExpertsOneDense<f16>)
EXPERTS_ONE(bf16, ExpertsOneDense<bf16>)
EXPERTS_ONE(q4_0, ExpertsOneBlocks<blocks::Q4_0>)
EXPERTS_ONE(q4_1, ExpertsOneBlocks<blocks::Q4_1>)
EXPERTS_ONE(q5_0, ExpertsOneBlocks<blocks::Q5_0>)
EXPERTS_ONE(q5_1, ExpertsOneBlocks<blocks::Q5_1>)
EXPERTS_ONE(q8_0, ExpertsOneBlocks<blocks::Q8_0>)
EXPERTS_ONE(q4k, ExpertsOneBlocks<blocks::Q4K>)
EXPERTS_ONE(q5k, ExpertsOneBlocks<blocks::Q5K, 2>)
EXPERTS_ONE(q6k, ExpertsOneBlocks<blocks::Q6K, 2>)
