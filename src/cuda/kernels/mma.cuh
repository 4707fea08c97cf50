// Tensor cores and what feeds them: one wrapper for each PTX instruction, and its twin for a host.
//
// Fragments are as the PTX ISA has them. With g = lane / 4 and t = lane % 4 (each register two 16-bit
// numbers):
//   A (16 x 16): a[0] row g, columns 2t, 2t+1; a[1] row g+8; a[2] row g, columns 2t+8, 2t+9; a[3] row g+8
//   B (16 x 8):  b[0] rows 2t, 2t+1 of column g; b[1] rows 2t+8, 2t+9
//   C (16 x 8):  c[0], c[1] row g, columns 2t, 2t+1; c[2], c[3] row g+8
// All lanes of a warp call together. Products need compute capability 8.0; below it they trap, and copies
// wait.
#pragma once
#include "types.cuh"

// Two numbers in one register, `low` in its lower half.
template <class T> __device__ __forceinline__ unsigned pack(float low, float high);

// c += a · b, in f32.
template <class T>
__device__ __forceinline__ void mma_16x8x16(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);

// Four 8 x 8 matrices of 16-bit numbers from shared memory. Lane i names row i % 8 of matrix i / 8, 16 bytes,
// aligned; r[m] holds row g, columns 2t, 2t+1 of matrix m. Transposed: rows 2t, 2t+1 of column g.
__device__ __forceinline__ void load_matrices(unsigned (&r)[4], const void* row);
__device__ __forceinline__ void load_matrices_transposed(unsigned (&r)[4], const void* row);

// The same, of a row whose address in shared memory has been counted out.
#ifdef __CUDACC__
using SharedAddress = unsigned;
#else
using SharedAddress = uintptr_t;
#endif
__device__ __forceinline__ SharedAddress shared_address(const void* at);
__device__ __forceinline__ void load_matrices(unsigned (&r)[4], SharedAddress row);
__device__ __forceinline__ void load_matrices_transposed(unsigned (&r)[4], SharedAddress row);

// 16 bytes from global to shared memory, zeros if not `there` (`from` is not read then); it is there once
// this thread has waited for its group. Wait for every group before the kernel's end.
__device__ __forceinline__ void copy_async(void* to, const void* from, bool there);
__device__ __forceinline__ void copy_async_commit();
// Waits for all groups but the latest PENDING.
template <int PENDING> __device__ __forceinline__ void copy_async_wait();

// Whether any lane of the warp says so.
__device__ __forceinline__ bool any_lane(bool says);

#ifdef __CUDACC__

__device__ __forceinline__ bool any_lane(bool says) { return __any_sync(ALL_LANES, says); }

template <> __device__ __forceinline__ unsigned pack<bf16>(float low, float high) {
    const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
    return reinterpret_cast<const unsigned&>(both);
}
template <> __device__ __forceinline__ unsigned pack<f16>(float low, float high) {
    const __half2 both = __floats2half2_rn(low, high);
    return reinterpret_cast<const unsigned&>(both);
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define MMA_16X8X16(type)  \
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type ".f32 "  \
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"  \
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])  \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))
#else
#define MMA_16X8X16(type) __trap()
#endif
template <>
__device__ __forceinline__ void mma_16x8x16<bf16>(float (&c)[4], const unsigned (&a)[4], unsigned b0,
                                                  unsigned b1) {
    MMA_16X8X16("bf16");
}
template <>
__device__ __forceinline__ void mma_16x8x16<f16>(float (&c)[4], const unsigned (&a)[4], unsigned b0,
                                                 unsigned b1) {
    MMA_16X8X16("f16");
}
#undef MMA_16X8X16

__device__ __forceinline__ SharedAddress shared_address(const void* at) {
    return static_cast<unsigned>(__cvta_generic_to_shared(at));
}
__device__ __forceinline__ void load_matrices(unsigned (&r)[4], SharedAddress row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory");
}
__device__ __forceinline__ void load_matrices_transposed(unsigned (&r)[4], SharedAddress row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory");
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
__device__ __forceinline__ void copy_async(void* to, const void* from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :: "r"(shared_address(to)), "l"(__cvta_generic_to_global(from)), "r"(there ? 16 : 0)
                 : "memory");
}
__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int PENDING> __device__ __forceinline__ void copy_async_wait() {
    asm volatile("cp.async.wait_group %0;" :: "n"(PENDING) : "memory");
}
#else
__device__ __forceinline__ void copy_async(void* to, const void* from, bool there) {
    *static_cast<uint4*>(to) = there ? *static_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
}
__device__ __forceinline__ void copy_async_commit() {}
template <int PENDING> __device__ __forceinline__ void copy_async_wait() {}
#endif

#else
#include "../host/mma_on_host.h"
#endif

__device__ __forceinline__ void load_matrices(unsigned (&r)[4], const void* row) {
    load_matrices(r, shared_address(row));
}
__device__ __forceinline__ void load_matrices_transposed(unsigned (&r)[4], const void* row) {
    load_matrices_transposed(r, shared_address(row));
}
