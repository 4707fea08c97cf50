// Products of one row x (1, columns) with dense matrices (rows, columns): y = x · Wᵀ + b, sums in f32.
//
// For other files, one matrix row by one warp, all 32 lanes together, the sum in every lane:
//     float dense_row_dot<W, X>(const W* row, const X* x, int columns, int lane)
// and the share of lane `first` of `stride` lanes, not summed over them, where several warps take one
// row:
//     float dense_part<W, X>(const W* row, const X* x, int columns, int first, int stride)
// W and X are float, f16 or bf16, each for itself. Rows that begin at a multiple of 16 bytes go 16 bytes
// at a time.
//
// Layout: a warp for a row, or 2 or 4 warps for one where rows are few; blocks of 4 warps, as many as
// there are rows, so that the card deals them out. A lane asks for 8 pieces of 16 bytes before it needs
// the first: 4 KB in flight for a warp, 80 KB for a multiprocessor, where about 20 KB hide the
// latency of an H100's memory. Weights are read once and leave L1 alone, so x stays there and is read
// from L1 by every warp, with no barrier ahead of the first weight. Bound by the bytes of weights. Gain
// expected: near 2.7 TB/s on an H100, where cuBLAS reached 2.53; not measured: no GPU here.
#pragma once
#include "gemv_ahead.cuh"
#include "types.cuh"

// Arguments that are read where they lie, by an index.
#ifndef __CUDACC__
#define __grid_constant__
#endif

constexpr int GEMV_WARPS = 4;

// One matrix of a launch; `gemv/launches.rs` writes the same.
struct Product {
    const void* weights;
    const void* bias;  // null: none
    void* out;
    int rows;
    uint8_t kind, out_type, bias_type, unused;
};
struct Products {
    Product each[4];
};

// Which matrix has row (or tile of rows) `place` of all of them; `place` becomes the row in it. A matrix
// is looked up again where it is needed, in the launch's constants, so that registers are free for
// weights.
template <class Count>
__device__ __forceinline__ int matrix_of(const Products& all, int& place, Count count) {
    int which = 0;
#pragma unroll
    for (int next = 1; next < 4; next++) {
        const int before = count(all.each[next - 1]);
        if (which == next - 1 && place >= before) {
            place -= before;
            which = next;
        }
    }
    return which;
}

constexpr int TYPE_F32 = 0, TYPE_F16 = 1, TYPE_BF16 = 2;

__device__ __forceinline__ float number_at(const void* numbers, int type, int at) {
    if (type == TYPE_F32) return static_cast<const float*>(numbers)[at];
    if (type == TYPE_F16) return wide(static_cast<const f16*>(numbers)[at]);
    return wide(static_cast<const bf16*>(numbers)[at]);
}

// y[row] = sum + bias
__device__ __forceinline__ void finish_row(const Product& product, int row, float sum) {
    if (product.bias) sum += number_at(product.bias, product.bias_type, row);
    if (product.out_type == TYPE_F32) static_cast<float*>(product.out)[row] = sum;
    else if (product.out_type == TYPE_F16) static_cast<f16*>(product.out)[row] = narrow<f16>(sum);
    else static_cast<bf16*>(product.out)[row] = narrow<bf16>(sum);
}

// 16 bytes that nobody will read again: past L1.
__device__ __forceinline__ uint4 stream16(const void* from) {
#ifdef __CUDACC__
    uint4 v;
    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(from));
    return v;
#else
    return *static_cast<const uint4*>(from);
#endif
}

template <class T> __device__ __forceinline__ void widen_word(unsigned word, float* out);
template <> __device__ __forceinline__ void widen_word<float>(unsigned word, float* out) {
    out[0] = __uint_as_float(word);
}
template <> __device__ __forceinline__ void widen_word<bf16>(unsigned word, float* out) {
    out[0] = __uint_as_float(word << 16);
    out[1] = __uint_as_float(word & 0xffff0000u);
}
template <> __device__ __forceinline__ void widen_word<f16>(unsigned word, float* out) {
    const __half2 both = *reinterpret_cast<const __half2*>(&word);
    out[0] = __half2float(both.x);
    out[1] = __half2float(both.y);
}

template <class T> __device__ __forceinline__ void widen16(uint4 v, float* out) {
    constexpr int each = 4 / sizeof(T);
    widen_word<T>(v.x, out);
    widen_word<T>(v.y, out + each);
    widen_word<T>(v.z, out + 2 * each);
    widen_word<T>(v.w, out + 3 * each);
}

