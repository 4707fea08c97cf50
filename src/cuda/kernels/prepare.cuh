// Between the projections and attention, in one pass: each head of q and k normalised, then rotated at its position;
// q stays where it is, k and v go into the caches.
//
// q (tokens, heads · dim), k and v (tokens, kv_heads · dim); caches (kv_heads, capacity, dim); cos and sin
// (positions, half) f32. Token t stands at position[0] + t, read on the device. The first 2·half numbers of a head
// are turned, number i with i + half; the others pass. Norms accumulate in f32 and round to T before the rotation,
// which is in f32 and rounds to T. A token beyond the capacity or the tables is left alone.
//
// One warp a head of q, k or v: a lane holds up to 8 numbers of it, as pairs that turn together, two pairs side by
// side where addresses allow, so that a warp moves 128 bytes of 16-bit numbers at a time. Heads of 256 at most.
//
// Bound by bytes in prefill: each of q, k and v is read once and written once; tables and weights come from cache. A
// decode step's 48 heads are bound by latency: two dependent trips to memory, the position's and the tables'.
// Gain expected over candle's operations: 1 launch in place of 12 (2 norms, 4 casts, 2 rotations, 2 transpositions, 2
// copies into the caches), and of q 4 bytes a number moved in place of 24 in bf16; not measured: no GPU here.
#pragma once
#include "types.cuh"
#include "rows.cuh"

// Numbers of a head in one lane.
constexpr int PREPARE_IN_LANE = 8;

// Sizes; `in_pairs` says that addresses and lengths allow two numbers at a time.
struct PrepareShape {
    long long tokens, capacity, positions;
    int heads, kv_heads, dim, half, in_pairs;
    float eps;
};

// One head: where it lies and where it goes, `step` numbers further for each position. With a weight it is
// normalised, with cos and sin (positions, half) turned.
template <class T, class W>
struct PrepareHead {
    const T* from;
    T* to;
    long long step;
    const W* weight;
    const float *cos, *sin;
};

// By the norm's scale and weights, rounded as the norm's own output would be.
template <class T, class W, int N>
__device__ __forceinline__ void prepare_scale(float (&numbers)[N], float scale, const RowsPack<W, N>& weights) {
    float by[N];
    weights.unpack(by);
#pragma unroll
    for (int i = 0; i < N; i++) numbers[i] = wide(narrow<T>(scale * numbers[i] * by[i]));
}

// One head, by one warp. A unit is N numbers from `low` and the N that turn with them from `high`; what passes, behind
// them, is taken as the same kind of pairs. All that does not depend on the position is on its way before it is known.
template <class T, class W, int N>
__device__ __forceinline__ void prepare_head(const PrepareHead<T, W>& head, const PrepareShape& shape, long long token,
                                             const unsigned* position) {
    constexpr int UNITS = PREPARE_IN_LANE / (2 * N);
    const int lane = threadIdx.x % 32, half = shape.half, pairs = shape.dim / 2;
    auto low = [&](int pair) { return pair < half ? pair : pair + half; };
    auto high = [&](int pair) { return pair < half ? pair + half : pair + pairs; };
    RowsPack<T, N> lows[UNITS], highs[UNITS];
    RowsPack<W, N> by_lows[UNITS], by_highs[UNITS];
    const unsigned before = *position;
#pragma unroll
    for (int unit = 0; unit < UNITS; unit++) {
        const int pair = (lane + unit * 32) * N;
        if (pair >= pairs) continue;
        lows[unit].load(head.from + low(pair));
        highs[unit].load(head.from + high(pair));
        if (!head.weight) continue;
        by_lows[unit].load(head.weight + low(pair));
        by_highs[unit].load(head.weight + high(pair));
    }
    const long long at = token + before;
    if (at >= shape.capacity || at >= shape.positions) return;
    RowsPack<float, N> cos[UNITS], sin[UNITS];
    float squares = 0.0f;
#pragma unroll
    for (int unit = 0; unit < UNITS; unit++) {
        const int pair = (lane + unit * 32) * N;
        if (pair >= pairs) continue;
        if (head.cos && pair < half) {
            cos[unit].load(head.cos + at * half + pair);
            sin[unit].load(head.sin + at * half + pair);
        }
        float left[N], right[N];
        lows[unit].unpack(left);
        highs[unit].unpack(right);
#pragma unroll
        for (int i = 0; i < N; i++) squares += left[i] * left[i] + right[i] * right[i];
    }
    const float scale = head.weight ? rsqrtf(warp_sum(squares) / float(shape.dim) + shape.eps) : 1.0f;
    T* to = head.to + at * head.step;
#pragma unroll
    for (int unit = 0; unit < UNITS; unit++) {
        const int pair = (lane + unit * 32) * N;
        if (pair >= pairs) continue;
        float left[N], right[N];
        lows[unit].unpack(left);
        highs[unit].unpack(right);
        if (head.weight) {
            prepare_scale<T, W, N>(left, scale, by_lows[unit]);
            prepare_scale<T, W, N>(right, scale, by_highs[unit]);
        }
        if (head.cos && pair < half) {
            float c[N], s[N];
            cos[unit].unpack(c);
            sin[unit].unpack(s);
#pragma unroll
            for (int i = 0; i < N; i++) {
                const float x = left[i], y = right[i];
                left[i] = x * c[i] - y * s[i];
                right[i] = y * c[i] + x * s[i];
            }
        }
        rows_store<T, N>(left, to + low(pair));
        rows_store<T, N>(right, to + high(pair));
    }
}

