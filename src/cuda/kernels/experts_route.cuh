// Which experts a token goes to: softmax over all its scores, in f32, and the largest few, with their weights.
//
// scores (tokens, count) f32 -> experts (tokens, used) u32 and weights (tokens, used) f32, in ascending order of
// expert. Of equal ones the lower index is taken; a row whose softmax is no number gets the first experts, and
// weights that are no numbers.
//
// One warp a token, SLOTS scores a lane, expert = 32 · slot + lane, all in registers. A pick is two reductions
// over the warp (the largest key, then the lowest index that has it); picked experts find their places by
// ballots, so nothing is sorted. Bound by latency: some 20 steps of about 30 cycles a pick below compute
// capability 8.0, where the reductions are shuffles, and about 2 from there on. Gain expected: one launch in
// place of a copy to the host and back with a synchronisation (tens of microseconds a layer), and a step that a
// graph can hold; not measured: no GPU here.
#pragma once
#include "types.cuh"

__device__ __forceinline__ unsigned experts_warp_most(unsigned x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    return __reduce_max_sync(ALL_LANES, x);
#else
    for (int step = 16; step > 0; step /= 2) x = max(x, __shfl_xor_sync(ALL_LANES, x, step));
    return x;
#endif
}

// One step: the highest key that is left, and of those that have it the lowest expert. Keys of 0 are not for
// picking.
template <int SLOTS> __device__ __forceinline__ unsigned experts_next(const unsigned (&keys)[SLOTS], unsigned lane) {
    unsigned mine = 0, expert = 0;
#pragma unroll
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        if (keys[slot] > mine) {
            mine = keys[slot];
            expert = 32 * slot + lane;
        }
    }
    const unsigned most = experts_warp_most(mine);
    return ~experts_warp_most(mine == most ? ~expert : 0u);
}

template <int SLOTS>
__device__ void experts_route(const float* scores, unsigned* experts,
                              float* weights, int tokens, int count, int used, int renormalise) {
    begin_after_previous();
    const int token = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    const unsigned lane = threadIdx.x % 32;
    if (token >= tokens) return;
    scores += (long long)token * count;
    float p[SLOTS], top = -INFINITY, sum = 0.0f;
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++) {
        const int expert = 32 * slot + lane;
        p[slot] = expert < count ? scores[expert] : -INFINITY;
        top = fmaxf(top, p[slot]);
    }
    top = warp_max(top);
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++) {
        p[slot] = 32 * slot + (int)lane < count ? expf(p[slot] - top) : 0.0f;
        sum += p[slot];
    }
    sum = warp_sum(sum);
    // Bits of what is not negative are in the order of the numbers. Where there is no number, all are equal.
    unsigned keys[SLOTS], picked = 0;
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++) {
        p[slot] /= sum;
        const bool there = 32 * slot + (int)lane < count;
        keys[slot] = !there ? 0u : sum == sum ? __float_as_uint(p[slot]) + 1u : 1u;
    }
    for (int pick = 0; pick < used; pick++) {
        const unsigned next = experts_next(keys, lane);
#pragma unroll
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            if (32 * slot + lane == next) {
                keys[slot] = 0;
                picked |= 1u << slot;
            }
        }
    }
    float whole = 0.0f;
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++) whole += picked >> slot & 1 ? p[slot] : 0.0f;
    whole = renormalise ? warp_sum(whole) : 1.0f;
    experts += (long long)token * used;
    weights += (long long)token * used;
    int before = 0;
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++) {
        const unsigned taken = __ballot_sync(ALL_LANES, picked >> slot & 1);
        if (picked >> slot & 1) {
            const int place = before + __popc(taken & ((1u << lane) - 1));
            experts[place] = 32 * slot + lane;
            weights[place] = p[slot] / whole;
        }
        before += __popc(taken);
    }
}

#define EXPERTS_ROUTE(most, slots)                                                                                 \
    extern "C" __global__ void __launch_bounds__(128)                                                              \
        experts_route_##most(const float* scores, unsigned* experts, float* weights, int tokens, int count,        \
                             int used, int renormalise) {                                                          \
        experts_route<slots>(scores, experts, weights, tokens, count, used, renormalise);                          \
    }                                                                                                              \
    ENTRY(experts_route_##most)
EXPERTS_ROUTE(128, 4);
EXPERTS_ROUTE(256, 8);
EXPERTS_ROUTE(512, 16);
