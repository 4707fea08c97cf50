// What the delta net's kernels share: its shape, its small functions, and products that stay as exact as f32.
//
// Operands of products lie in memory as 32-bit words, one a number. `DeltaExact`: the f32 itself, and products by
// shuffles and FMA (any card, slow). `DeltaSplit`: two bf16, the number rounded and what rounding left of it, and three
// products on tensor cores (8.0 and newer), hi·hi + hi·lo + lo·hi: what is lost is below 2^-16 of a product.
//
// Fragments are those of mma.cuh, but each lane brings its four columns of A, and rows of B, as one quad, in any order
// that all quads of a product share: the order of a sum is free. With g = lane / 4 and t = lane % 4 a quad is, of
//   A (16 x 16): row g (`upper`) and row g + 8 (`lower`), columns of t;   B (16 x 8): column g, rows of t
// where the columns of t are 4t … 4t + 3 if quads are loaded, and 2t, 2t + 1, 2t + 8, 2t + 9 if A comes from sums.
#pragma once
#include "mma.cuh"
#include "types.cuh"

constexpr int DELTA_CHUNK = 64;       // tokens of a chunk
constexpr int DELTA_MOST_DIM = 128;   // of a key or value, in chunks
constexpr int DELTA_ROW = DELTA_MOST_DIM;  // numbers from a row of keys or values of a chunk to the next
constexpr float DELTA_LENGTH_EPS = 1e-6f;

// As the host has it, in 64-bit words.
struct DeltaShape {
    int key_heads, value_heads, key_dim, value_dim, width, tiled;
};

// The key head that a value head reads.
__device__ __forceinline__ int delta_key_head(const DeltaShape& shape, int head) {
    return shape.tiled ? head % shape.key_heads : head / (shape.value_heads / shape.key_heads);
}

// The `member`th value head that reads a key head.
__device__ __forceinline__ int delta_value_head(const DeltaShape& shape, int key_head, int member) {
    return shape.tiled ? key_head + member * shape.key_heads
                       : key_head * (shape.value_heads / shape.key_heads) + member;
}

__device__ __forceinline__ int delta_channels(const DeltaShape& shape) {
    return 2 * shape.key_heads * shape.key_dim + shape.value_heads * shape.value_dim;
}

__device__ __forceinline__ float delta_sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
__device__ __forceinline__ float delta_silu(float x) { return x / (1.0f + expf(-x)); }

// Logarithm of the decay, at most 0: `rate` is negative, times ln(1 + e^x).
__device__ __forceinline__ float delta_log_decay(float x, float rate, float bias) {
    x += bias;
    return rate * (fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))));
}

// One channel of one token after the convolution and silu. `rows` are those before token 0, oldest first.
template <class T>
__device__ __forceinline__ float delta_convolved(const T* x, const T* rows, const float* weight, long long token,
                                                 long long channel, const DeltaShape& shape) {
    const long long channels = delta_channels(shape);
    float sum = 0.0f;
    for (int tap = 0; tap < shape.width; tap++) {
        const long long seen = token - (shape.width - 1) + tap;
        const T* from = seen < 0 ? rows + (token + tap) * channels : x + seen * channels;
        sum += wide(from[channel]) * weight[tap * channels + channel];
    }
    return delta_silu(sum);
}

struct DeltaExact {
    struct Left { float upper[4], lower[4]; };
    struct Right { float quad[4]; };

    static __device__ __forceinline__ unsigned word(float x) { return __float_as_uint(x); }
    static __device__ __forceinline__ float number(unsigned word) { return __uint_as_float(word); }

    static __device__ __forceinline__ Left left(const uint4& upper, const uint4& lower) {
        return {{number(upper.x), number(upper.y), number(upper.z), number(upper.w)},
                {number(lower.x), number(lower.y), number(lower.z), number(lower.w)}};
    }
    static __device__ __forceinline__ Right right(const uint4& quad) {
        return {{number(quad.x), number(quad.y), number(quad.z), number(quad.w)}};
    }

    static __device__ __forceinline__ void multiply_by_shuffles(float (&c)[4], const Left& left, const Right& right) {
        const int lane = threadIdx.x % 32, row = lane / 4 * 4, column = lane % 4 * 8;
#pragma unroll
        for (int i = 0; i < 16; i++) {
            const float upper = __shfl_sync(ALL_LANES, left.upper[i % 4], row + i / 4);
            const float lower = __shfl_sync(ALL_LANES, left.lower[i % 4], row + i / 4);
            const float even = __shfl_sync(ALL_LANES, right.quad[i % 4], column + i / 4);
            const float odd = __shfl_sync(ALL_LANES, right.quad[i % 4], column + 4 + i / 4);
            c[0] += upper * even;
            c[1] += upper * odd;
            c[2] += lower * even;
            c[3] += lower * odd;
        }
    }

#ifdef __CUDACC__
    static __device__ __forceinline__ void multiply_one(float (&c)[4], const Left& left, const Right& right) {
        multiply_by_shuffles(c, left, right);
    }
#else
    // The same sums with one meeting of the warp in place of 64 shuffles.
    struct Operands { Left left; Right right; };
    static void multiply_one(float (&c)[4], const Left& left, const Right& right) {
        const Operands* of = host::of_all_lanes(Operands{left, right});
        const int row = threadIdx.x % 32 / 4 * 4, column = threadIdx.x % 4 * 8;
        for (int i = 0; i < 16; i++) {
            const Left& of_row = of[row + i / 4].left;
            const float even = of[column + i / 4].right.quad[i % 4], odd = of[column + 4 + i / 4].right.quad[i % 4];
            c[0] += of_row.upper[i % 4] * even;
            c[1] += of_row.upper[i % 4] * odd;
            c[2] += of_row.lower[i % 4] * even;
            c[3] += of_row.lower[i % 4] * odd;
        }
    }
#endif

