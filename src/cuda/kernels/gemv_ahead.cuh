// What a product may do before the kernel ahead of it on the stream has ended (`begin_after_previous`): ask for
// weights, which nobody writes. The small work of the kernel ahead then hides behind the first megabytes of weights
// on their way to L2. Gain expected: 1 to 2 us for each product of a decode step, some percent; not measured: no
// GPU here.
#pragma once
#include "types.cuh"

// The line of 128 bytes at `from` + 128 · `line`, to L2, if it is within `bytes`.
__device__ __forceinline__ void ask_ahead(const void* from, size_t bytes, int line) {
    if (line * size_t(128) >= bytes) return;
#ifdef __CUDACC__
    asm volatile("prefetch.global.L2 [%0];" ::"l"(static_cast<const char*>(from) + line * size_t(128)));
#endif
}

// Loads above this are asked for before anything below: the assembler puts them beside their use
// otherwise, one wait after the other. For loads that are not `.nc`, by all lanes of a warp.
__device__ __forceinline__ void loads_before() {
#ifdef __CUDACC__
    asm volatile("bar.warp.sync 0xffffffff;" ::: "memory");
#endif
}

// `x` itself, which the assembler cannot know: what is made of it stays below `loads_before`. By all
// lanes of a warp.
__device__ __forceinline__ unsigned known_late(unsigned x) {
#ifdef __CUDACC__
    unsigned same;
    const unsigned lane = threadIdx.x % 32;
    asm volatile("shfl.sync.idx.b32 %0, %1, %2, 31, 0xffffffff;" : "=r"(same) : "r"(x), "r"(lane));
    return same;
#else
    return x;
#endif
}