template <class T, class W>
__device__ __forceinline__ void prepare(T* q, const T* k, const T* v, T* keys, T* values, const W* query_weight,
                                        const W* key_weight, const float* cos, const float* sin,
                                        const unsigned* position, const PrepareShape& shape) {
    begin_after_previous();
    const int of_token = shape.heads + 2 * shape.kv_heads, dim = shape.dim;
    const long long warp = (long long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, token = warp / of_token;
    if (token >= shape.tokens) return;
    const int number = int(warp % of_token);
    const int of_keys = number - shape.heads, of_values = of_keys - shape.kv_heads;
    PrepareHead<T, W> head;
    if (of_values >= 0) {
        const T* from = v + (token * shape.kv_heads + of_values) * dim;
        head = {from, values + of_values * shape.capacity * dim, dim, nullptr, nullptr, nullptr};
    } else if (of_keys >= 0) {
        const T* from = k + (token * shape.kv_heads + of_keys) * dim;
        head = {from, keys + of_keys * shape.capacity * dim, dim, key_weight, cos, sin};
    } else {
        T* at = q + (token * shape.heads + number) * dim;
        head = {at, at, 0, query_weight, cos, sin};
    }
    if (shape.in_pairs) {
        prepare_head<T, W, 2>(head, shape, token, position);
    } else {
        prepare_head<T, W, 1>(head, shape, token, position);
    }
}

#define PREPARE(T, W)                                                                                          \
    extern "C" __global__ void __launch_bounds__(128)                                                          \
        prepare_##T##_##W(ROWS_##T* q, const ROWS_##T* k, const ROWS_##T* v, ROWS_##T* keys, ROWS_##T* values, \
                          const ROWS_##W* query_weight, const ROWS_##W* key_weight, const float* cos,          \
                          const float* sin, const unsigned* position, long long tokens, long long capacity,    \
                          long long positions, int heads, int kv_heads, int dim, int half, int in_pairs,       \
                          float eps) {                                                                         \
        const PrepareShape shape = {tokens, capacity, positions, heads, kv_heads, dim, half, in_pairs, eps};   \
        prepare(q, k, v, keys, values, query_weight, key_weight, cos, sin, position, shape);                   \
    }                                                                                                          \
    ENTRY(prepare_##T##_##W)

PREPARE(f32, f32);
PREPARE(bf16, bf16);
PREPARE(bf16, f32);
PREPARE(f16, f16);
PREPARE(f16, f32);
