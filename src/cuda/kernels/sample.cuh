// The two ends of a step on the device: rows of the embedding table by token, and the next token by the greatest
// logit; and the count of tokens, which the replayed step itself advances.
//
// `greedy`: logits (vocab,) to the index of the first greatest; what is no number is never chosen, unless nothing is
// one, then 0. A logit and its index become two words whose order is that of (value, earlier index), so that a
// maximum over them is the answer in whatever order it is taken. First kernel: many blocks, 16 bytes a thread at a
// time, one winner a block; second: one block over the winners.
// `embedding`: table (vocab, hidden), ids (n,), to (n, hidden); an id beyond the table gives zeros. A block takes 128
// packs of 16 bytes of one row.
//
// Bound by latency: 152k logits are 0.3 to 0.6 MB, 0.2 µs of bandwidth, so two launches of about 2 µs each. Gain
// expected: the token stays on the device, and no thread walks more than one pack where one block would walk 74;
// not measured: no GPU here.
#pragma once
#include "types.cuh"
#include "rows.cuh"

// A logit's place in the order: 0 for what is no number, and for numbers the greater the later.
__device__ __forceinline__ unsigned greedy_rank(float x) {
    if (x != x) return 0;
    const unsigned bits = __float_as_uint(x == 0.0f ? 0.0f : x);  // both zeros are one number
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ unsigned long long greedy_key(unsigned rank, unsigned index) {
    return (unsigned long long)rank << 32 | (0xffffffffu - index);
}

__device__ __forceinline__ unsigned long long greedy_later(unsigned long long x, unsigned long long y) {
    return x > y ? x : y;
}

// The greatest over a block of whole warps, in every lane of the first warp.
__device__ __forceinline__ unsigned long long greedy_of_block(unsigned long long key) {
    __shared__ unsigned long long of_warps[32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
    for (int step = 16; step > 0; step /= 2) key = greedy_later(key, __shfl_xor_sync(ALL_LANES, key, step));
    if (lane == 0) of_warps[warp] = key;
    __syncthreads();
    key = lane < warps ? of_warps[lane] : 0;
    for (int step = 16; step > 0; step /= 2) key = greedy_later(key, __shfl_xor_sync(ALL_LANES, key, step));
    return key;
}

// The best of each block, to winners (blocks, 2): rank, and index counted from the end.
template <class T>
__device__ __forceinline__ void greedy_among(const T* logits, unsigned* winners, int vocab) {
    begin_after_previous();
    constexpr int N = ROWS_WIDEST<T>;
    const int first = blockIdx.x * blockDim.x + threadIdx.x, stride = gridDim.x * blockDim.x;
    const int packed = rows_aligned(logits) ? vocab / N * N : 0;
    unsigned long long best = 0;
    for (int pack = first; pack < packed / N; pack += stride) {
        float numbers[N];
        rows_load<T, N>(logits + pack * N, numbers);
#pragma unroll
        for (int i = 0; i < N; i++) best = greedy_later(best, greedy_key(greedy_rank(numbers[i]), pack * N + i));
    }
    for (int i = packed + first; i < vocab; i += stride)
        best = greedy_later(best, greedy_key(greedy_rank(wide(logits[i])), i));
    best = greedy_of_block(best);
    if (threadIdx.x == 0) {
        winners[2 * blockIdx.x] = unsigned(best >> 32);
        winners[2 * blockIdx.x + 1] = unsigned(best);
    }
}

extern "C" __global__ void __launch_bounds__(256) greedy_winner(const unsigned* winners, unsigned* token, int blocks) {
    begin_after_previous();
    unsigned long long best = 0;
    for (int i = threadIdx.x; i < blocks; i += blockDim.x)
        best = greedy_later(best, (unsigned long long)winners[2 * i] << 32 | winners[2 * i + 1]);
    best = greedy_of_block(best);
    if (threadIdx.x == 0) *token = 0xffffffffu - unsigned(best);
}
ENTRY(greedy_winner);

extern "C" __global__ void __launch_bounds__(32) advance_position(unsigned* position) {
    begin_after_previous();
    if (threadIdx.x == 0) *position += 1;
}
ENTRY(advance_position);

template <class T, int N>
__device__ __forceinline__ void embedding_row(const T* row, T* out, int hidden) {
    for (int pack = blockIdx.y * blockDim.x + threadIdx.x; pack < hidden / N; pack += gridDim.y * blockDim.x) {
        float numbers[N] = {};
        if (row) rows_load<T, N>(row + pack * N, numbers);
        rows_store<T, N>(numbers, out + pack * N);
    }
}

template <class T>
__device__ __forceinline__ void embedding(const T* table, const unsigned* ids, T* out, long long vocab, int hidden) {
    begin_after_previous();
    const long long id = ids[blockIdx.x];
    const T* row = id < vocab ? table + id * hidden : nullptr;
    out += (long long)blockIdx.x * hidden;
    if (hidden % ROWS_WIDEST<T> == 0 && rows_aligned(table) && rows_aligned(out)) {
        embedding_row<T, ROWS_WIDEST<T>>(row, out, hidden);
    } else {
        embedding_row<T, 1>(row, out, hidden);
    }
}

#define SAMPLE(T)                                                                                              \
    extern "C" __global__ void __launch_bounds__(256)                                                          \
        greedy_##T(const ROWS_##T* logits, unsigned* winners, int vocab) {                                     \
        greedy_among(logits, winners, vocab);                                                                  \
    }                                                                                                          \
    ENTRY(greedy_##T);                                                                                         \
    extern "C" __global__ void __launch_bounds__(128) embedding_##T(                                           \
        const ROWS_##T* table, const unsigned* ids, ROWS_##T* out, long long vocab, int hidden) {              \
        embedding(table, ids, out, vocab, hidden);                                                             \
    }                                                                                                          \
    ENTRY(embedding_##T)

SAMPLE(f32);
SAMPLE(bf16);
SAMPLE(f16);
