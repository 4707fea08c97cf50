// The partial results of blocks of attention_one and attention_one_plain, made one.
//
// partials (heads, splits, dim + 4) in f32, position (1,) → out (1, heads · dim). Only the partials of
// blocks that had keys are read. Layout: a block of 512 threads a head; 4 dimensions a thread, partials in
// turn over the slices that dim / 4 threads make. Bound: latency, of one round of loads; a third of a
// megabyte lies in L2.
#pragma once
#include "attention_tiles.cuh"

constexpr int ATTENTION_COMBINE_THREADS = 512;

struct AttentionSum {
    float top, weight;
    float4 sum;
};

__device__ __forceinline__ void attention_include(AttentionSum& all, float top, float weight, float4 sum) {
    const float highest = fmaxf(all.top, top);
    const float shrink = attention_exp2(all.top - highest), grow = attention_exp2(top - highest);
    all.top = highest;
    all.weight = all.weight * shrink + weight * grow;
    all.sum = make_float4(all.sum.x * shrink + sum.x * grow, all.sum.y * shrink + sum.y * grow,
                          all.sum.z * shrink + sum.z * grow, all.sum.w * shrink + sum.w * grow);
}

template <class T>
__device__ __forceinline__ void attention_combine(const float* partials, const unsigned* position, T* out,
                                                  int dim, int capacity, int splits, int share) {
    begin_after_previous();
    __shared__ float4 sums[ATTENTION_COMBINE_THREADS];
    __shared__ float tops[ATTENTION_COMBINE_THREADS], weights[ATTENTION_COMBINE_THREADS];
    const int columns = dim / 4, slices = ATTENTION_COMBINE_THREADS / columns;
    const int slice = threadIdx.x / columns, column = threadIdx.x % columns;
    const int used = attention_used(attention_visible(position, capacity), splits, share);
    const float* head = partials + static_cast<long long>(blockIdx.x) * splits * (dim + 4);
    AttentionSum all = {ATTENTION_NOTHING, 0.0f, make_float4(0.0f, 0.0f, 0.0f, 0.0f)};
#pragma unroll 4
    for (int split = slice; split < used; split += slices) {
        const float* partial = head + split * (dim + 4);
        const float4 sum = reinterpret_cast<const float4*>(partial)[column];
        attention_include(all, partial[dim], partial[dim + 1], sum);
    }
    sums[threadIdx.x] = all.sum;
    tops[threadIdx.x] = all.top;
    weights[threadIdx.x] = all.weight;
    __syncthreads();
    if (slice > 0) return;
    for (int other = 1; other < min(slices, used); other++) {  // slices beyond have nothing
        const int at = other * columns + column;
        attention_include(all, tops[at], weights[at], sums[at]);
    }
    T* to = out + static_cast<long long>(blockIdx.x) * dim + 4 * column;
    const float whole = 1.0f / all.weight;
    to[0] = narrow<T>(all.sum.x * whole);
    to[1] = narrow<T>(all.sum.y * whole);
    to[2] = narrow<T>(all.sum.z * whole);
    to[3] = narrow<T>(all.sum.w * whole);
}

#define ATTENTION_COMBINE(name, type)                                                                      \
    extern "C" __global__ void __launch_bounds__(ATTENTION_COMBINE_THREADS) attention_combine_##name(      \
        const float* partials, const unsigned* position, type* out, int dim, int capacity, int splits,     \
        int share) {                                                                                       \
        attention_combine<type>(partials, position, out, dim, capacity, splits, share);                    \
    }                                                                                                      \
    ENTRY(attention_combine_##name);
ATTENTION_COMBINE(bf16, bf16)
ATTENTION_COMBINE(f16, f16)
ATTENTION_COMBINE(f32, float)