    // c[n] += left · right[n]
    template <int N>
    static __device__ __forceinline__ void multiply(float (*c)[4], const Left& left, const Right (&right)[N]) {
#pragma unroll
        for (int n = 0; n < N; n++) multiply_one(c[n], left, right[n]);
    }
};

struct DeltaSplit {
    struct Left { unsigned high[4], low[4]; };
    struct Right { unsigned high[2], low[2]; };

    static __device__ __forceinline__ unsigned word(float x) {
        const float high = wide(narrow<bf16>(x));
        return (__float_as_uint(high) & 0xffff0000u) | (pack<bf16>(x - high, 0.0f) & 0xffffu);
    }
    static __device__ __forceinline__ float number(unsigned word) {
        return __uint_as_float(word & 0xffff0000u) + __uint_as_float(word << 16);
    }

    static __device__ __forceinline__ unsigned highs(unsigned first, unsigned second) {
        return __byte_perm(first, second, 0x7632);
    }
    static __device__ __forceinline__ unsigned lows(unsigned first, unsigned second) {
        return __byte_perm(first, second, 0x5410);
    }
    static __device__ __forceinline__ Left left(const uint4& upper, const uint4& lower) {
        return {{highs(upper.x, upper.y), highs(lower.x, lower.y), highs(upper.z, upper.w), highs(lower.z, lower.w)},
                {lows(upper.x, upper.y), lows(lower.x, lower.y), lows(upper.z, upper.w), lows(lower.z, lower.w)}};
    }
    static __device__ __forceinline__ Right right(const uint4& quad) {
        return {{highs(quad.x, quad.y), highs(quad.z, quad.w)}, {lows(quad.x, quad.y), lows(quad.z, quad.w)}};
    }

    // c[n] += left · right[n], from the smallest products on. Each waits for the last one of its own sums: others
    // come between.
    template <int N>
    static __device__ __forceinline__ void multiply(float (*c)[4], const Left& left, const Right (&right)[N]) {
#pragma unroll
        for (int n = 0; n < N; n++) mma_16x8x16<bf16>(c[n], left.low, right[n].high[0], right[n].high[1]);
#pragma unroll
        for (int n = 0; n < N; n++) mma_16x8x16<bf16>(c[n], left.high, right[n].low[0], right[n].low[1]);
#pragma unroll
        for (int n = 0; n < N; n++) mma_16x8x16<bf16>(c[n], left.high, right[n].high[0], right[n].high[1]);
    }
};

// Two neighbouring column blocks of sums as the left operand of a product.
template <class P>
__device__ __forceinline__ typename P::Left delta_as_left(const float (&a)[4], const float (&b)[4]) {
    const uint4 upper = make_uint4(P::word(a[0]), P::word(a[1]), P::word(b[0]), P::word(b[1]));
    const uint4 lower = make_uint4(P::word(a[2]), P::word(a[3]), P::word(b[2]), P::word(b[3]));
    return P::left(upper, lower);
}

__device__ __forceinline__ uint4 delta_quad(const unsigned* at) { return *reinterpret_cast<const uint4*>(at); }

// Words 2t, 2t + 1, 2t + 8, 2t + 9 of a row.
__device__ __forceinline__ uint4 delta_pairs(const unsigned* row, int t) {
    const uint2 first = *reinterpret_cast<const uint2*>(row + 2 * t);
    const uint2 second = *reinterpret_cast<const uint2*>(row + 2 * t + 8);
    return make_uint4(first.x, first.y, second.x, second.y);
}

// Quads of 16 rows of a left operand from `rows` on, of which the first `width` numbers hold, a multiple of 16.
struct DeltaLeftQuads {
    static constexpr int STEPS = DELTA_MOST_DIM / 16;
    uint4 upper[STEPS], lower[STEPS];

    __device__ __forceinline__ void load(const unsigned* rows, int width) {
        const int lane = threadIdx.x % 32;
        const unsigned* from = rows + lane / 4 * DELTA_ROW + 4 * (lane % 4);
#pragma unroll
        for (int k = 0; k < STEPS; k++) {
            if (16 * k >= width) continue;
            upper[k] = delta_quad(from + 16 * k);
            lower[k] = delta_quad(from + 8 * DELTA_ROW + 16 * k);
        }
    }
};

// Four words of a column, `step` apart.
__device__ __forceinline__ uint4 delta_column(const unsigned* at, int step) {
    return make_uint4(at[0], at[step], at[2 * step], at[3 * step]);
}
