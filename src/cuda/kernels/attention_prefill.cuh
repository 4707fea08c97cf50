// Causal attention of many tokens over all keys so far, with tensor cores: bf16 and f16, compute capability
// 8.0 and newer. Others: attention_prefill_plain.cuh.
//
// q (tokens, heads · DIM), caches (kv_heads, capacity, DIM) with the tokens' own rows, position (1,): tokens
// before these; scale counts in powers of two → out (tokens, heads · DIM). Scores never leave registers.
//
// Layout: grid (heads, tiles of query rows), the tiles with most keys first, heads of one key head side by
// side, so that its tiles come from L2. A block is 4 warps; each has 32 query rows (16 for dimension 256,
// for the registers) and walks all keys that one of the block's rows sees, 64 at a time (32). Rows of 32 use
// what a warp loads of keys and values twice, which is what keeps shared memory from bounding it. Keys and
// values lie in two stages of shared memory: the next tile is under way while one is computed, with one
// barrier a tile. Only tiles on the diagonal are masked; a warp leaves out those that none of its rows sees.
// 96 KiB a block (48 for 64): two blocks of an SM on an H100, one on 8.6 and 8.9.
//
// Bound: tensor cores, 4 · DIM FLOP a query head, row and visible key; mma.sync reaches about 0.6 of what
// wgmma does on 9.0, which this does not use. Gain expected: near flash attention v2, 340 TFLOP/s at 8,192
// tokens on an H100 (measured there for v2), a fraction of that at dimension 256. Not measured: no GPU here.
#pragma once
#include "attention_tiles.cuh"

constexpr int ATTENTION_MANY_WARPS = 4, ATTENTION_MANY_THREADS = 32 * ATTENTION_MANY_WARPS;
// The largest score is followed only when it has grown by so many powers of two: weights stay below 2^8, and
// the sums are seldom rescaled. Any reference gives the same result.
constexpr float ATTENTION_SLACK = 8.0f;

template <class T, int DIM>
struct AttentionMany {
    static constexpr int TILES = DIM == 256 ? 1 : 2;  // of 16 query rows, a warp
    static constexpr int ROWS = 16 * TILES * ATTENTION_MANY_WARPS, KEYS = DIM == 256 ? 32 : 64;
    static constexpr int ROW = DIM * sizeof(T);  // of a tile, in bytes

    float scores[TILES][KEYS / 8][4];  // as C of 16 rows and 8 keys
    float sums[TILES][DIM / 8][4];     // as C of 16 rows and 8 dimensions
    float top[TILES][2], weight[TILES][2];  // of rows g and g + 8; the weight of this lane's keys only
    int lane = threadIdx.x % 32;

    __device__ __forceinline__ AttentionMany() {
#pragma unroll
        for (int m = 0; m < TILES; m++) {
            top[m][0] = top[m][1] = ATTENTION_NOTHING;
            weight[m][0] = weight[m][1] = 0.0f;
#pragma unroll
            for (int j = 0; j < DIM / 8; j++) {
#pragma unroll
                for (int c = 0; c < 4; c++) sums[m][j][c] = 0.0f;
            }
        }
    }

