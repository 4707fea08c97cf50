// Causal attention of many tokens over all keys so far without tensor cores: f32, and every type on cards
// before 8.0.
//
// Arguments and result as attention_many's. Layout: grid (heads, tiles of query rows), the tiles with most
// keys first. A block is 4 warps with 4 query rows each (2 for dimension 256, for shared memory), and takes
// 32 keys at a time, in f32: first the keys lie in shared memory, a lane having one each, then the values, a
// lane having every 32nd dimension. Bound: reads of shared memory, one for each 4 products; far slower than
// attention_many, not tuned.
#pragma once
#include "attention_tiles.cuh"

constexpr int ATTENTION_MANY_PLAIN_WARPS = 4, ATTENTION_MANY_PLAIN_THREADS = 32 * ATTENTION_MANY_PLAIN_WARPS;

// 32 rows of DIM numbers to a tile, widened; rows from `there` on become zeros.
template <class T, int DIM>
__device__ __forceinline__ void attention_fill(float (&tile)[32][DIM + 1], const T* rows, int there) {
    for (int i = threadIdx.x; i < 32 * DIM; i += ATTENTION_MANY_PLAIN_THREADS) {
        tile[i / DIM][i % DIM] = i / DIM < there ? wide(rows[i]) : 0.0f;
    }
}

template <class T, int DIM>
__device__ __forceinline__ void attention_many_plain(const T* q, const T* keys, const T* values,
                                                     const unsigned* position, T* out, int tokens, int heads,
                                                     int kv_heads, int capacity, float scale) {
    constexpr int OWN = DIM == 256 ? 2 : 4, ROWS = OWN * ATTENTION_MANY_PLAIN_WARPS, DIMS = DIM / 32;
    __shared__ float tile[32][DIM + 1], query[ROWS][DIM], weights[ROWS][32];
    const int head = blockIdx.x, kv_head = head / (heads / kv_heads);
    const int own = threadIdx.x / 32 * OWN, lane = threadIdx.x % 32;
    const int first = static_cast<int>(gridDim.y - 1 - blockIdx.y) * ROWS, rows = min(ROWS, tokens - first);
    const int before = static_cast<int>(min(*position, static_cast<unsigned>(capacity - tokens))) + first;
    const T* const key_rows = attention_head(keys, kv_head, capacity, DIM);
    const T* const value_rows = attention_head(values, kv_head, capacity, DIM);
    const long long stride = static_cast<long long>(heads) * DIM;
    q += first * stride + head * DIM;
    out += first * stride + head * DIM;
    for (int i = threadIdx.x; i < ROWS * DIM; i += ATTENTION_MANY_PLAIN_THREADS) {
        query[i / DIM][i % DIM] = i / DIM < rows ? wide(q[i / DIM * stride + i % DIM]) : 0.0f;
    }
    float top[OWN], weight[OWN], sum[OWN][DIMS];
#pragma unroll
    for (int r = 0; r < OWN; r++) {
        top[r] = ATTENTION_NOTHING;
        weight[r] = 0.0f;
#pragma unroll
        for (int d = 0; d < DIMS; d++) sum[r][d] = 0.0f;
    }
    for (int key = 0; key < before + rows; key += 32) {
        __syncthreads();
        attention_fill<T, DIM>(tile, key_rows + static_cast<long long>(key) * DIM, before + rows - key);
        __syncthreads();
        float score[OWN] = {};
        for (int d = 0; d < DIM; d++) {
#pragma unroll
            for (int r = 0; r < OWN; r++) score[r] += query[own + r][d] * tile[lane][d];
        }
#pragma unroll
        for (int r = 0; r < OWN; r++) {
            const bool sees = key + lane <= before + own + r;
            const float mine = sees ? score[r] * scale : ATTENTION_NOTHING;
            const float highest = fmaxf(top[r], warp_max(mine));
            const float shrink = attention_exp2(top[r] - highest), part = attention_exp2(mine - highest);
            top[r] = highest;
            weight[r] = weight[r] * shrink + part;  // of this lane's keys
            weights[own + r][lane] = part;
#pragma unroll
            for (int d = 0; d < DIMS; d++) sum[r][d] *= shrink;
        }
        __syncthreads();
        attention_fill<T, DIM>(tile, value_rows + static_cast<long long>(key) * DIM, before + rows - key);
        __syncthreads();
        for (int k = 0; k < 32; k++) {
#pragma unroll
            for (int d = 0; d < DIMS; d++) {
                const float value = tile[k][lane + 32 * d];
#pragma unroll
                for (int r = 0; r < OWN; r++) sum[r][d] += weights[own + r][k] * value;
            }
        }
    }
#pragma unroll
    for (int r = 0; r < OWN; r++) {
        const float whole = 1.0f / warp_sum(weight[r]);
        if (own + r >= rows) continue;
#pragma unroll
        for (int d = 0; d < DIMS; d++) out[(own + r) * stride + lane + 32 * d] = narrow<T>(sum[r][d] * whole);
    }
}

#define ATTENTION_MANY_PLAIN(dim, name, type)                                                               \
    extern "C" __global__ void __launch_bounds__(ATTENTION_MANY_PLAIN_THREADS)                              \
    attention_many_plain_##dim##_##name(const type* q, const type* keys, const type* values,                \
        const unsigned* position, type* out, int tokens, int heads,                                         \
        int kv_heads, int capacity, float scale) {                                                          \
        attention_many_plain<type, dim>(q, keys, values, position, out, tokens, heads, kv_heads, capacity,  \
                             scale);                                                                        \
    }                                                                                                       \
    ENTRY(attention_many_plain_##dim##_##name);
ATTENTION_DIMS(ATTENTION_MANY_PLAIN, bf16, bf16)
ATTENTION_DIMS(ATTENTION_MANY_PLAIN, f16, f16)
ATTENTION_DIMS(ATTENTION_MANY_PLAIN, f32, float)
