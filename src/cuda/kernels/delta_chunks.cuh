// The memory of a gated delta net through the chunks of many tokens, one after the other.
//
// With what delta_prepare.cuh left, per chunk and value head, s the decay since the chunk's start and e that to its
// end:
//   V' = U - W S;   O = s q S + P V';   S ← s_last S + kᵀ (e V')
//
// A block is a value head and 8 · N of its columns, which need no others. Eight warps: first, warps 0 … 3 make 16
// rows each of V', warps 4 … 7 of q S; then each moves 16 rows of S on, which it holds in registers all along, and
// warps 4 … 7 finish O. S and V' pass from warp to warp through shared memory, 35 kB, with two waits a chunk. Left
// operands are read by one warp only, so they come from global memory into registers, in quads, those of the next
// chunk while this one's S moves on.
//
// Bound at 32 value heads of 128, slices of 32: a chunk takes a block 0.9 M multiplications, times three on tensor
// cores: 336 products a quarter of an SM, about 2,000 cycles, 1.2 us; and 128 blocks read 14 MB of W, q, k, P and U
// from the L2, 2.6 us at 5.5 TB/s: 0.04 us a token. Without tensor cores (exact) about 17 us a chunk. Gain expected:
// 0.04 us a token and layer, about 0.1 with the kernels around it, against 0.63 of llama.cpp's token-by-token
// kernel; not measured: no GPU here.
#pragma once
#include "delta_convolve.cuh"
#include "delta_prepare.cuh"

// c[n] += left times rows `first` … first + 15, columns 8n …, of shared words.
template <class P, int N>
__device__ __forceinline__ void delta_multiply(float (&c)[N][4], const typename P::Left& left, const unsigned* words,
                                               int first) {
    constexpr int STRIDE = 8 * N + 2;  // 4 · STRIDE = 8 modulo 32: lanes' columns lie in different banks
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    typename P::Right right[N];
#pragma unroll
    for (int n = 0; n < N; n++) {
        right[n] = P::right(delta_column(words + (first + 4 * t) * STRIDE + 8 * n + g, STRIDE));
    }
    P::multiply(c, left, right);
}

// Sums of 16 rows, each times its half's scale, as words.
template <class P, int N>
__device__ __forceinline__ void delta_store_words(unsigned* words, int first, const float (&c)[N][4], float upper,
                                                  float lower) {
    constexpr int STRIDE = 8 * N + 2;
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    unsigned* to = words + (first + g) * STRIDE + 2 * t;
#pragma unroll
    for (int n = 0; n < N; n++) {
        const uint2 above = make_uint2(P::word(c[n][0] * upper), P::word(c[n][1] * upper));
        const uint2 below = make_uint2(P::word(c[n][2] * lower), P::word(c[n][3] * lower));
        *reinterpret_cast<uint2*>(to + 8 * n) = above;
        *reinterpret_cast<uint2*>(to + 8 * STRIDE + 8 * n) = below;
    }
}

// 16 rows of f32 numbers.
template <int N>
__device__ __forceinline__ void delta_load_sums(float (&c)[N][4], const float* from) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int n = 0; n < N; n++) {
        const float2 above = *reinterpret_cast<const float2*>(from + g * DELTA_ROW + 8 * n + 2 * t);
        const float2 below = *reinterpret_cast<const float2*>(from + (g + 8) * DELTA_ROW + 8 * n + 2 * t);
        c[n][0] = above.x, c[n][1] = above.y, c[n][2] = below.x, c[n][3] = below.y;
    }
}
template <int N>
__device__ __forceinline__ void delta_store_sums(float* to, const float (&c)[N][4]) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int n = 0; n < N; n++) {
        *reinterpret_cast<float2*>(to + g * DELTA_ROW + 8 * n + 2 * t) = make_float2(c[n][0], c[n][1]);
        *reinterpret_cast<float2*>(to + (g + 8) * DELTA_ROW + 8 * n + 2 * t) = make_float2(c[n][2], c[n][3]);
    }
}

// Which of a head's memory (key_dim, value_dim) sum i of column block n is; none beyond it.
__device__ __forceinline__ float* delta_place(float* memory, int row, int column, int n, int i,
                                              const DeltaShape& shape) {
    const int lane = threadIdx.x % 32;
    row += lane / 4 + 8 * (i / 2);
    column += 8 * n + lane % 4 * 2 + i % 2;
    return row < shape.key_dim && column < shape.value_dim ? memory + row * shape.value_dim + column : nullptr;
}

