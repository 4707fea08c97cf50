// Which tokens an expert gets: pairs of token and pick, sorted by expert and then by token, and tiles of them.
//
// experts (tokens · used) u32 -> offsets (experts + 1) u32, pairs (tokens · used) u32. pairs[offsets[e]] up to
// pairs[offsets[e + 1]] are those of expert e, ascending, a pair being token · used + pick. No atomics decide an
// order: the same routes give the same bits every time.
//
// One block an expert; it reads all pairs twice, first to count those of lower experts, then to place its own.
// Bound by the second-level cache: 8,192 tokens of 8 picks are 256 KiB, times 2, times 256 experts = 128 MiB,
// some 30 us. Gain expected: no copy of the scores to the host, no host in between; not measured: no GPU here.
#pragma once
#include "types.cuh"

constexpr int EXPERTS_GROUP_THREADS = 256, EXPERTS_GROUP_ITEMS = 8;
constexpr unsigned EXPERTS_NO_TILE = 0xffffffffu;

// The sum of `mine` over the threads before this one, and over all in `whole`. `of_warps`: 32 numbers, shared.
__device__ __forceinline__ unsigned experts_before(unsigned mine, unsigned* of_warps, unsigned& whole) {
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    unsigned up_to = mine;
    for (unsigned step = 1; step < 32; step *= 2) {
        const unsigned below = __shfl_up_sync(ALL_LANES, up_to, step);
        if (lane >= step) up_to += below;
    }
    __syncthreads();  // the last call's sums have been read
    if (lane == 31) of_warps[warp] = up_to;
    __syncthreads();
    unsigned before = 0;
    whole = 0;
    for (unsigned other = 0; other < warps; other++) {
        before += other < warp ? of_warps[other] : 0;
        whole += of_warps[other];
    }
    return before + up_to - mine;
}

extern "C" __global__ void __launch_bounds__(EXPERTS_GROUP_THREADS)
    experts_group(const unsigned* __restrict__ experts, unsigned* __restrict__ offsets, unsigned* __restrict__ pairs,
                  int count) {
    __shared__ unsigned of_warps[32];
    const unsigned expert = blockIdx.x;
    unsigned lower = 0, first;
    for (long long pair = threadIdx.x; pair < count; pair += blockDim.x) lower += experts[pair] < expert;
    experts_before(lower, of_warps, first);
    if (threadIdx.x == 0) {
        offsets[expert] = first;
        if (expert == gridDim.x - 1) offsets[gridDim.x] = count;
    }
    const int span = EXPERTS_GROUP_THREADS * EXPERTS_GROUP_ITEMS;
    for (long long start = 0; start < count; start += span) {
        const long long mine = start + threadIdx.x * EXPERTS_GROUP_ITEMS;
        unsigned here = 0, number = 0, all;
#pragma unroll
        for (int item = 0; item < EXPERTS_GROUP_ITEMS; item++) {
            const bool is = mine + item < count && experts[mine + item] == expert;
            here |= unsigned(is) << item;
            number += is;
        }
        unsigned place = first + experts_before(number, of_warps, all);
#pragma unroll
        for (int item = 0; item < EXPERTS_GROUP_ITEMS; item++) {
            if (here >> item & 1) pairs[place++] = unsigned(mine + item);
        }
        first += all;
    }
}
ENTRY(experts_group);

// offsets (experts + 1) -> tiles (most, 2): expert and first place in `pairs` of each tile of `rows` rows,
// expert after expert; what is left of `most` is no tile. One block, at least as many threads as experts.
extern "C" __global__ void __launch_bounds__(1024)
    experts_tiles(const unsigned* __restrict__ offsets, uint2* __restrict__ tiles, int experts, int rows, int most) {
    __shared__ unsigned of_warps[32];
    const unsigned expert = threadIdx.x;
    const bool is = expert < unsigned(experts);
    const unsigned first = is ? offsets[expert] : 0, end = is ? offsets[expert + 1] : 0;
    const unsigned number = (end - first + rows - 1) / rows;
    unsigned all;
    const unsigned place = experts_before(number, of_warps, all);
    for (unsigned tile = 0; tile < number; tile++) tiles[place + tile] = make_uint2(expert, first + tile * rows);
    for (unsigned tile = all + threadIdx.x; tile < unsigned(most); tile += blockDim.x) {
        tiles[tile] = make_uint2(EXPERTS_NO_TILE, 0);
    }
}
ENTRY(experts_tiles);