    __device__ __forceinline__ void score(const T* query_tile, const T* key_tile) {
        const int lane = attention_afresh(this->lane);
        const SharedAddress query = shared_address(query_tile + attention_place<DIM>(lane % 16, lane / 16));
        const int key_row = lane % 8 + lane / 16 * 8;
        const SharedAddress key = shared_address(key_tile + attention_place<DIM>(key_row, lane / 8 % 2));
#pragma unroll
        for (int m = 0; m < TILES; m++) {
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++) {
#pragma unroll
                for (int c = 0; c < 4; c++) scores[m][j][c] = 0.0f;
            }
        }
#pragma unroll
        for (int i = 0; i < DIM / 16; i++) {
            unsigned a[TILES][4];
#pragma unroll
            for (int m = 0; m < TILES; m++) {
                load_matrices(a[m], (query ^ 32 * i) + 16 * m * ROW);
            }
#pragma unroll
            for (int j = 0; j < KEYS / 8; j += 2) {
                unsigned b[4];  // 16 keys, 16 dimensions
                load_matrices(b, (key ^ 32 * i) + 8 * j * ROW);
#pragma unroll
                for (int m = 0; m < TILES; m++) {
                    mma_16x8x16<T>(scores[m][j], a[m], b[0], b[1]);
                    mma_16x8x16<T>(scores[m][j + 1], a[m], b[2], b[3]);
                }
            }
        }
    }

    // Keys of this tile that a row does not see get no weight; the warp's first row sees the first `seen`.
    __device__ __forceinline__ void mask(int seen) {
        const int border = seen + lane / 4 - 2 * (lane % 4);  // what is constant below stays out of registers
#pragma unroll
        for (int m = 0; m < TILES; m++) {
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++) {
#pragma unroll
                for (int c = 0; c < 4; c++) {
                    const int row = 16 * m + c / 2 * 8, key = 8 * j + c % 2;
                    if (border <= key - row) scores[m][j][c] = ATTENTION_NOTHING;
                }
            }
        }
    }

    // Scores to weights.
    __device__ __forceinline__ void soften(float scale) {
        float highest[TILES][2];
        bool grown = false;
#pragma unroll
        for (int m = 0; m < TILES; m++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float most = ATTENTION_NOTHING;
#pragma unroll
                for (int j = 0; j < KEYS / 8; j++) {
                    most = fmaxf(most, fmaxf(scores[m][j][2 * half], scores[m][j][2 * half + 1]));
                }
                most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 1));
                most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 2)) * scale;
                highest[m][half] = most;
                grown = grown || most > top[m][half] + ATTENTION_SLACK;
            }
        }
        if (any_lane(grown)) follow(highest);
#pragma unroll
        for (int m = 0; m < TILES; m++) {
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++) {
#pragma unroll
                for (int c = 0; c < 4; c++) {
                    scores[m][j][c] = attention_exp2(scores[m][j][c] * scale - top[m][c / 2]);
                    weight[m][c / 2] += scores[m][j][c];
                }
            }
        }
    }

    // Earlier sums, brought to larger scores.
    __device__ __forceinline__ void follow(const float (&highest)[TILES][2]) {
#pragma unroll
        for (int m = 0; m < TILES; m++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const float now = fmaxf(top[m][half], highest[m][half]);
                const float shrink = attention_exp2(top[m][half] - now);
                top[m][half] = now;
                weight[m][half] *= shrink;
#pragma unroll
                for (int j = 0; j < DIM / 8; j++) {
                    sums[m][j][2 * half] *= shrink;
                    sums[m][j][2 * half + 1] *= shrink;
                }
            }
        }
    }

    __device__ __forceinline__ void add(const T* value_tile) {
        const int lane = attention_afresh(this->lane);
        const SharedAddress value = shared_address(value_tile + attention_place<DIM>(lane % 16, lane / 16));
#pragma unroll
        for (int k = 0; k < KEYS / 16; k++) {
            unsigned a[TILES][4];
#pragma unroll
            for (int m = 0; m < TILES; m++) {
                a[m][0] = pack<T>(scores[m][2 * k][0], scores[m][2 * k][1]);
                a[m][1] = pack<T>(scores[m][2 * k][2], scores[m][2 * k][3]);
                a[m][2] = pack<T>(scores[m][2 * k + 1][0], scores[m][2 * k + 1][1]);
                a[m][3] = pack<T>(scores[m][2 * k + 1][2], scores[m][2 * k + 1][3]);
            }
#pragma unroll
            for (int j = 0; j < DIM / 8; j += 2) {
                unsigned b[4];  // 16 keys, 16 dimensions
                load_matrices_transposed(b, (value ^ 16 * j) + 16 * k * ROW);
#pragma unroll
                for (int m = 0; m < TILES; m++) {
                    mma_16x8x16<T>(sums[m][j], a[m], b[0], b[1]);
                    mma_16x8x16<T>(sums[m][j + 1], a[m], b[2], b[3]);
                }
            }
        }
    }

    // The warp's first `rows` rows, `stride` numbers from one to the next.
    __device__ __forceinline__ void leave(T* out, int rows, long long stride) {
#pragma unroll
        for (int m = 0; m < TILES; m++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float all = weight[m][half];
                all += __shfl_xor_sync(ALL_LANES, all, 1);
                all += __shfl_xor_sync(ALL_LANES, all, 2);
                const float whole = 1.0f / all;
                const int row = 16 * m + 8 * half + lane / 4;
                unsigned* to = reinterpret_cast<unsigned*>(out + row * stride) + lane % 4;
                if (row < rows) {
#pragma unroll
                    for (int j = 0; j < DIM / 8; j++) {
                        to[4 * j] = pack<T>(sums[m][j][2 * half] * whole, sums[m][j][2 * half + 1] * whole);
                    }
                }
            }
        }
    }
};

