// Attention of one token over all keys so far, with tensor cores: bf16 and f16, compute capability 8.0 and
// newer. Others: attention_decode_plain.cuh.
//
// q (1, heads · DIM), caches (kv_heads, capacity, DIM), position (1,); scale counts in powers of two →
// partials (heads, splits, DIM + 4) in f32: for each block the weighted sum of its values, then the largest
// score in powers of two, then the sum of weights. attention_combine (attention_combine.cuh) makes the
// result of them.
//
// Layout: grid (packs, splits), a pack being up to 8 query heads of one key head, so that keys and values
// are read once for them (twice for 16 heads to a key head, the second time mostly from L2). Each of 4 warps
// walks its own tiles of the block's keys, without a barrier of the block: scores = Q · Kᵀ with the heads as
// rows, of which 8 are used, then Oᵀ = Vᵀ · Pᵀ with the heads as columns, where the scores lie in registers
// as the product wants its weights. A warp has one tile of keys and one of values in shared memory, each
// asked for again as soon as it has been used, so 8 or 16 KiB of each warp are under way while it computes.
// Blocks without keys end at once.
//
// Bound: bytes of keys and values over the memory's bandwidth. 32,768 keys, 8 key heads of 128 in bf16: 134
// MB, 45 us at 3.0 TB/s. On an H100 two blocks of 64 KiB of an SM have up to 128 KiB under way, where
// latency times bandwidth asks for about 20; tensor cores and issue slots are below a tenth of what they
// can.
// Gain expected: llama.cpp's attention adds 2.04 TB/s worth of time at dimension 128 and 1.47 at 256; this
// is designed for 2.7 or more. Not measured: no GPU here.
#pragma once
#include "attention_tiles.cuh"

constexpr int ATTENTION_ONE_WARPS = 4, ATTENTION_ONE_HEADS = 8;

template <class T, int DIM>
struct AttentionOne {
    static constexpr int KEYS = DIM == 256 ? 16 : 32;  // of a warp's tile
    static constexpr int THREADS = 32 * ATTENTION_ONE_WARPS;

    unsigned query[DIM / 16][2];   // rows 0-7 of A: the heads; rows 8-15 are zero
    float scores[KEYS / 8][4];     // head g, keys 8j + 2t and 8j + 2t + 1; the rest unused
    float sums[DIM / 16][4];       // dimensions 16i + g and 16i + 8 + g, heads 2t and 2t + 1
    float top = ATTENTION_NOTHING, weight = 0.0f;  // of head g; the weight of this lane's keys only
    int lane = threadIdx.x % 32;

    __device__ __forceinline__ AttentionOne(const T* q, int heads) {
        const int head = lane / 4, pair = lane % 4;
        const unsigned* row = reinterpret_cast<const unsigned*>(q + (head < heads ? head : 0) * DIM);
#pragma unroll
        for (int i = 0; i < DIM / 16; i++) {
            query[i][0] = head < heads ? row[i * 8 + pair] : 0u;
            query[i][1] = head < heads ? row[i * 8 + 4 + pair] : 0u;
#pragma unroll
            for (int c = 0; c < 4; c++) sums[i][c] = 0.0f;
        }
    }

