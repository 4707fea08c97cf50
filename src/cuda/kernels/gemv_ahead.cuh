// What a kernel may do before the one ahead of it on the stream has ended: ask for weights, which nobody
// writes.
//
// Where a launch allows that (programmatic stream serialization, compute capability 9.0 on), blocks come
// to the multiprocessors while the kernel ahead still runs, and its small work hides behind the first
// megabytes of weights on their way to L2. Elsewhere both functions cost an instruction. Gain expected: 1
// to 2 us for each product of a decode step, some percent; not measured: no GPU here.
#pragma once
#include "types.cuh"

// The line of 128 bytes at `from` + 128 · `line`, to L2, if it is within `bytes`.
__device__ __forceinline__ void ask_ahead(const void* from, size_t bytes, int line) {
    if (line * size_t(128) >= bytes) return;
#ifdef __CUDACC__
    asm volatile("prefetch.global.L2 [%0];" ::"l"(static_cast<const char*>(from) + line * size_t(128)));
#endif
}

// Nothing that the kernel ahead writes is read, and nothing that it reads is written, before this.
__device__ __forceinline__ void begin_after_previous() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
    asm volatile("griddepcontrol.wait;" ::: "memory");
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
