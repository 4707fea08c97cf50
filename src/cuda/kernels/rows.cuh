// Rows of numbers between the products: RMS norms, alone or with the residual's addition; gates and sums, in place.
//
// Norms: x (rows, dim) of T, weight (dim,) of T or f32; x / sqrt(mean(x²) + eps) · weight, all in f32, rounded once.
// `add_rms_norm` first adds y to the residual stream, rounds that to T as a sum of its own would be, and normalises
// what was rounded. One block a row, a thread for every 16 bytes of it up to 1,024 threads; numbers and weights wait in
// registers for the sum, so that memory is read once. Rows of up to 256 numbers take a warp each.
// Gates and sums: a thread takes 16 bytes of both inputs at a time, over a grid that may be smaller than the count.
//
// Bound by bytes in prefill: a norm moves 2 numbers for each of rows·dim, with the addition 4, a gate 3. A decode
// step's single row is bound by latency: one trip to memory and one sum over a block.
// Gain expected over candle's kernels: 1 launch in place of 2, and 4 numbers moved in place of 5 (addition and norm), 3
// in place of 5 (gate); not measured: no GPU here.
//
// Counts are int, because the launching side splits at 2^30 numbers; offsets of rows are long long.
#pragma once
#include "types.cuh"

// Numbers of T in the widest load there is.
template <class T> constexpr int ROWS_WIDEST = 16 / int(sizeof(T));

template <int BYTES> struct RowsWord;
template <> struct RowsWord<16> { using Type = uint4; };
template <> struct RowsWord<8> { using Type = uint2; };
template <> struct RowsWord<4> { using Type = unsigned; };
template <> struct RowsWord<2> { using Type = unsigned short; };

// N numbers as the words they are moved in, 16 bytes at most; addresses are aligned to a word.
template <class T, int N>
struct RowsPack {
    static constexpr int BYTES = N * int(sizeof(T)) < 16 ? N * int(sizeof(T)) : 16;
    static constexpr int IN_WORD = BYTES / int(sizeof(T)), WORDS = N / IN_WORD;
    using Word = typename RowsWord<BYTES>::Type;
    Word words[WORDS];

    __device__ __forceinline__ void load(const T* from) {
#pragma unroll
        for (int word = 0; word < WORDS; word++) words[word] = reinterpret_cast<const Word*>(from)[word];
    }
    __device__ __forceinline__ void store(T* to) const {
#pragma unroll
        for (int word = 0; word < WORDS; word++) reinterpret_cast<Word*>(to)[word] = words[word];
    }
    __device__ __forceinline__ void unpack(float (&to)[N]) const {
        T numbers[N];
        memcpy(numbers, words, N * sizeof(T));
#pragma unroll
        for (int i = 0; i < N; i++) to[i] = wide(numbers[i]);
    }
    __device__ __forceinline__ void pack(const float (&from)[N]) {
        T numbers[N];
#pragma unroll
        for (int i = 0; i < N; i++) numbers[i] = narrow<T>(from[i]);
        memcpy(words, numbers, N * sizeof(T));
    }
};

template <class T, int N>
__device__ __forceinline__ void rows_load(const T* from, float (&to)[N]) {
    RowsPack<T, N> pack;
    pack.load(from);
    pack.unpack(to);
}

template <class T, int N>
__device__ __forceinline__ void rows_store(const float (&from)[N], T* to) {
    RowsPack<T, N> pack;
    pack.pack(from);
    pack.store(to);
}

__device__ __forceinline__ bool rows_aligned(const void* pointer) {
    return reinterpret_cast<size_t>(pointer) % 16 == 0;
}

// Threads that share a row, and what they do alike.
struct RowsTeam {
    int thread, width;
    bool is_warp;

    __device__ __forceinline__ float sum(float x) const { return is_warp ? warp_sum(x) : block_sum(x); }
};

