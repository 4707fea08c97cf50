// Eight numbers of a row at a time, of whatever type a matrix of weights has.
#pragma once
#include "gemv_blocks.cuh"
#include "types.cuh"

// Row `row` of a matrix; of none if that is null.
struct ExpertsRow {
    const void* matrix;
    int row;
};

__device__ __forceinline__ ExpertsRow experts_row(unsigned long long matrix, int row) {
    return {reinterpret_cast<const void*>(matrix), row};
}

__device__ __forceinline__ float experts_silu(float x) { return x / (1.0f + expf(-x)); }

// Up to 8 numbers, of which `there` are there; the others stay as they were.
template <class T> __device__ __forceinline__ void experts_eight(const T* from, int there, float (&to)[8]) {
    constexpr int WORDS = 8 * sizeof(T) / 16;
    if (there >= 8 && reinterpret_cast<size_t>(from) % 16 == 0) {
        T numbers[8];
        uint4 words[WORDS];
#pragma unroll
        for (int word = 0; word < WORDS; word++) words[word] = reinterpret_cast<const uint4*>(from)[word];
        memcpy(numbers, words, sizeof(numbers));
#pragma unroll
        for (int i = 0; i < 8; i++) to[i] = wide(numbers[i]);
        return;
    }
#pragma unroll
    for (int i = 0; i < 8; i++) {
        if (i < there) to[i] = wide(from[i]);
    }
}

// Numbers `column` to `column` + 8 of a row of blocks.
template <class Kind>
__device__ __forceinline__ void experts_eight(ExpertsRow from, int columns, int column, float (&to)[8]) {
    const size_t index = (size_t)from.row * (columns / Kind::WEIGHTS) + column / Kind::WEIGHTS;
    const uint8_t* block = static_cast<const uint8_t*>(from.matrix) + index * Kind::BYTES;
    const blocks::Eight eight = Kind::eight(block, column % Kind::WEIGHTS);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const int level = (int)(eight.levels[i / 4] >> (8 * (i % 4)) & 255) - Kind::OFFSET;
        to[i] = eight.scale * (float)level;
        if (Kind::ADDS) to[i] += eight.added;
    }
}
