// What stands around the chunks of a gated delta net: before them the convolution with all that follows it up to the
// heads, after them the norm and the gate, and the rows that the next tokens' convolution starts from.
//
// Bound: bytes. Convolution: channels · (2 in, 4 out) a token, 49 kB for 8,192 channels; finish: value channels · (4
// + 2 + 2), 33 kB for 4,096: together 0.03 us a token at 3 TB/s. Gain expected: three launches for many tokens in
// place of some twenty elementwise ones; not measured: no GPU here.
#pragma once
#include "delta_words.cuh"

constexpr int DELTA_RUN = 8;  // tokens in a row that a warp convolves: rows that it reads again are near
constexpr int DELTA_WARPS = 8;
constexpr int DELTA_LANE_DIMS = DELTA_MOST_DIM / 32;

// x (tokens, channels) after rows (width - 1, channels). queries and keys (key_heads, padded, DELTA_ROW) words, of unit
// length, queries also over the root of key_dim; values (value_heads, padded, DELTA_ROW) f32; zeros where padded, up to
// key_width and value_width.
// A warp is a head of one kind and DELTA_RUN tokens; lanes are channels.
template <class T, class P>
__device__ __forceinline__ void delta_convolve(const T* x, const T* rows, const float* weight, unsigned* queries,
                                               unsigned* keys, float* values, int tokens, int padded, int key_width,
                                               int value_width, const DeltaShape& shape) {
    const int lane = threadIdx.x % 32, head = blockIdx.y * DELTA_WARPS + threadIdx.x / 32;
    if (head >= 2 * shape.key_heads + shape.value_heads) return;
    const bool keyed = head < 2 * shape.key_heads, of_query = head < shape.key_heads;
    const int dim = keyed ? shape.key_dim : shape.value_dim, width = keyed ? key_width : value_width;
    const int value_head = head - 2 * shape.key_heads, key_head = head % shape.key_heads;
    const long long channel =
        keyed ? head * shape.key_dim : 2 * shape.key_heads * shape.key_dim + value_head * shape.value_dim;
    for (int i = 0; i < DELTA_RUN; i++) {
        const int token = blockIdx.x * DELTA_RUN + i;
        if (token >= padded) return;
        float y[DELTA_LANE_DIMS] = {}, squares = 0.0f;
#pragma unroll
        for (int n = 0; n < DELTA_LANE_DIMS; n++) {
            const int at = lane + 32 * n;
            if (at < dim && token < tokens) y[n] = delta_convolved(x, rows, weight, token, channel + at, shape);
            squares += y[n] * y[n];
        }
        float scale = 1.0f;
        if (keyed) scale = 1.0f / sqrtf(warp_sum(squares) + DELTA_LENGTH_EPS);
        if (of_query) scale /= sqrtf(float(shape.key_dim));
        const long long row = (long long)(keyed ? key_head : value_head) * padded + token;
#pragma unroll
        for (int n = 0; n < DELTA_LANE_DIMS; n++) {
            const int at = lane + 32 * n;
            if (at >= width) continue;
            if (keyed) {
                (of_query ? queries : keys)[row * DELTA_ROW + at] = P::word(y[n] * scale);
            } else {
                values[row * DELTA_ROW + at] = y[n];
            }
        }
    }
}

// Every channel's rows become its last ones before and in x (tokens, channels).
template <class T>
__device__ __forceinline__ void delta_keep(const T* x, T* rows, int tokens, const DeltaShape& shape) {
    const long long channels = delta_channels(shape), channel = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= channels) return;
    for (int row = 0; row + 1 < shape.width; row++) {
        const long long seen = (long long)tokens - (shape.width - 1) + row;
        rows[row * channels + channel] =
            seen < 0 ? rows[(row + tokens) * channels + channel] : x[seen * channels + channel];
    }
}

// answers (value_heads, padded, DELTA_ROW) to out (tokens, value_heads, value_dim): RMS norm, times silu of the gate.
// A warp is a head of a token.
template <class T>
__device__ __forceinline__ void delta_finish(const float* answers, const T* gate, const float* norm, T* out, float eps,
                                             int tokens, int padded, const DeltaShape& shape) {
    const int lane = threadIdx.x % 32;
    const long long number = (long long)blockIdx.x * DELTA_WARPS + threadIdx.x / 32;
    const long long token = number / shape.value_heads, head = number % shape.value_heads;
    if (token >= tokens) return;
    const float* from = answers + (head * padded + token) * DELTA_ROW;
    float y[DELTA_LANE_DIMS] = {}, squares = 0.0f;
#pragma unroll
    for (int n = 0; n < DELTA_LANE_DIMS; n++) {
        if (lane + 32 * n < shape.value_dim) y[n] = from[lane + 32 * n];
        squares += y[n] * y[n];
    }
    const float scale = 1.0f / sqrtf(warp_sum(squares) / shape.value_dim + eps);
#pragma unroll
    for (int n = 0; n < DELTA_LANE_DIMS; n++) {
        const int at = lane + 32 * n;
        if (at >= shape.value_dim) continue;
        const long long to = number * shape.value_dim + at;
        out[to] = narrow<T>(y[n] * scale * norm[at] * delta_silu(wide(gate[to])));
    }
}

#define DELTA_CONVOLVE(name, T, P)                                                                                   \
    extern "C" __global__ void __launch_bounds__(32 * DELTA_WARPS)                                                   \
        name(const T* x, const T* rows, const float* weight, unsigned* queries, unsigned* keys, float* values,       \
             int tokens, int padded, int key_width, int value_width, DeltaShape shape) {                             \
        delta_convolve<T, P>(x, rows, weight, queries, keys, values, tokens, padded, key_width, value_width, shape); \
    }                                                                                                                \
    ENTRY(name)
DELTA_CONVOLVE(delta_convolve_exact_f32, float, DeltaExact);
DELTA_CONVOLVE(delta_convolve_exact_bf16, bf16, DeltaExact);
DELTA_CONVOLVE(delta_convolve_exact_f16, f16, DeltaExact);
DELTA_CONVOLVE(delta_convolve_split_f32, float, DeltaSplit);
DELTA_CONVOLVE(delta_convolve_split_bf16, bf16, DeltaSplit);
DELTA_CONVOLVE(delta_convolve_split_f16, f16, DeltaSplit);
#undef DELTA_CONVOLVE

#define DELTA_AROUND(keep, finish, T)                                                                            \
    extern "C" __global__ void keep(const T* x, T* rows, int tokens, DeltaShape shape) {                         \
        delta_keep<T>(x, rows, tokens, shape);                                                                   \
    }                                                                                                            \
    ENTRY(keep);                                                                                                 \
    extern "C" __global__ void __launch_bounds__(32 * DELTA_WARPS)                                               \
        finish(const float* answers, const T* gate, const float* norm, T* out, float eps, int tokens,            \
               int padded, DeltaShape shape) {                                                                   \
        delta_finish<T>(answers, gate, norm, out, eps, tokens, padded, shape);                                   \
    }                                                                                                            \
    ENTRY(finish)
DELTA_AROUND(delta_keep_f32, delta_finish_f32, float);
DELTA_AROUND(delta_keep_bf16, delta_finish_bf16, bf16);
DELTA_AROUND(delta_keep_f16, delta_finish_f16, f16);
#undef DELTA_AROUND