// The norm of one row. With a stream, x is added to it first. `out` may be x.
template <class T, class W, int N>
__device__ __forceinline__ void rows_norm(RowsTeam team, T* stream, const T* x, T* out, const W* weight, int dim,
                                          float eps) {
    const int packs = dim / N;
    float squares = 0.0f;
    auto take = [&](int pack, RowsPack<T, N>& numbers) {
        float x_wide[N];
        numbers.load(x + pack * N);
        numbers.unpack(x_wide);
        if (stream) {
            float residual[N];
            rows_load<T, N>(stream + pack * N, residual);
#pragma unroll
            for (int i = 0; i < N; i++) residual[i] += x_wide[i];
            numbers.pack(residual);
            numbers.store(stream + pack * N);
            numbers.unpack(x_wide);
        }
#pragma unroll
        for (int i = 0; i < N; i++) squares += x_wide[i] * x_wide[i];
    };
    // The first pack waits in registers, its weights too; what a row has more is read again.
    RowsPack<T, N> held, late;
    RowsPack<W, N> weights;
    const int first = team.thread, second = first + team.width;
    if (first < packs) {
        weights.load(weight + first * N);
        take(first, held);
    }
    for (int pack = second; pack < packs; pack += team.width) take(pack, late);

    const float scale = rsqrtf(team.sum(squares) / float(dim) + eps);
    auto give = [&](int pack, const RowsPack<T, N>& numbers) {
        float normed[N], by[N];
        numbers.unpack(normed);
        weights.unpack(by);
#pragma unroll
        for (int i = 0; i < N; i++) normed[i] = scale * normed[i] * by[i];
        rows_store<T, N>(normed, out + pack * N);
    };
    if (first < packs) give(first, held);
    for (int pack = second; pack < packs; pack += team.width) {
        weights.load(weight + pack * N);
        late.load((stream ? stream : x) + pack * N);
        give(pack, late);
    }
}

// As `rows_norm`, by the widest loads that addresses and length allow.
template <class T, class W>
__device__ __forceinline__ void rows_norm_any(RowsTeam team, T* stream, const T* x, T* out, const W* weight, int dim,
                                              float eps) {
    constexpr int N = ROWS_WIDEST<T>;
    const bool aligned = rows_aligned(stream) && rows_aligned(x) && rows_aligned(out) && rows_aligned(weight);
    if (aligned && dim % N == 0) {
        rows_norm<T, W, N>(team, stream, x, out, weight, dim, eps);
    } else {
        rows_norm<T, W, 1>(team, stream, x, out, weight, dim, eps);
    }
}

template <class T, class W>
__device__ __forceinline__ void rows_norm_of_block(const T* x, const W* weight, T* out, int dim, float eps) {
    begin_after_previous();
    const long long at = (long long)blockIdx.x * dim;
    const RowsTeam team = {int(threadIdx.x), int(blockDim.x), false};
    rows_norm_any<T, W>(team, nullptr, x + at, out + at, weight, dim, eps);
}

