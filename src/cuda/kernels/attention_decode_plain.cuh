// Attention of one token over all keys so far without tensor cores: f32, and every type on cards before 8.0.
//
// Arguments and partial results as attention_one's; scale counts in powers of two. Layout: grid (heads,
// splits); each of 4 warps walks the block's keys, 4 keys at a time, the lanes sharing a key's dimensions.
// Query heads of one key head read it each for themselves, from L2 when they run together. Bound: issue
// slots of the sums over lanes; slower than attention_one, not tuned.
#pragma once
#include "attention_tiles.cuh"

constexpr int ATTENTION_PLAIN_WARPS = 4, ATTENTION_PLAIN_AT_ONCE = 4;

// Neighbouring numbers that one lane reads at once.
template <class T, int COUNT>
struct alignas(COUNT * sizeof(T) > 16 ? 16 : COUNT * sizeof(T)) AttentionLane { T of[COUNT]; };

template <class T, int DIM>
__device__ __forceinline__ void attention_one_plain(const T* q, const T* keys, const T* values,
                                                    const unsigned* position, float* partials, int heads,
                                                    int kv_heads, int capacity, int share, float scale) {
    begin_after_previous();
    constexpr int OWN = DIM / 32, AT_ONCE = ATTENTION_PLAIN_AT_ONCE, STEP = AT_ONCE * ATTENTION_PLAIN_WARPS;
    using Row = AttentionLane<T, OWN>;
    __shared__ float sums[ATTENTION_PLAIN_WARPS][DIM];
    __shared__ float tops[ATTENTION_PLAIN_WARPS], weights[ATTENTION_PLAIN_WARPS];
    const int head = blockIdx.x, splits = gridDim.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int visible = attention_visible(position, capacity), used = attention_used(visible, splits, share);
    if (static_cast<int>(blockIdx.y) >= used) return;
    const AttentionRange range = attention_range(visible, used, blockIdx.y, STEP);
    const int kv_head = head / (heads / kv_heads);
    const auto rows_of = [&](const T* cache) {
        return reinterpret_cast<const Row*>(attention_head(cache, kv_head, capacity, DIM)) + lane;
    };
    const Row *const key_rows = rows_of(keys), *const value_rows = rows_of(values);
    const Row query = reinterpret_cast<const Row*>(q + head * DIM)[lane];
    float top = ATTENTION_NOTHING, weight = 0.0f, sum[OWN] = {};
    for (int key = range.begin + warp * AT_ONCE; key < range.end; key += STEP) {
        Row k[AT_ONCE], v[AT_ONCE];
        float score[AT_ONCE], highest = top;
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            const long long row = min(key + i, range.end - 1);
            k[i] = key_rows[row * 32];
            v[i] = value_rows[row * 32];
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            float product = 0.0f;
#pragma unroll
            for (int d = 0; d < OWN; d++) product += wide(query.of[d]) * wide(k[i].of[d]);
            score[i] = key + i < range.end ? warp_sum(product) * scale : ATTENTION_NOTHING;
            highest = fmaxf(highest, score[i]);
        }
        const float shrink = attention_exp2(top - highest);
        top = highest;
        weight *= shrink;
#pragma unroll
        for (int d = 0; d < OWN; d++) sum[d] *= shrink;
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            const float part = attention_exp2(score[i] - top);
            weight += part;
#pragma unroll
            for (int d = 0; d < OWN; d++) sum[d] += part * wide(v[i].of[d]);
        }
    }
#pragma unroll
    for (int d = 0; d < OWN; d++) sums[warp][lane * OWN + d] = sum[d];
    tops[warp] = top;
    weights[warp] = weight;
    __syncthreads();
    float* partial = partials + (static_cast<long long>(head) * splits + blockIdx.y) * (DIM + 4);
    float all = ATTENTION_NOTHING;
    for (int w = 0; w < ATTENTION_PLAIN_WARPS; w++) all = fmaxf(all, tops[w]);
    for (int dim = threadIdx.x; dim < DIM + 1; dim += blockDim.x) {
        float whole = 0.0f;
        for (int w = 0; w < ATTENTION_PLAIN_WARPS; w++) {
            whole += attention_exp2(tops[w] - all) * (dim < DIM ? sums[w][dim] : weights[w]);
        }
        partial[dim < DIM ? dim : DIM + 1] = whole;
    }
    if (threadIdx.x == 0) partial[DIM] = all;
}

#define ATTENTION_ONE_PLAIN(dim, name, type)                                                                \
    extern "C" __global__ void __launch_bounds__(128)                                                       \
    attention_one_plain_##dim##_##name(const type* q, const type* keys, const type* values,                 \
        const unsigned* position, float* partials, int heads,                                               \
        int kv_heads, int capacity, int share, float scale) {                                               \
        attention_one_plain<type, dim>(q, keys, values, position, partials, heads, kv_heads, capacity,      \
                             share, scale);                                                                 \
    }                                                                                                       \
    ENTRY(attention_one_plain_##dim##_##name);
ATTENTION_DIMS(ATTENTION_ONE_PLAIN, bf16, bf16)
ATTENTION_DIMS(ATTENTION_ONE_PLAIN, f16, f16)
ATTENTION_DIMS(ATTENTION_ONE_PLAIN, f32, float)