// queries, keys, reads, within, gates as delta_prepare has them; values (value_heads, chunks · 64, DELTA_ROW): U, becomes
// O; memory (value_heads, key_dim + 1, value_dim). The grid's slices cover value_dim.
template <class P, int N>
__device__ __forceinline__ void delta_chunks(const unsigned* queries, const unsigned* keys, const unsigned* reads,
                                             const unsigned* within, const float* gates, float* values, float* memory,
                                             int chunks, int key_width, const DeltaShape& shape) {
    constexpr int STRIDE = 8 * N + 2;
    // Pairs of words are written at once.
    alignas(8) __shared__ unsigned state[DELTA_MOST_DIM * STRIDE];
    alignas(8) __shared__ unsigned corrections[DELTA_CHUNK * STRIDE];
    alignas(8) __shared__ unsigned kept[DELTA_CHUNK * STRIDE];
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, warp = threadIdx.x / 32;
    const int head = blockIdx.x, key_head = delta_key_head(shape, head), column = blockIdx.y * 8 * N;
    const int block = warp % DELTA_BLOCKS, row = 16 * block, key_row = 16 * warp;  // rows of tokens, and of S
    const bool answers = warp >= DELTA_BLOCKS, owns = key_row < key_width;

    memory += (long long)head * (shape.key_dim + 1) * shape.value_dim;
    values += (long long)head * chunks * DELTA_CHUNK * DELTA_ROW + column;
    gates += (long long)head * chunks * 2 * DELTA_CHUNK;
    within += ((long long)head * chunks * DELTA_CHUNK + row) * DELTA_CHUNK;
    keys += (long long)key_head * chunks * DELTA_CHUNK * DELTA_ROW;
    const unsigned* rows = answers ? queries + (long long)key_head * chunks * DELTA_CHUNK * DELTA_ROW
                                   : reads + (long long)head * chunks * DELTA_CHUNK * DELTA_ROW;
    rows += row * DELTA_ROW;

    float s[N][4] = {};
#pragma unroll
    for (int n = 0; n < N; n++) {
        for (int i = 0; i < 4; i++) {
            const float* from = delta_place(memory, key_row, column, n, i, shape);
            if (from) s[n][i] = *from;
        }
    }
    if (owns) delta_store_words<P, N>(state, key_row, s, 1.0f, 1.0f);
    DeltaLeftQuads left;
    left.load(rows, key_width);
    __syncthreads();

    for (int chunk = 0; chunk < chunks; chunk++) {
        // Asked for here, used after the first products.
        const float* scales = gates + chunk * 2 * DELTA_CHUNK + (answers ? 0 : DELTA_CHUNK) + row + g;
        const float above = scales[0], below = scales[8], last = gates[chunk * 2 * DELTA_CHUNK + DELTA_CHUNK - 1];
        uint4 key_upper[DELTA_BLOCKS], key_lower[DELTA_BLOCKS], near_upper[DELTA_BLOCKS], near_lower[DELTA_BLOCKS];
#pragma unroll
        for (int k = 0; k < DELTA_BLOCKS; k++) {
            if (owns) {
                const unsigned* key = keys + (16 * k + 4 * t) * DELTA_ROW + key_row + g;
                key_upper[k] = delta_column(key, DELTA_ROW);
                key_lower[k] = delta_column(key + 8, DELTA_ROW);
            }
            if (answers && k <= block) {
                const unsigned* near = within + g * DELTA_CHUNK + 16 * k + 4 * t;
                near_upper[k] = delta_quad(near);
                near_lower[k] = delta_quad(near + 8 * DELTA_CHUNK);
            }
        }
        float c[N][4] = {}, u[N][4] = {};
        if (!answers) delta_load_sums<N>(u, values + row * DELTA_ROW);

#pragma unroll
        for (int k = 0; k < DeltaLeftQuads::STEPS; k++) {
            if (16 * k < key_width) delta_multiply<P, N>(c, P::left(left.upper[k], left.lower[k]), state, 16 * k);
        }
        rows += DELTA_CHUNK * DELTA_ROW;
        if (chunk + 1 < chunks) left.load(rows, key_width);
        if (!answers) {
#pragma unroll
            for (int n = 0; n < N; n++) {
                for (int i = 0; i < 4; i++) c[n][i] += u[n][i];
            }
            delta_store_words<P, N>(corrections, row, c, 1.0f, 1.0f);
            delta_store_words<P, N>(kept, row, c, above, below);
        }
        __syncthreads();

        if (owns) {
#pragma unroll
            for (int n = 0; n < N; n++) {
                for (int i = 0; i < 4; i++) s[n][i] *= last;
            }
#pragma unroll
            for (int k = 0; k < DELTA_BLOCKS; k++) {
                delta_multiply<P, N>(s, P::left(key_upper[k], key_lower[k]), kept, 16 * k);
            }
            delta_store_words<P, N>(state, key_row, s, 1.0f, 1.0f);
        }
        if (answers) {
#pragma unroll
            for (int n = 0; n < N; n++) {
                c[n][0] *= above, c[n][1] *= above, c[n][2] *= below, c[n][3] *= below;
            }
#pragma unroll
            for (int k = 0; k < DELTA_BLOCKS; k++) {
                if (k <= block) delta_multiply<P, N>(c, P::left(near_upper[k], near_lower[k]), corrections, 16 * k);
            }
            delta_store_sums<N>(values + row * DELTA_ROW, c);
        }
        keys += DELTA_CHUNK * DELTA_ROW;
        within += DELTA_CHUNK * DELTA_CHUNK;
        values += DELTA_CHUNK * DELTA_ROW;
        __syncthreads();
    }
#pragma unroll
    for (int n = 0; n < N; n++) {
        for (int i = 0; i < 4; i++) {
            float* to = delta_place(memory, key_row, column, n, i, shape);
            if (to) *to = s[n][i];
        }
    }
}

