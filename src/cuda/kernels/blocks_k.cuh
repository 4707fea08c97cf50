// GGUF's blocks of 256 weights: Q4_K, Q5_K, Q6_K. What a kind has is said in blocks_32.cuh.
//
// Eight lanes take a block, each 16 bytes of levels: 16 weights below, and 16 above. Q4_K and Q5_K are
// whole multiples of 16 bytes, and so is every piece of them; Q6_K is a multiple of 2 only.
#pragma once
#include "blocks_bytes.cuh"
#include "blocks_levels.cuh"

namespace blocks {

// Scales and minima of 6 bits, two groups side by side: a byte each, in the lower two.
struct PairOfScales {
    unsigned scales, minima;
};

// Of groups 2 · pair and 2 · pair + 1, from the 12 bytes y, z, w of `head`.
__device__ __forceinline__ PairOfScales pair_of_scales(uint4 head, int pair) {
    const int shift = pair % 2 * 16;
    const unsigned y = head.y >> shift, z = head.z >> shift, w = head.w >> shift;
    // Chosen by masks, not by a branch: loads of other rows are to pass.
    const unsigned first = pair < 2 ? 0x3f3fu : 0u, second = pair < 2 ? 0u : 0x0f0fu;
    const unsigned upper = second << 2 & 0x3030u;
    return {(y & first) | (w & second) | (y >> 2 & upper),
            (z & first) | (w >> 4 & second) | (z >> 2 & upper)};
}

// Lane `piece` has bytes 16 · (piece % 2) of groups 2 · (piece / 2), below, and the one after it, above.
struct InputK {
    uint4 low, high;
    float2 scales;
    float sum;  // of the group that this lane takes the minimum of
};

__device__ __forceinline__ InputK input_k(const Levels& x, int index, int piece) {
    const int8_t* from = x.levels + (size_t)index * 256 + piece / 2 * 64 + piece % 2 * 16;
    const float4 pair = *reinterpret_cast<const float4*>(x.groups + (size_t)index * 8 + piece / 2 * 2);
    return {levels16(from), levels16(from + 32), make_float2(pair.x, pair.z), piece % 2 ? pair.w : pair.y};
}

__device__ __forceinline__ float dot_k(uint4 head, uint4 low, uint4 high, const InputK& x, int piece) {
    const PairOfScales pair = pair_of_scales(head, piece / 2);
    const int low_sum = (int)(pair.scales & 255) * dot16(low, x.low);
    const int high_sum = (int)(pair.scales >> 8) * dot16(high, x.high);
    const float minimum = (float)(pair.minima >> (piece % 2 * 8) & 255);
    const float2 d = halves_of(head.x);
    return d.x * (x.scales.x * (float)low_sum + x.scales.y * (float)high_sum) - d.y * (minimum * x.sum);
}

__device__ __forceinline__ Eight eight_k(const uint8_t* block, int at, const uint8_t* bytes,
                                         const uint8_t* fifth) {
    const uint4 head = aligned16(block);
    const PairOfScales pair = pair_of_scales(head, at / 64);
    const float2 d = halves_of(head.x);
    const int group = at / 32, shift = group % 2 * 8;
    Eight out = {d.x * (float)(pair.scales >> shift & 255), -(d.y * (float)(pair.minima >> shift & 255)), {}};
    for (int i = 0; i < 2; i++) {
        const int byte = at % 32 + 4 * i;
        out.levels[i] = word_at(bytes + at / 64 * 32 + byte) >> (group % 2 * 4) & 0x0f0f0f0fu;
        if (fifth) out.levels[i] |= (word_at(fifth + byte) >> group & 0x01010101u) << 4;
    }
    return out;
}

// d, dmin, 12 bytes of scales and minima, 128 bytes: d · scale · level − dmin · minimum
struct Q4K {
    static constexpr int WEIGHTS = 256, BYTES = 144, PIECES = 8, ROWS = 4, OFFSET = 0;
    static constexpr bool ADDS = true, ALIGNED = true;
    struct Weights {
        uint4 head, levels;
    };
    using Input = InputK;
    static __device__ __forceinline__ Weights load(const uint8_t* block, int piece) {
        return {aligned16(block), aligned16(block + 16 + 16 * piece)};
    }
    static __device__ __forceinline__ Input input(const Levels& x, int index, int piece) {
        return input_k(x, index, piece);
    }
    static __device__ __forceinline__ float dot(const Weights& w, const Input& x, unsigned, int piece) {
        return dot_k(w.head, nibbles(w.levels, 0), nibbles(w.levels, 4), x, piece);
    }
    static __device__ __forceinline__ Eight eight(const uint8_t* block, int at) {
        return eight_k(block, at, block + 16, nullptr);
    }
};

// As Q4_K, with 32 bytes of fifth bits ahead of the levels: bit g of byte i is that of weight i of group
// g.
struct Q5K {
    static constexpr int WEIGHTS = 256, BYTES = 176, PIECES = 8, ROWS = 2, OFFSET = 0;
    static constexpr bool ADDS = true, ALIGNED = true;
    struct Weights {
        uint4 head, fifth, levels;
    };
    using Input = InputK;
    static __device__ __forceinline__ Weights load(const uint8_t* block, int piece) {
        return {aligned16(block), aligned16(block + 16 + piece % 2 * 16), aligned16(block + 48 + 16 * piece)};
    }
    static __device__ __forceinline__ Input input(const Levels& x, int index, int piece) {
        return input_k(x, index, piece);
    }
    static __device__ __forceinline__ float dot(const Weights& w, const Input& x, unsigned, int piece) {
        const int group = piece / 2 * 2;
        const uint4 low = either(nibbles(w.levels, 0), above_four(w.fifth, group, 1));
        const uint4 high = either(nibbles(w.levels, 4), above_four(w.fifth, group + 1, 1));
        return dot_k(w.head, low, high, x, piece);
    }
    static __device__ __forceinline__ Eight eight(const uint8_t* block, int at) {
        return eight_k(block, at, block + 48, block + 16);
    }
};

// 128 bytes, 64 bytes of upper pairs of bits, 16 signed scales, d: d · scale · (level − 32), a scale for
// 16 weights. Weight i of a half (128): byte i % 64 of the half's 64, below or above; bits 2 · (i / 32)
// of byte i % 32 of its 32.
struct Q6K {
    static constexpr int WEIGHTS = 256, BYTES = 210, PIECES = 8, ROWS = 2, OFFSET = 32;
    static constexpr bool ADDS = false, ALIGNED = false;
    struct Weights {
        Window levels, upper;
        int low_scale, high_scale;
        uint16_t d;
    };
    // Lane `piece` has weights 16 · (piece % 4) .. + 16 of half piece / 4, and those 64 further on.
    struct Input {
        uint4 low, high;
        float2 scales;
        int low_offset, high_offset;  // −32 · sum of the levels
    };
    static __device__ __forceinline__ const uint8_t* upper(const uint8_t* block, int piece) {
        return block + 128 + piece / 4 * 32 + piece % 2 * 16;
    }
    static __device__ __forceinline__ Weights load(const uint8_t* block, int piece) {
        const uint8_t* scales = block + 192 + piece / 4 * 8 + piece % 4;
        return {window(block + 16 * piece), window(upper(block, piece)), byte_at(scales), byte_at(scales + 4),
                two_at(block + 208)};
    }
    static __device__ __forceinline__ Input input(const Levels& x, int index, int piece) {
        const int8_t* from = x.levels + (size_t)index * 256 + piece / 4 * 128 + piece % 4 * 16;
        const float2* groups = x.groups + (size_t)index * 8 + piece / 4 * 4 + piece % 4 / 2;
        const uint4 low = levels16(from), high = levels16(from + 64);
        const uint4 offset = make_uint4(0xe0e0e0e0u, 0xe0e0e0e0u, 0xe0e0e0e0u, 0xe0e0e0e0u);
        return {low, high, make_float2(groups[0].x, groups[2].x), dot16(offset, low), dot16(offset, high)};
    }
    static __device__ __forceinline__ float dot(const Weights& w, const Input& x, unsigned place, int piece) {
        const uint4 v = seen(w.levels, place), up = seen(w.upper, place);
        const int from = piece % 4 / 2 * 2;
        const int low = dot16(either(nibbles(v, 0), above_four(up, from, 2)), x.low) + x.low_offset;
        const int high = dot16(either(nibbles(v, 4), above_four(up, from + 4, 2)), x.high) + x.high_offset;
        const float below = x.scales.x * (float)(w.low_scale * low);
        return wide_half(w.d) * (below + x.scales.y * (float)(w.high_scale * high));
    }
    static __device__ __forceinline__ Eight eight(const uint8_t* block, int at) {
        const int half = at / 128, in_half = at % 128;
        Eight out = {half_at(block + 208) * (float)byte_at(block + 192 + at / 16), 0.0f, {}};
        for (int i = 0; i < 2; i++) {
            const unsigned low = word_at(block + half * 64 + in_half % 64 + 4 * i) >> (in_half / 64 * 4);
            const unsigned up = word_at(block + 128 + half * 32 + in_half % 32 + 4 * i) >> (in_half / 32 * 2);
            out.levels[i] = (low & 0x0f0f0f0fu) | (up & 0x03030303u) << 4;
        }
        return out;
    }
};

}  // namespace blocks
