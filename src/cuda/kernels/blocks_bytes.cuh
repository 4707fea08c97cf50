// How bytes of GGUF's blocks come into registers, wherever they lie, and how levels are multiplied.
#pragma once
#include "gemv_dense.cuh"

namespace blocks {

// 16 bytes from a place that is a multiple of 2 only, as the one or two aligned pieces that hold them.
// Taken apart when they are needed, not when they are asked for, so that a lane does not wait.
// Neighbouring lanes ask for overlapping pieces, which L1 answers. Bytes around those asked for are read
// with them, never beyond an aligned piece of 16 that holds some: memory is given in larger units than
// that.
struct Window {
    uint4 first, second;
};

// 16 bytes from a multiple of 16. Kept in L1: other lanes, or the next instruction, take the rest of the
// sector. In assembly, so that the compiler neither asks for parts of it nor moves it to where it is
// used.
__device__ __forceinline__ uint4 aligned16(const uint8_t* from) {
#ifdef __CUDACC__
    uint4 v;
    asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(from));
    return v;
#else
    return *reinterpret_cast<const uint4*>(from);
#endif
}

__device__ __forceinline__ Window window(const uint8_t* from) {
    const unsigned before = reinterpret_cast<size_t>(from) % 16;
    return {aligned16(from - before), aligned16(from + (before > 0 ? 16 : 0) - before)};
}

// The 16 bytes from an address that ends in the bits of `offset`.
__device__ __forceinline__ uint4 seen(const Window& window, unsigned offset) {
    const uint4 a = window.first, b = window.second;
    const bool by_two = offset & 8, by_one = offset & 4;
    const unsigned selector = offset & 2 ? 0x5432 : 0x3210;
    const unsigned x0 = by_two ? a.z : a.x, x1 = by_two ? a.w : a.y, x2 = by_two ? b.x : a.z;
    const unsigned x3 = by_two ? b.y : a.w, x4 = by_two ? b.z : b.x, x5 = by_two ? b.w : b.y;
    const unsigned y0 = by_one ? x1 : x0, y1 = by_one ? x2 : x1, y2 = by_one ? x3 : x2;
    const unsigned y3 = by_one ? x4 : x3, y4 = by_one ? x5 : x4;
    return make_uint4(__byte_perm(y0, y1, selector), __byte_perm(y1, y2, selector),
                      __byte_perm(y2, y3, selector), __byte_perm(y3, y4, selector));
}

// Two bytes from a multiple of 2, for later.
__device__ __forceinline__ uint16_t two_at(const uint8_t* from) {
#ifdef __CUDACC__
    uint16_t v;
    asm volatile("ld.global.u16 %0, [%1];" : "=h"(v) : "l"(from));
    return v;
#else
    return *reinterpret_cast<const uint16_t*>(from);
#endif
}

// Four bytes from a multiple of 4, for later.
__device__ __forceinline__ unsigned four_at(const uint8_t* from) {
#ifdef __CUDACC__
    unsigned v;
    asm volatile("ld.global.u32 %0, [%1];" : "=r"(v) : "l"(from));
    return v;
#else
    return *reinterpret_cast<const unsigned*>(from);
#endif
}

// A signed byte, for later.
__device__ __forceinline__ int byte_at(const uint8_t* from) {
#ifdef __CUDACC__
    int v;
    asm volatile("ld.global.s8 %0, [%1];" : "=r"(v) : "l"(from));
    return v;
#else
    return static_cast<int8_t>(*from);
#endif
}

__device__ __forceinline__ float wide_half(uint16_t bits) {
    return __half2float(*reinterpret_cast<const f16*>(&bits));
}

__device__ __forceinline__ float half_at(const uint8_t* from) { return wide_half(two_at(from)); }

// A word from a multiple of 2.
__device__ __forceinline__ unsigned word_at(const uint8_t* from) {
    return two_at(from) | (unsigned)two_at(from + 2) << 16;
}

// Two f16 in a word, widened.
__device__ __forceinline__ float2 halves_of(unsigned word) {
    float both[2];
    widen_word<f16>(word, both);
    return make_float2(both[0], both[1]);
}

// 16 levels of x.
__device__ __forceinline__ uint4 levels16(const int8_t* from) {
    return *reinterpret_cast<const uint4*>(from);
}

__device__ __forceinline__ int dot16(uint4 w, uint4 x) {
    const int upper = __dp4a((int)w.z, (int)x.z, __dp4a((int)w.w, (int)x.w, 0));
    return __dp4a((int)w.x, (int)x.x, __dp4a((int)w.y, (int)x.y, upper));
}

// The lower or upper four bits of each byte.
__device__ __forceinline__ uint4 nibbles(uint4 v, int shift) {
    const unsigned mask = 0x0f0f0f0fu;
    return make_uint4(v.x >> shift & mask, v.y >> shift & mask, v.z >> shift & mask, v.w >> shift & mask);
}

__device__ __forceinline__ uint4 either(uint4 a, uint4 b) {
    return make_uint4(a.x | b.x, a.y | b.y, a.z | b.z, a.w | b.w);
}

// Four bits, each as the fifth of a byte.
__device__ __forceinline__ unsigned fifths(unsigned bits) { return (bits & 15) * 0x02040810u & 0x10101010u; }

// Sixteen bits, likewise.
__device__ __forceinline__ uint4 fifths16(unsigned bits) {
    return make_uint4(fifths(bits), fifths(bits >> 4), fifths(bits >> 8), fifths(bits >> 12));
}

// `width` bits of each byte from bit `from` on, as those above the lowest four.
__device__ __forceinline__ uint4 above_four(uint4 v, int from, unsigned width) {
    const unsigned mask = 0x01010101u * ((1u << width) - 1);
    return make_uint4((v.x >> from & mask) << 4, (v.y >> from & mask) << 4, (v.z >> from & mask) << 4,
                      (v.w >> from & mask) << 4);
}

// 8 weights that follow each other: weight = scale · (level − offset) + added.
struct Eight {
    float scale, added;
    unsigned levels[2];  // a byte each
};

}  // namespace blocks