// COUNT numbers of x, from a place that is a multiple of 16 bytes, or of 8 if they are 8 bytes.
template <class X, int COUNT> __device__ __forceinline__ void widen_some(const X* x, float (&out)[COUNT]) {
    if constexpr (COUNT * sizeof(X) == 8) {
        const uint2 v = *reinterpret_cast<const uint2*>(x);
        widen_word<X>(v.x, out);
        widen_word<X>(v.y, out + 4 / sizeof(X));
    } else {
        constexpr int each = 16 / sizeof(X);
#pragma unroll
        for (int at = 0; at < COUNT; at += each) {
            widen16<X>(*reinterpret_cast<const uint4*>(x + at), out + at);
        }
    }
}

// Pieces first, first + stride, ... of `pieces`, AHEAD of them asked for before the first is used. Beyond
// the last, the last is taken again and left out, so that no branch keeps loads apart.
template <int AHEAD, class W, class X>
__device__ __forceinline__ float dense_pieces(const W* row, const X* x, int pieces, int first, int stride) {
    constexpr int COUNT = 16 / sizeof(W);
    float sums[2] = {};
    int at = first;
#pragma unroll 1
    for (int of_warp = first / 32 * 32; of_warp < pieces; of_warp += AHEAD * stride, at += AHEAD * stride) {
        uint4 weights[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            weights[i] = stream16(row + (size_t)min(at + i * stride, pieces - 1) * COUNT);
        }
        loads_before();
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            float w[COUNT], v[COUNT], sum = 0.0f;
            widen16<W>(weights[i], w);
            widen_some<X, COUNT>(x + (size_t)min(at + i * stride, pieces - 1) * COUNT, v);
#pragma unroll
            for (int j = 0; j < COUNT; j++) sum += w[j] * v[j];
            sums[i % 2] += at + i * stride < pieces ? sum : 0.0f;
        }
    }
    return sums[0] + sums[1];
}

template <class W, class X>
__device__ __forceinline__ float dense_part(const W* row, const X* x, int columns, int first, int stride) {
    constexpr int COUNT = 16 / sizeof(W);
    const bool in_pieces = (reinterpret_cast<size_t>(row) | reinterpret_cast<size_t>(x)) % 16 == 0;
    const int pieces = in_pieces ? columns / COUNT : 0;
    float sum = pieces > 4 * stride ? dense_pieces<8>(row, x, pieces, first, stride)
                                    : dense_pieces<4>(row, x, pieces, first, stride);
    for (int at = pieces * COUNT + first; at < columns; at += stride) sum += wide(row[at]) * wide(x[at]);
    return sum;
}

template <class W, class X>
__device__ __forceinline__ float dense_row_dot(const W* row, const X* x, int columns, int lane) {
    return warp_sum(dense_part(row, x, columns, lane, 32));
}

// 1 << shift warps share a row: 1, 2 or 4.
template <class W, class X>
__device__ __forceinline__ void gemv_dense(const Products& products, const X* x, int columns, int shift) {
    __shared__ float parts[GEMV_WARPS];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, split = 1 << shift, part = warp & (split - 1);
    int row = blockIdx.x * (GEMV_WARPS >> shift) + (warp >> shift);
    const int which = matrix_of(products, row, [](const Product& one) { return one.rows; });
    const W* weights = static_cast<const W*>(products.each[which].weights) + (size_t)row * columns;
    const bool there = row < products.each[which].rows;
    if (there) ask_ahead(weights, columns * sizeof(W), part * 32 + lane);
    begin_after_previous();
    float sum = 0.0f;
    if (there) {
        sum = warp_sum(dense_part(weights, x, columns, part * 32 + lane, split * 32));
    }
    if (split > 1) {
        if (lane == 0) parts[warp] = sum;
        __syncthreads();
        if (part == 0) {
            for (int other = 1; other < split; other++) sum += parts[warp + other];
        }
    }
    if (there && part == 0 && lane == 0) finish_row(products.each[which], row, sum);
}

#define GEMV_DENSE(W, X)                                                                                  \
    extern "C" __global__ void __launch_bounds__(32 * GEMV_WARPS, 5)                                      \
        gemv_dense_##W##_by_##X(const __grid_constant__ Products products, const GEMV_TYPE_##X* x,       \
                                int columns, int shift) {                                                 \
        gemv_dense<GEMV_TYPE_##W, GEMV_TYPE_##X>(products, x, columns, shift);                            \
    }                                                                                                     \
    ENTRY(gemv_dense_##W##_by_##X);
#define GEMV_TYPE_f32 float
#define GEMV_TYPE_f16 f16
#define GEMV_TYPE_bf16 bf16

GEMV_DENSE(f32, f32)
GEMV_DENSE(f32, f16)
GEMV_DENSE(f32, bf16)
GEMV_DENSE(f16, f32)
GEMV_DENSE(f16, f16)
GEMV_DENSE(f16, bf16)
GEMV_DENSE(bf16, f32)
GEMV_DENSE(bf16, f16)
GEMV_DENSE(bf16, bf16)