    __device__ __forceinline__ void score(const T* tile) {
#pragma unroll
        for (int j = 0; j < KEYS / 8; j++) {
#pragma unroll
            for (int c = 0; c < 4; c++) scores[j][c] = 0.0f;
        }
        const int key = lane % 8, quarter = lane / 8;
#pragma unroll
        for (int i = 0; i < DIM / 32; i++) {
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++) {
                unsigned b[4];  // 8 keys, 32 dimensions
                load_matrices(b, tile + attention_place<DIM>(8 * j + key, 4 * i + quarter));
                mma_16x8x16<T>(scores[j], {query[2 * i][0], 0u, query[2 * i][1], 0u}, b[0], b[1]);
                mma_16x8x16<T>(scores[j], {query[2 * i + 1][0], 0u, query[2 * i + 1][1], 0u}, b[2], b[3]);
            }
        }
    }

    // Scores to weights, of which the first `there` keys have one; earlier sums are brought to the new
    // largest score.
    __device__ __forceinline__ void soften(float scale, int there) {
        const int own = there - 2 * (lane % 4);
        float highest = top;
#pragma unroll
        for (int j = 0; j < KEYS / 8; j++) {
#pragma unroll
            for (int c = 0; c < 2; c++) {
                const bool is_there = 8 * j + c < own;
                scores[j][c] = is_there ? scores[j][c] * scale : ATTENTION_NOTHING;
                highest = fmaxf(highest, scores[j][c]);
            }
        }
        highest = fmaxf(highest, __shfl_xor_sync(ALL_LANES, highest, 1));
        highest = fmaxf(highest, __shfl_xor_sync(ALL_LANES, highest, 2));
        const float shrink = attention_exp2(top - highest);
        top = highest;
        weight *= shrink;
#pragma unroll
        for (int j = 0; j < KEYS / 8; j++) {
#pragma unroll
            for (int c = 0; c < 2; c++) {
                scores[j][c] = attention_exp2(scores[j][c] - top);
                weight += scores[j][c];
            }
        }
        const float left = __shfl_sync(ALL_LANES, shrink, 8 * (lane % 4));
        const float right = __shfl_sync(ALL_LANES, shrink, 8 * (lane % 4) + 4);
#pragma unroll
        for (int i = 0; i < DIM / 16; i++) {
            sums[i][0] *= left;
            sums[i][1] *= right;
            sums[i][2] *= left;
            sums[i][3] *= right;
        }
    }

    __device__ __forceinline__ void add(const T* tile) {
        const int key = lane % 8 + lane / 16 * 8, half = lane / 8 % 2;
#pragma unroll
        for (int k = 0; k < KEYS / 16; k++) {
            const unsigned b0 = pack<T>(scores[2 * k][0], scores[2 * k][1]);
            const unsigned b1 = pack<T>(scores[2 * k + 1][0], scores[2 * k + 1][1]);
#pragma unroll
            for (int i = 0; i < DIM / 16; i++) {
                unsigned a[4];  // 16 dimensions, 16 keys
                load_matrices_transposed(a, tile + attention_place<DIM>(16 * k + key, 2 * i + half));
                mma_16x8x16<T>(sums[i], a, b0, b1);
            }
        }
    }

    // All keys of this warp: tiles from `begin` on, as many apart as a block has warps.
    __device__ __forceinline__ void walk(T* tiles, const T* keys, const T* values, AttentionRange range,
                                         float scale) {
        constexpr int STEP = KEYS * ATTENTION_ONE_WARPS;
        T* const key_tile = tiles;
        T* const value_tile = tiles + KEYS * DIM;
        int key = range.begin + static_cast<int>(threadIdx.x) / 32 * KEYS;
        ask(key_tile, keys, key, range.end);
        ask(value_tile, values, key, range.end);
        for (; key < range.end; key += STEP) {
            copy_async_wait<1>();
            __syncwarp();
            score(key_tile);
            __syncwarp();
            ask(key_tile, keys, key + STEP, range.end);
            soften(scale, range.end - key);
            copy_async_wait<1>();
            __syncwarp();
            add(value_tile);
            __syncwarp();
            ask(value_tile, values, key + STEP, range.end);
        }
        copy_async_wait<0>();
        weight += __shfl_xor_sync(ALL_LANES, weight, 1);
        weight += __shfl_xor_sync(ALL_LANES, weight, 2);
    }

    // A group of copies, empty if no keys are left.
    __device__ __forceinline__ void ask(T* tile, const T* rows, int key, int end) {
        if (key < end) {
            const T* from = rows + static_cast<long long>(key) * DIM;
            attention_ask<T, DIM, KEYS, 32>(tile, from, DIM, end - key, lane);
        }
        copy_async_commit();
    }

    // This warp's part: the heads' sums (8, DIM), then their largest scores, then their weights.
    __device__ __forceinline__ void leave(float* part) {
        const int head = 2 * (lane % 4), dim = lane / 4;
#pragma unroll
        for (int i = 0; i < DIM / 16; i++) {
#pragma unroll
            for (int c = 0; c < 4; c++) part[(head + c % 2) * DIM + 16 * i + c / 2 * 8 + dim] = sums[i][c];
        }
        if (lane % 4 == 0) {
            part[ATTENTION_ONE_HEADS * DIM + lane / 4] = top;
            part[ATTENTION_ONE_HEADS * (DIM + 1) + lane / 4] = weight;
        }
    }
};

