// What the attention kernels share: where a head's rows begin, how keys are split over blocks, tiles of rows
// in shared memory.
#pragma once
#include "mma.cuh"

constexpr float ATTENTION_NOTHING = -INFINITY;
constexpr float ATTENTION_LOG2_E = 1.44269504088896340736f;

// 2^x, to two units in the last place; weights that f32 holds only denormal become zero.
__device__ __forceinline__ float attention_exp2(float x) {
#ifdef __CUDACC__
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return std::exp2(x);
#endif
}

// x. What is computed of it is computed again each time round a loop, and takes no registers in between.
__device__ __forceinline__ int attention_afresh(int x) {
#ifdef __CUDACC__
    asm volatile("" : "+r"(x));
#endif
    return x;
}

// The rows of one head of a cache (kv_heads, capacity, dim). Beyond 2^31 numbers in models people run.
template <class T>
__device__ __forceinline__ const T* attention_head(const T* cache, int kv_head, int capacity, int dim) {
    return cache + static_cast<long long>(kv_head) * capacity * dim;
}

// How many keys are visible to one token at `position`, itself included.
__device__ __forceinline__ int attention_visible(const unsigned* position, int capacity) {
    return static_cast<int>(min(*position, static_cast<unsigned>(capacity - 1))) + 1;
}

// How many of `splits` blocks have keys, if a block is worth `share` of them at least.
__device__ __forceinline__ int attention_used(int visible, int splits, int share) {
    return min(splits, (visible - 1) / share + 1);
}

struct AttentionRange { int begin, end; };

// The keys of one of the `used` blocks: whole tiles, but for the last.
__device__ __forceinline__ AttentionRange attention_range(int visible, int used, int split, int tile) {
    const long long tiles = (visible - 1) / tile + 1;
    const int begin = static_cast<int>(tiles * split / used) * tile;
    const int end = static_cast<int>(tiles * (split + 1) / used) * tile;
    return {begin, min(end, visible)};
}

// The place of 8 numbers of a tile whose rows have DIM numbers of 16 bits, in numbers. Rows one below the
// other lie in different banks: eight rows are read at once without a conflict.
template <int DIM>
__device__ __forceinline__ int attention_place(int row, int eight) {
    return row * DIM + (eight ^ (row & 7)) * 8;
}

// Where tiles of such rows may begin, at or after `from`: then the place of another 8 numbers of the same
// row is an exclusive or away, 16 bytes times that of their numbers in the row.
template <class T, int DIM>
__device__ __forceinline__ T* attention_aligned(T* from) {
    constexpr uintptr_t ROW = DIM * sizeof(T);
    return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(from) + ROW - 1) / ROW * ROW);
}

// Asks for ROWS rows of DIM numbers, `stride` apart, into a tile; rows from `there` on become zeros. For all
// of THREADS threads, of which this is `thread`. Zeros, since what lies in a cache beyond the visible may be
// no number, and 0 · NaN is none either.
template <class T, int DIM, int ROWS, int THREADS>
__device__ __forceinline__ void attention_ask(T* tile, const T* from, long long stride, int there,
                                              int thread) {
    constexpr int EIGHTS = DIM / 8;
    static_assert(ROWS * EIGHTS % THREADS == 0, "every thread asks as often as the others");
#pragma unroll
    for (int i = 0; i < ROWS * EIGHTS / THREADS; i++) {
        const int index = i * THREADS + thread, row = index / EIGHTS, eight = index % EIGHTS;
        const bool is_there = row < there;
        const T* at = is_there ? from + row * stride + eight * 8 : from;
        copy_async(tile + attention_place<DIM>(row, eight), at, is_there);
    }
}

// Entries for one type, over the dimensions that models have.
#define ATTENTION_DIMS(define, name, type) \
    define(64, name, type) define(128, name, type) define(256, name, type)
