// A matrix (rows, columns) in GGUF's blocks to one of f32, f16 or bf16: the f32 value of each weight,
// rounded once.
//
// Layout: a thread takes 8 weights that follow each other, so a warp writes 512 bytes of 16-bit numbers,
// 16 at a time for a lane. The products in a weight's f32 value are exact (scale and level have less than
// 24 bits together), so fused or not, the value is the same. Bound by the bytes written, and those read.
// Gain expected: about 2.5 TB/s on an H100, 6 ms for the 15 GB of an 8B model in bf16, in a prefill of
// 650 ms at 8k; not measured: no GPU here.
#pragma once
#include "gemv_blocks.cuh"

__device__ __forceinline__ void put8(float* to, const float (&v)[8]) {
    reinterpret_cast<float4*>(to)[0] = make_float4(v[0], v[1], v[2], v[3]);
    reinterpret_cast<float4*>(to)[1] = make_float4(v[4], v[5], v[6], v[7]);
}

template <class T> __device__ __forceinline__ void put8(T* to, const float (&v)[8]) {
    union Sixteen {
        uint4 whole;
        T each[8];
        __device__ Sixteen() {}
    } some;
    for (int i = 0; i < 8; i++) some.each[i] = narrow<T>(v[i]);
    *reinterpret_cast<uint4*>(to) = some.whole;
}

template <class Kind, class T>
__device__ __forceinline__ void dequantize(const uint8_t* weights, T* out, long long count) {
    const long long first = 8 * (blockIdx.x * (long long)blockDim.x + threadIdx.x);
    if (first >= count) return;
    const uint8_t* block = weights + first / Kind::WEIGHTS * Kind::BYTES;
    const blocks::Eight eight = Kind::eight(block, first % Kind::WEIGHTS);
    float values[8];
    for (int i = 0; i < 8; i++) {
        const int level = (int)(eight.levels[i / 4] >> (8 * (i % 4)) & 255) - Kind::OFFSET;
        values[i] = eight.scale * (float)level;
        if (Kind::ADDS) values[i] += eight.added;
    }
    put8(out + first, values);
}

#define DEQUANTIZE(name, Kind, T) \
    extern "C" __global__ void dequantize_##name(const uint8_t* weights, T* out, long long count) { \
        dequantize<blocks::Kind>(weights, out, count); \
    } \
    ENTRY(dequantize_##name);
#define DEQUANTIZE_TO(type, T) \
    DEQUANTIZE(q4_0_##type, Q4_0, T) \
    DEQUANTIZE(q4_1_##type, Q4_1, T) \
    DEQUANTIZE(q5_0_##type, Q5_0, T) \
    DEQUANTIZE(q5_1_##type, Q5_1, T) \
    DEQUANTIZE(q8_0_##type, Q8_0, T) \
    DEQUANTIZE(q4k_##type, Q4K, T) \
    DEQUANTIZE(q5k_##type, Q5K, T) \
    DEQUANTIZE(q6k_##type, Q6K, T)

DEQUANTIZE_TO(f32, float)
DEQUANTIZE_TO(f16, f16)
DEQUANTIZE_TO(bf16, bf16)