// The parts of a block's warps, `apart` numbers from one to the next, made one, for each of `heads` heads.
template <int DIM>
__device__ __forceinline__ void attention_one_join(const float* parts, int apart, float* partials, int heads,
                                                   int splits) {
    constexpr int TOPS = ATTENTION_ONE_HEADS * DIM, WEIGHTS = TOPS + ATTENTION_ONE_HEADS;
    for (int i = threadIdx.x; i < heads * DIM; i += blockDim.x) {
        const int head = i / DIM, dim = i % DIM;
        float top = ATTENTION_NOTHING, sum = 0.0f, weight = 0.0f;
        for (int w = 0; w < ATTENTION_ONE_WARPS; w++) top = fmaxf(top, parts[w * apart + TOPS + head]);
        for (int w = 0; w < ATTENTION_ONE_WARPS; w++) {
            const float shrink = attention_exp2(parts[w * apart + TOPS + head] - top);
            sum += shrink * parts[w * apart + i];
            weight += shrink * parts[w * apart + WEIGHTS + head];
        }
        float* partial = partials + (static_cast<long long>(head) * splits + blockIdx.y) * (DIM + 4);
        partial[dim] = sum;
        if (dim == 0) {
            partial[DIM] = top;
            partial[DIM + 1] = weight;
        }
    }
}

template <class T, int DIM>
__device__ __forceinline__ void attention_one(const T* q, const T* keys, const T* values,
                                              const unsigned* position, float* partials, int heads,
                                              int kv_heads, int capacity, int share, float scale) {
    begin_after_previous();
    using Warp = AttentionOne<T, DIM>;
    DYNAMIC_SHARED(T, shared);
    const int splits = gridDim.y, split = blockIdx.y, visible = attention_visible(position, capacity);
    const int used = attention_used(visible, splits, share);
    if (split >= used) return;
    const int packs = gridDim.x / kv_heads, group = heads / kv_heads, kv_head = blockIdx.x / packs;
    const int skipped = blockIdx.x % packs * ATTENTION_ONE_HEADS, first = kv_head * group + skipped;
    const int count = min(ATTENTION_ONE_HEADS, group - skipped);
    constexpr int APART = 2 * Warp::KEYS * DIM;  // of a warp's tiles, in numbers of 16 bits
    T* const tiles = shared + static_cast<int>(threadIdx.x) / 32 * APART;
    Warp warp(q + first * DIM, count);
    const T* const key_rows = attention_head(keys, kv_head, capacity, DIM);
    const T* const value_rows = attention_head(values, kv_head, capacity, DIM);
    warp.walk(tiles, key_rows, value_rows, attention_range(visible, used, split, Warp::KEYS), scale);
    static_assert(APART / 2 >= ATTENTION_ONE_HEADS * (DIM + 2), "a warp's part fits where its tiles were");
    __syncwarp();
    warp.leave(reinterpret_cast<float*>(tiles));
    __syncthreads();
    attention_one_join<DIM>(reinterpret_cast<const float*>(shared), APART / 2,
                            partials + static_cast<long long>(first) * splits * (DIM + 4), count, splits);
}

#define ATTENTION_ONE(dim, name, type)                                                                      \
    extern "C" __global__ void __launch_bounds__(128)                                                       \
    attention_one_##dim##_##name(const type* q, const type* keys, const type* values,                       \
        const unsigned* position, float* partials, int heads,                                               \
        int kv_heads, int capacity, int share, float scale) {                                               \
        attention_one<type, dim>(q, keys, values, position, partials, heads, kv_heads, capacity,            \
                             share, scale);                                                                 \
    }                                                                                                       \
    ENTRY(attention_one_##dim##_##name);
ATTENTION_DIMS(ATTENTION_ONE, bf16, bf16)
ATTENTION_DIMS(ATTENTION_ONE, f16, f16)

#include "attention_combine.cuh"
#include "attention_decode_plain.cuh"