template <class T, int DIM>
__device__ __forceinline__ void attention_many(const T* q, const T* keys, const T* values,
                                               const unsigned* position, T* out, int tokens, int heads,
                                               int kv_heads, int capacity, float scale) {
    using Warp = AttentionMany<T, DIM>;
    constexpr int ROWS = Warp::ROWS, KEYS = Warp::KEYS, OWN = 16 * Warp::TILES, TILE = KEYS * DIM;
    constexpr int THREADS = ATTENTION_MANY_THREADS;
    DYNAMIC_SHARED(T, unaligned);
    T* const shared = attention_aligned<T, DIM>(unaligned);
    T* const stages = shared + ROWS * DIM;
    const int head = blockIdx.x, kv_head = head / (heads / kv_heads), thread = threadIdx.x;
    const int first = static_cast<int>(gridDim.y - 1 - blockIdx.y) * ROWS, rows = min(ROWS, tokens - first);
    const int before = static_cast<int>(min(*position, static_cast<unsigned>(capacity - tokens)));
    const int visible = before + first + rows;  // to the last of the block's rows
    const T* const key_rows = attention_head(keys, kv_head, capacity, DIM);
    const T* const value_rows = attention_head(values, kv_head, capacity, DIM);
    const long long stride = static_cast<long long>(heads) * DIM;
    const auto ask = [&](int tile) {
        const int thread = attention_afresh(threadIdx.x);
        T* const to = stages + tile % 2 * 2 * TILE;
        const long long key = static_cast<long long>(tile) * KEYS;
        const int there = visible - tile * KEYS;
        attention_ask<T, DIM, KEYS, THREADS>(to, key_rows + key * DIM, DIM, there, thread);
        attention_ask<T, DIM, KEYS, THREADS>(to + TILE, value_rows + key * DIM, DIM, there, thread);
    };
    attention_ask<T, DIM, ROWS, THREADS>(shared, q + first * stride + head * DIM, stride, rows, thread);
    ask(0);
    copy_async_commit();
    Warp warp;
    const int own = thread / 32 * OWN, tiles = (visible - 1) / KEYS + 1;
    for (int tile = 0; tile < tiles; tile++) {
        copy_async_wait<0>();
        __syncthreads();  // this tile has come, and all are done with the one before
        if (tile + 1 < tiles) ask(tile + 1);
        copy_async_commit();
        const int seen = before + first + own + 1 - tile * KEYS;  // of this tile, by the warp's first row
        if (own >= rows || seen + OWN - 1 <= 0) continue;
        const T* const key_tile = stages + tile % 2 * 2 * TILE;
        warp.score(shared + own * DIM, key_tile);
        if (seen < KEYS) warp.mask(seen);
        warp.soften(scale);
        warp.add(key_tile + TILE);
    }
    warp.leave(out + (first + own) * stride + head * DIM, rows - own, stride);
}

#define ATTENTION_MANY(dim, name, type)                                                                     \
    extern "C" __global__ void __launch_bounds__(ATTENTION_MANY_THREADS)                                    \
    attention_many_##dim##_##name(const type* q, const type* keys, const type* values,                      \
        const unsigned* position, type* out, int tokens, int heads,                                         \
        int kv_heads, int capacity, float scale) {                                                          \
        attention_many<type, dim>(q, keys, values, position, out, tokens, heads, kv_heads, capacity,        \
                             scale);                                                                        \
    }                                                                                                       \
    ENTRY(attention_many_##dim##_##name);
ATTENTION_DIMS(ATTENTION_MANY, bf16, bf16)
ATTENTION_DIMS(ATTENTION_MANY, f16, f16)

#include "attention_prefill_plain.cuh"