template <class T, class W>
__device__ __forceinline__ void rows_norm_of_warp(const T* x, const W* weight, T* out, int rows, int dim, float eps) {
    begin_after_previous();
    const long long row = (long long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (row >= rows) return;
    const RowsTeam team = {int(threadIdx.x % 32), 32, true};
    rows_norm_any<T, W>(team, nullptr, x + row * dim, out + row * dim, weight, dim, eps);
}

template <class T, class W>
__device__ __forceinline__ void rows_add_norm(T* stream, T* y, const W* weight, int dim, float eps) {
    begin_after_previous();
    const long long at = (long long)blockIdx.x * dim;
    const RowsTeam team = {int(threadIdx.x), int(blockDim.x), false};
    rows_norm_any<T, W>(team, stream + at, y + at, y + at, weight, dim, eps);
}

#define ROWS_NORMS(T, W)                                                                                       \
    extern "C" __global__ void __launch_bounds__(1024)                                                         \
        rms_norm_##T##_##W(const ROWS_##T* x, const ROWS_##W* weight, ROWS_##T* out, int dim, float eps) {     \
        rows_norm_of_block(x, weight, out, dim, eps);                                                          \
    }                                                                                                          \
    ENTRY(rms_norm_##T##_##W);                                                                                 \
    extern "C" __global__ void __launch_bounds__(256, 5) rms_norm_short_##T##_##W(                                \
        const ROWS_##T* x, const ROWS_##W* weight, ROWS_##T* out, int rows, int dim, float eps) {              \
        rows_norm_of_warp(x, weight, out, rows, dim, eps);                                                     \
    }                                                                                                          \
    ENTRY(rms_norm_short_##T##_##W);                                                                           \
    extern "C" __global__ void __launch_bounds__(1024)                                                         \
        add_rms_norm_##T##_##W(ROWS_##T* stream, ROWS_##T* y, const ROWS_##W* weight, int dim, float eps) {    \
        rows_add_norm(stream, y, weight, dim, eps);                                                            \
    }                                                                                                          \
    ENTRY(add_rms_norm_##T##_##W)

using ROWS_f32 = float;
using ROWS_bf16 = bf16;
using ROWS_f16 = f16;
ROWS_NORMS(f32, f32);
ROWS_NORMS(bf16, bf16);
ROWS_NORMS(bf16, f32);
ROWS_NORMS(f16, f16);
ROWS_NORMS(f16, f32);

struct RowsSilu {
    static __device__ __forceinline__ float of(float gate, float up) {
        return __fdividef(gate, 1.0f + expf(-gate)) * up;
    }
};
struct RowsSigmoid {
    static __device__ __forceinline__ float of(float x, float gate) { return __fdividef(x, 1.0f + expf(-gate)); }
};
struct RowsSum {
    static __device__ __forceinline__ float of(float x, float y) { return x + y; }
};

// Packs from `first` on, each `stride` after the last.
template <class Of, class T, int N>
__device__ __forceinline__ void rows_pairwise_packs(T* x, const T* y, int first, int stride, int packs) {
    for (int pack = first; pack < packs; pack += stride) {
        float left[N], right[N];
        rows_load<T, N>(x + (long long)pack * N, left);
        rows_load<T, N>(y + (long long)pack * N, right);
#pragma unroll
        for (int i = 0; i < N; i++) left[i] = Of::of(left[i], right[i]);
        rows_store<T, N>(left, x + (long long)pack * N);
    }
}

template <class Of, class T>
__device__ __forceinline__ void rows_pairwise(T* x, const T* y, int count) {
    begin_after_previous();
    constexpr int N = ROWS_WIDEST<T>;
    const int first = blockIdx.x * blockDim.x + threadIdx.x, stride = gridDim.x * blockDim.x;
    const int packed = rows_aligned(x) && rows_aligned(y) ? count / N * N : 0;
    rows_pairwise_packs<Of, T, N>(x, y, first, stride, packed / N);
    rows_pairwise_packs<Of, T, 1>(x + packed, y + packed, first, stride, count - packed);
}

#define ROWS_PAIRWISE(name, Of, T)                                                               \
    extern "C" __global__ void __launch_bounds__(128) name##_##T(ROWS_##T* x, const ROWS_##T* y, int count) { \
        rows_pairwise<Of>(x, y, count);                                                          \
    }                                                                                            \
    ENTRY(name##_##T)

ROWS_PAIRWISE(silu_mul, RowsSilu, f32);
ROWS_PAIRWISE(silu_mul, RowsSilu, bf16);
ROWS_PAIRWISE(silu_mul, RowsSilu, f16);
ROWS_PAIRWISE(sigmoid_mul, RowsSigmoid, f32);
ROWS_PAIRWISE(sigmoid_mul, RowsSigmoid, bf16);
ROWS_PAIRWISE(sigmoid_mul, RowsSigmoid, f16);
ROWS_PAIRWISE(add, RowsSum, f32);
ROWS_PAIRWISE(add, RowsSum, bf16);
ROWS_PAIRWISE(add, RowsSum, f16);
