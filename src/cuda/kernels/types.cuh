// What every kernel file begins with: types of numbers, sums over a warp and a block.
#pragma once

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>
// On a host, for tests, a kernel is found by its name; here the module has it.
#define ENTRY(name) static_assert(true, "")
#define DYNAMIC_SHARED(type, name)                         \
    extern __shared__ uint4 dynamic_shared_memory[];       \
    type* name = reinterpret_cast<type*>(dynamic_shared_memory)
#endif

using bf16 = __nv_bfloat16;
using f16 = __half;

constexpr unsigned ALL_LANES = 0xffffffffu;

// Nothing that the kernel ahead on the stream writes is read, and nothing that it reads is written, before this.
//
// A launch that overlaps (`Launch::overlapping`) comes to the multiprocessors while the kernel ahead still runs, where
// the card has room; every one of its threads that touches memory others write must come by here first. The kernel
// behind may do the same from here on. Elsewhere, and below compute capability 9.0, it does nothing. Pointers of such a
// kernel must not be `__restrict__`: what nobody else writes may be loaded whenever the compiler likes, also above this.
__device__ __forceinline__ void begin_after_previous() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
    asm volatile("griddepcontrol.wait;" ::: "memory");
#elif !defined(__CUDACC__)
    host::block.has_waited = true;
#endif
}

__device__ __forceinline__ float wide(float x) { return x; }
__device__ __forceinline__ float wide(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float wide(f16 x) { return __half2float(x); }

template <class T> __device__ __forceinline__ T narrow(float x);
template <> __device__ __forceinline__ float narrow<float>(float x) { return x; }
template <> __device__ __forceinline__ bf16 narrow<bf16>(float x) { return __float2bfloat16(x); }
template <> __device__ __forceinline__ f16 narrow<f16>(float x) { return __float2half(x); }

// The sum over a warp, in every lane.
__device__ __forceinline__ float warp_sum(float x) {
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(ALL_LANES, x, step);
    return x;
}

__device__ __forceinline__ float warp_max(float x) {
    for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, step));
    return x;
}

// The sum over a block of whole warps, 1,024 threads at most, in every thread. All threads must call it.
__device__ __forceinline__ float block_sum(float x) {
    __shared__ float of_warps[32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
    x = warp_sum(x);
    __syncthreads();  // the last call's sums have been read
    if (lane == 0) of_warps[warp] = x;
    __syncthreads();
    return warp_sum(lane < warps ? of_warps[lane] : 0.0f);
}