#define DELTA_CHUNKS(name, P, N)                                                                                 \
    extern "C" __global__ void __launch_bounds__(DELTA_THREADS, 1)                                               \
        name(const unsigned* queries, const unsigned* keys, const unsigned* reads, const unsigned* within,       \
             const float* gates, float* values, float* memory, int chunks, int key_width, DeltaShape shape) {    \
        delta_chunks<P, N>(queries, keys, reads, within, gates, values, memory, chunks, key_width, shape);       \
    }                                                                                                            \
    ENTRY(name)
DELTA_CHUNKS(delta_chunks_exact_16, DeltaExact, 2);
DELTA_CHUNKS(delta_chunks_exact_32, DeltaExact, 4);
DELTA_CHUNKS(delta_chunks_split_16, DeltaSplit, 2);
DELTA_CHUNKS(delta_chunks_split_32, DeltaSplit, 4);
#undef DELTA_CHUNKS

#ifndef __CUDACC__
// For tests: a product in words both ways, for one warp. left (16, 16), right (16, 8), c (16, 8).
template <class P, bool SHUFFLED>
__device__ void delta_try(const float* left, const float* right, float* c) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    uint4 quads[3];
    for (int q = 0; q < 3; q++) {
        unsigned words[4];
        for (int i = 0; i < 4; i++) {
            const int k = 4 * t + i;
            words[i] = P::word(q == 2 ? right[k * 8 + g] : left[(g + 8 * q) * 16 + k]);
        }
        quads[q] = make_uint4(words[0], words[1], words[2], words[3]);
    }
    float sums[1][4] = {};
    const typename P::Right rights[1] = {P::right(quads[2])};
    if constexpr (SHUFFLED) {
        P::multiply_by_shuffles(sums[0], P::left(quads[0], quads[1]), rights[0]);
    } else {
        P::multiply(sums, P::left(quads[0], quads[1]), rights);
    }
    for (int i = 0; i < 4; i++) c[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = sums[0][i];
}
extern "C" void delta_try_exact(const float* left, const float* right, float* c) {
    delta_try<DeltaExact, false>(left, right, c);
}
extern "C" void delta_try_shuffled(const float* left, const float* right, float* c) {
    delta_try<DeltaExact, true>(left, right, c);
}
extern "C" void delta_try_split(const float* left, const float* right, float* c) {
    delta_try<DeltaSplit, false>(left, right, c);
}
ENTRY(delta_try_exact);
ENTRY(delta_try_shuffled);
ENTRY(delta_try_split);
#endif
