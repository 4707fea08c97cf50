// Rows x (rows, columns) rounded to 8 bits by groups of 32, as products with GGUF's blocks read them.
//
// In memory: the levels, int8 (rows, columns), then one float2 for each group (rows, columns / 32): the
// scale, and scale · sum of the group's levels. The rule is that of src/cpu/activations.rs: scale =
// largest / 127, level = x · (127 / largest) to the nearest, ties to even; all levels 0 where that
// quotient is no number. NaN makes its group's scale NaN, infinity makes it infinite with levels 0, so
// every product with them is NaN.
//
// Layout: a thread takes 4 numbers, 8 threads a group. Some kilobytes: bound by the launch itself. A
// kernel that makes x can do it on the way: `round_group` is for that. Not measured: no GPU here.
#pragma once
#include "gemv_ahead.cuh"
#include "types.cuh"

// One row. Levels begin at a multiple of 32 bytes, and groups at one of 8, of 16 if there is an even
// number of them.
struct Levels {
    const int8_t* levels;
    const float2* groups;
};

// Row `row` of the `rows` rows at `data`.
__device__ __forceinline__ Levels levels_of(const void* data, int rows, int columns, int row) {
    const int8_t* levels = static_cast<const int8_t*>(data);
    const float2* groups = reinterpret_cast<const float2*>(levels + (size_t)rows * columns);
    return {levels + (size_t)row * columns, groups + (size_t)row * (columns / 32)};
}

// Bits that order numbers by size, with NaN above all.
__device__ __forceinline__ unsigned size_bits(float x) { return __float_as_uint(x) & 0x7fffffffu; }

// Rounds a group of which each of 8 lanes side by side holds 4 numbers. All lanes of the warp must call
// it; those that are not `there` write nothing.
__device__ __forceinline__ void round_group(const float (&x)[4], bool there, unsigned* levels,
                                            float2* group) {
    unsigned bits = max(max(size_bits(x[0]), size_bits(x[1])), max(size_bits(x[2]), size_bits(x[3])));
    for (int step = 4; step > 0; step /= 2) bits = max(bits, __shfl_xor_sync(ALL_LANES, bits, step));
    const float largest = __uint_as_float(bits);
    const float inverse = 127.0f / largest;
    const bool zeros = bits >= 0x7f800000u || size_bits(inverse) >= 0x7f800000u;
    unsigned word = 0;
    for (int i = 0; i < 4; i++) {
        const float level = zeros ? 0.0f : x[i] * inverse;
        word |= (unsigned)(__float2int_rn(level) & 255) << (8 * i);
    }
    int sum = __dp4a((int)word, 0x01010101, 0);
    for (int step = 4; step > 0; step /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, step);
    if (!there) return;
    const float scale = largest / 127.0f;
    *levels = word;
    if (threadIdx.x % 8 == 0) *group = make_float2(scale, scale * (float)sum);
}

// `count` numbers, a multiple of 32: rows · columns.
template <class X> __device__ __forceinline__ void round_levels(const X* x, void* data, long long count) {
    const long long at = 4 * (blockIdx.x * (long long)blockDim.x + threadIdx.x);
    const bool there = at < count;
    float some[4] = {};
    begin_after_previous();
    if (there) {
        for (int i = 0; i < 4; i++) some[i] = wide(x[at + i]);
    }
    unsigned* levels = reinterpret_cast<unsigned*>(static_cast<int8_t*>(data) + at);
    float2* groups = reinterpret_cast<float2*>(static_cast<int8_t*>(data) + count);
    round_group(some, there, levels, groups + at / 32);
}

extern "C" __global__ void round_levels_f32(const float* x, void* data, long long count) {
    round_levels(x, data, count);
}
ENTRY(round_levels_f32);
extern "C" __global__ void round_levels_f16(const f16* x, void* data, long long count) {
    round_levels(x, data, count);
}
ENTRY(round_levels_f16);
extern "C" __global__ void round_levels_bf16(const bf16* x, void* data, long long count) {
    round_levels(x, data, count);
}
ENTRY(round_levels_bf16);
