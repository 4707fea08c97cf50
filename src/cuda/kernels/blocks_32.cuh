// GGUF's blocks of 32 weights: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0. Levels of four bits: byte i of 16 has weight
// i below, and weight i + 16 above.
//
// A kind K says WEIGHTS and BYTES of a block; PIECES, how many lanes take one; ROWS, how many rows a warp
// takes at a time; OFFSET and ADDS, how a weight comes of its level; whether blocks are ALIGNED to 16
// bytes; and has
//     Weights load(block, piece)             what a lane needs of a block, asked for, not yet used
//     Input input(x, index, piece)           what it needs of x, the same for all rows
//     float dot(weights, input, place, piece)   place: the lowest bits of the block's address
//     Eight eight(block, at)                 weights at .. at + 8, at a multiple of 8
#pragma once
#include "blocks_bytes.cuh"
#include "blocks_levels.cuh"

namespace blocks {

// x for a whole block.
struct Input32 {
    uint4 low, high;
    float2 group;
};

__device__ __forceinline__ Input32 input32(const Levels& x, int index) {
    const int8_t* from = x.levels + (size_t)index * 32;
    return {levels16(from), levels16(from + 16), x.groups[index]};
}

__device__ __forceinline__ void nibbles8(const uint8_t* bytes, int at, unsigned (&levels)[2]) {
    for (int i = 0; i < 2; i++) levels[i] = word_at(bytes + at % 16 + 4 * i) >> (at / 16 * 4) & 0x0f0f0f0fu;
}

// d, 16 bytes: d · (level − 8)
struct Q4_0 {
    static constexpr int WEIGHTS = 32, BYTES = 18, PIECES = 1, ROWS = 4, OFFSET = 8;
    static constexpr bool ADDS = false, ALIGNED = false;
    struct Weights {
        Window levels;
        uint16_t d;
    };
    using Input = Input32;
    static __device__ __forceinline__ Weights load(const uint8_t* block, int) {
        return {window(block + 2), two_at(block)};
    }
    static __device__ __forceinline__ Input input(const Levels& x, int index, int) {
        return input32(x, index);
    }
    static __device__ __forceinline__ float dot(const Weights& w, const Input& x, unsigned place, int) {
        const uint4 v = seen(w.levels, place + 2);
        const int sum = dot16(nibbles(v, 0), x.low) + dot16(nibbles(v, 4), x.high);
        return wide_half(w.d) * (x.group.x * (float)sum - 8.0f * x.group.y);
    }
    static __device__ __forceinline__ Eight eight(const uint8_t* block, int at) {
        Eight out = {half_at(block), 0.0f, {}};
        nibbles8(block + 2, at, out.levels);
        return out;
    }
};

// d, m, 16 bytes: d · level + m
struct Q4_1 {
    static constexpr int WEIGHTS = 32, BYTES = 20, PIECES = 1, ROWS = 4, OFFSET = 0;
    static constexpr bool ADDS = true, ALIGNED = false;
    struct Weights {
        Window levels;
        unsigned scales;
    };
    using Input = Input32;
    static __device__ __forceinline__ Weights load(const uint8_t* block, int) {
        return {window(block + 4), four_at(block)};
    }
    static __device__ __forceinline__ Input input(const Levels& x, int index, int) {
        return input32(x, index);
    }
    static __device__ __forceinline__ float dot(const Weights& w, const Input& x, unsigned place, int) {
        const uint4 v = seen(w.levels, place + 4);
        const int sum = dot16(nibbles(v, 0), x.low) + dot16(nibbles(v, 4), x.high);
        const float2 scales = halves_of(w.scales);
        return scales.x * (x.group.x * (float)sum) + scales.y * x.group.y;
    }
    static __device__ __forceinline__ Eight eight(const uint8_t* block, int at) {
        Eight out = {half_at(block), half_at(block + 2), {}};
        nibbles8(block + 4, at, out.levels);
        return out;
    }
};

// d, 32 fifth bits, 16 bytes: d · (level − 16)
struct Q5_0 {
    static constexpr int WEIGHTS = 32, BYTES = 22, PIECES = 1, ROWS = 4, OFFSET = 16;
    static constexpr bool ADDS = false, ALIGNED = false;
    struct Weights {
        Window levels;
        uint16_t fifth[2];  // put together when used: a load's result is not to be waited for here
        uint16_t d;
    };
    using Input = Input32;
    static __device__ __forceinline__ Weights load(const uint8_t* block, int) {
        return {window(block + 6), {two_at(block + 2), two_at(block + 4)}, two_at(block)};
    }
    static __device__ __forceinline__ Input input(const Levels& x, int index, int) {
        return input32(x, index);
    }
    static __device__ __forceinline__ float dot(const Weights& w, const Input& x, unsigned place, int) {
        const uint4 v = seen(w.levels, place + 6);
        const int sum = dot16(either(nibbles(v, 0), fifths16(w.fifth[0])), x.low)
                      + dot16(either(nibbles(v, 4), fifths16(w.fifth[1])), x.high);
        return wide_half(w.d) * (x.group.x * (float)sum - 16.0f * x.group.y);
    }
    static __device__ __forceinline__ Eight eight(const uint8_t* block, int at) {
        Eight out = {half_at(block), 0.0f, {}};
        nibbles8(block + 6, at, out.levels);
        const unsigned fifth = word_at(block + 2) >> at;
        for (int i = 0; i < 2; i++) out.levels[i] |= fifths(fifth >> (4 * i));
        return out;
    }
};

// d, m, 32 fifth bits, 16 bytes: d · level + m
struct Q5_1 {
    static constexpr int WEIGHTS = 32, BYTES = 24, PIECES = 1, ROWS = 4, OFFSET = 0;
    static constexpr bool ADDS = true, ALIGNED = false;
    struct Weights {
        Window levels;
        unsigned scales, fifth;
    };
    using Input = Input32;
    static __device__ __forceinline__ Weights load(const uint8_t* block, int) {
        return {window(block + 8), four_at(block), four_at(block + 4)};
    }
    static __device__ __forceinline__ Input input(const Levels& x, int index, int) {
        return input32(x, index);
    }
    static __device__ __forceinline__ float dot(const Weights& w, const Input& x, unsigned place, int) {
        const uint4 v = seen(w.levels, place + 8);
        const int sum = dot16(either(nibbles(v, 0), fifths16(w.fifth)), x.low)
                      + dot16(either(nibbles(v, 4), fifths16(w.fifth >> 16)), x.high);
        const float2 scales = halves_of(w.scales);
        return scales.x * (x.group.x * (float)sum) + scales.y * x.group.y;
    }
    static __device__ __forceinline__ Eight eight(const uint8_t* block, int at) {
        Eight out = {half_at(block), half_at(block + 2), {}};
        nibbles8(block + 8, at, out.levels);
        const unsigned fifth = word_at(block + 4) >> at;
        for (int i = 0; i < 2; i++) out.levels[i] |= fifths(fifth >> (4 * i));
        return out;
    }
};

// d, 32 signed bytes: d · level. A lane takes half a block.
struct Q8_0 {
    static constexpr int WEIGHTS = 32, BYTES = 34, PIECES = 2, ROWS = 4, OFFSET = 128;
    static constexpr bool ADDS = false, ALIGNED = false;
    struct Weights {
        Window levels;
        uint16_t d;
    };
    struct Input {
        uint4 levels;
        float scale;
    };
    static __device__ __forceinline__ Weights load(const uint8_t* block, int piece) {
        return {window(block + 2 + 16 * piece), two_at(block)};
    }
    static __device__ __forceinline__ Input input(const Levels& x, int index, int piece) {
        return {levels16(x.levels + (size_t)index * 32 + 16 * piece), x.groups[index].x};
    }
    static __device__ __forceinline__ float dot(const Weights& w, const Input& x, unsigned place, int piece) {
        return wide_half(w.d) * (x.scale * (float)dot16(seen(w.levels, place + 2), x.levels));
    }
    static __device__ __forceinline__ Eight eight(const uint8_t* block, int at) {
        Eight out = {half_at(block), 0.0f, {}};
        for (int i = 0; i < 2; i++) out.levels[i] = word_at(block + 2 + at + 4 * i) ^ 0x80808080u;
        return out;
    }
};

}  // namespace blocks
