// What every chunk of tokens of a gated delta net can make ready before the memory comes to it.
//
// With D the decay between two tokens of a chunk and s the decay since its start, and per value head:
//   A = strictly lower(β k kᵀ ∘ D);   (I + A) U = β v;   (I + A) W = β s k;   P = lower(q kᵀ ∘ D)
// so that the corrections that a memory S calls for are U - W S (delta_chunks.cuh). Stored: U over the values, -W, P
// up to the diagonal's blocks, s and the decay to the chunk's end.
//
// A block is a chunk of a key head, with the value heads that read it; 8 warps. The scores stay in registers: warps
// 0 … 3 hold 16 rows each of q kᵀ, warps 4 … 7 of k kᵀ. Decays are exponentials of differences of sums in f64: sums
// reach -1,000 where differences of -0.0001 still count. The system is solved by blocks of 16: their inverses by
// substitution, then each warp takes 16 columns of W or U at a time, transposed, so that solved blocks are left
// operands as they lie in registers and no warp waits for another.
//
// Bound at 16 key heads, 32 value heads of 128: FLOP 2 · 0.43 M multiplications a token (lower blocks only), times
// three on tensor cores, 0.005 us at 500 TFLOP/s; bytes 16 kB of q and k (f32 words) in, 16 of values in and U out,
// 16 of W, 5 of P: 69 kB, 0.023 us at 3 TB/s. Gain expected: the plain form's twenty launches with (heads, 64, 64)
// intermediates become one; not measured: no GPU here.
#pragma once
#include "delta_words.cuh"

constexpr int DELTA_THREADS = 256;
constexpr int DELTA_BLOCKS = DELTA_CHUNK / 16;           // blocks of 16 tokens in a chunk
constexpr int DELTA_KEY_STRIDE = DELTA_MOST_DIM + 16;    // quads of 8 lanes lie in different banks
constexpr int DELTA_LOWER_STRIDE = DELTA_CHUNK + 8;      // pairs of 16 lanes do
constexpr int DELTA_INVERSE_STRIDE = 16 + 8;

struct DeltaSystem {
    unsigned lower[DELTA_CHUNK * DELTA_LOWER_STRIDE];  // -A, up to the diagonal's blocks
    unsigned inverses[DELTA_BLOCKS][16 * DELTA_INVERSE_STRIDE];  // of the diagonal's blocks of I + A
};
struct alignas(16) DeltaPrepareShared {
    union {
        unsigned keys[DELTA_CHUNK * DELTA_KEY_STRIDE];  // until there are scores
        DeltaSystem system;
    };
    double summed[DELTA_CHUNK];  // logarithms of the decay since the chunk's start
    float beta[DELTA_CHUNK];
    float of_keys[DELTA_CHUNK];  // beta times the decay since the chunk's start
};

// scores[n]: rows of this warp times keys 8n … 8n + 7, up to its diagonal block.
template <class P>
__device__ __forceinline__ void delta_scores(float (&scores)[8][4], const DeltaLeftQuads& rows, const unsigned* keys,
                                             int key_width) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, block = threadIdx.x / 32 % DELTA_BLOCKS;
#pragma unroll
    for (int k = 0; k < DeltaLeftQuads::STEPS; k++) {
        if (16 * k >= key_width) continue;
        const typename P::Left left = P::left(rows.upper[k], rows.lower[k]);
#pragma unroll
        for (int pair = 0; pair < DELTA_BLOCKS; pair++) {
            if (pair > block) continue;
            const unsigned* key = keys + (16 * pair + g) * DELTA_KEY_STRIDE + 16 * k + 4 * t;
            const typename P::Right both[2] = {P::right(delta_quad(key)),
                                               P::right(delta_quad(key + 8 * DELTA_KEY_STRIDE))};
            P::multiply(scores + 2 * pair, left, both);
        }
    }
}

// One warp: β and the summed logarithms of 64 tokens, two a lane; `gates` takes s and the decay to the chunk's end.
template <class T>
__device__ __forceinline__ void delta_gates(DeltaPrepareShared& shared, float* gates, const T* beta, const T* decay,
                                            float rate, float bias, int tokens, int heads) {
    const int lane = threadIdx.x;
    float logs[2];
    for (int i = 0; i < 2; i++) {
        const int token = 2 * lane + i;
        const long long at = (long long)token * heads;
        // Beyond the last token nothing decays and nothing is corrected.
        logs[i] = token < tokens ? delta_log_decay(wide(decay[at]), rate, bias) : 0.0f;
        shared.beta[token] = token < tokens ? delta_sigmoid(wide(beta[at])) : 0.0f;
    }
    const double own = double(logs[0]) + double(logs[1]);
    double sum = own;
    for (int step = 1; step < 32; step *= 2) {
        const double before = __shfl_up_sync(ALL_LANES, sum, step);
        if (lane >= step) sum += before;
    }
    const double all = __shfl_sync(ALL_LANES, sum, 31);
    const double summed[2] = {sum - logs[1], sum};
    for (int i = 0; i < 2; i++) {
        const int token = 2 * lane + i;
        shared.summed[token] = summed[i];
        const float start = expf(float(summed[i]));
        gates[token] = start;
        shared.of_keys[token] = shared.beta[token] * start;
        gates[DELTA_CHUNK + token] = expf(float(all - summed[i]));
    }
}

// Puts the decay into scores: those of queries become P, those of keys -A.
template <class P>
__device__ __forceinline__ void delta_decay(const float (&scores)[8][4], DeltaPrepareShared& shared, unsigned* within) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, warp = threadIdx.x / 32;
    const int block = warp % DELTA_BLOCKS;
    const bool of_keys = warp >= DELTA_BLOCKS;
#pragma unroll
    for (int n = 0; n < 8; n++) {
        if (n > 2 * block + 1) continue;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = 16 * block + g + 8 * half, column = 8 * n + 2 * t;
            unsigned words[2];
            for (int i = 0; i < 2; i++) {
                const bool earlier = column + i < row, same = column + i == row;
                const float between = expf(float(shared.summed[row] - shared.summed[earlier ? column + i : row]));
                const float score = scores[n][2 * half + i] * between;
                const float value = of_keys ? (earlier ? -shared.beta[row] * score : 0.0f)
                                            : (earlier || same ? score : 0.0f);
                words[i] = P::word(value);
            }
            unsigned* to = of_keys ? shared.system.lower + row * DELTA_LOWER_STRIDE : within + row * DELTA_CHUNK;
            *reinterpret_cast<uint2*>(to + column) = make_uint2(words[0], words[1]);
        }
    }
}

// One warp: the inverse of a diagonal block of I + A, by substitution, a column a lane.
template <class P>
__device__ __forceinline__ void delta_invert(DeltaSystem& system, int block) {
    const int lane = threadIdx.x % 32, column = lane % 16;
    const unsigned* lower = system.lower + 16 * block * DELTA_LOWER_STRIDE + 16 * block;
    float x[16];
#pragma unroll
    for (int row = 0; row < 16; row++) {
        x[row] = row == column ? 1.0f : 0.0f;
#pragma unroll
        for (int k = 0; k < row; k++) x[row] += P::number(lower[row * DELTA_LOWER_STRIDE + k]) * x[k];
        if (lane < 16) system.inverses[block][row * DELTA_INVERSE_STRIDE + column] = P::word(x[row]);
    }
}

// Solves for 16 columns: x[n], 16 columns by tokens 8n … 8n + 7, is the right side and becomes the solution.
template <class P>
__device__ __forceinline__ void delta_solve(float (&x)[8][4], const DeltaSystem& system) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    typename P::Left solved[DELTA_BLOCKS];
#pragma unroll
    for (int block = 0; block < DELTA_BLOCKS; block++) {
        const unsigned* row = system.lower + (16 * block + g) * DELTA_LOWER_STRIDE;
#pragma unroll
        for (int k = 0; k < block; k++) {
            const typename P::Right both[2] = {P::right(delta_pairs(row + 16 * k, t)),
                                               P::right(delta_pairs(row + 8 * DELTA_LOWER_STRIDE + 16 * k, t))};
            P::multiply(x + 2 * block, solved[k], both);
        }
        const typename P::Left missing = delta_as_left<P>(x[2 * block], x[2 * block + 1]);
        for (int i = 0; i < 8; i++) x[2 * block + i / 4][i % 4] = 0.0f;
        row = system.inverses[block] + g * DELTA_INVERSE_STRIDE;
        const typename P::Right both[2] = {P::right(delta_pairs(row, t)),
                                           P::right(delta_pairs(row + 8 * DELTA_INVERSE_STRIDE, t))};
        P::multiply(x + 2 * block, missing, both);
        if (block + 1 < DELTA_BLOCKS) solved[block] = delta_as_left<P>(x[2 * block], x[2 * block + 1]);
    }
}

// Sixteen columns of W, from the chunk's keys.
template <class P>
__device__ __forceinline__ void delta_solve_keys(const DeltaPrepareShared& shared, const unsigned* keys,
                                                 unsigned* reads, int first) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    float x[8][4];
#pragma unroll
    for (int n = 0; n < 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int token = 8 * n + 2 * t + i % 2, column = first + g + 8 * (i / 2);
            x[n][i] = shared.of_keys[token] * P::number(keys[token * DELTA_ROW + column]);
        }
    }
    delta_solve<P>(x, shared.system);
#pragma unroll
    for (int n = 0; n < 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int token = 8 * n + 2 * t + i % 2, column = first + g + 8 * (i / 2);
            reads[token * DELTA_ROW + column] = P::word(-x[n][i]);
        }
    }
}

// Sixteen columns of U, over the chunk's values.
template <class P>
__device__ __forceinline__ void delta_solve_values(const DeltaPrepareShared& shared, float* values, int first) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    float x[8][4];
#pragma unroll
    for (int n = 0; n < 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int token = 8 * n + 2 * t + i % 2, column = first + g + 8 * (i / 2);
            x[n][i] = shared.beta[token] * values[token * DELTA_ROW + column];
        }
    }
    delta_solve<P>(x, shared.system);
#pragma unroll
    for (int n = 0; n < 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int token = 8 * n + 2 * t + i % 2, column = first + g + 8 * (i / 2);
            values[token * DELTA_ROW + column] = x[n][i];
        }
    }
}

// queries, keys (key_heads, chunks · 64, DELTA_ROW) words; beta, decay (tokens, value_heads); rate, bias (value_heads);
// values (value_heads, chunks · 64, DELTA_ROW) f32; reads as values, words; within (value_heads, chunks, 64, 64) words;
// gates (value_heads, chunks, 2, 64) f32. Of a row, key_width or value_width numbers hold: multiples of 16.
template <class T, class P>
__device__ __forceinline__ void delta_prepare(const unsigned* queries, const unsigned* keys, const T* beta,
                                              const T* decay, const float* rate, const float* bias, float* values,
                                              unsigned* reads, unsigned* within, float* gates, int tokens,
                                              int key_width, int value_width, const DeltaShape& shape) {
    __shared__ DeltaPrepareShared shared;
    const int thread = threadIdx.x, warp = thread / 32, chunks = gridDim.x, chunk = blockIdx.x, key_head = blockIdx.y;
    const long long first = (long long)key_head * chunks + chunk;
    keys += first * DELTA_CHUNK * DELTA_ROW;
    queries += first * DELTA_CHUNK * DELTA_ROW;
    DeltaLeftQuads rows;
    rows.load((warp < DELTA_BLOCKS ? queries : keys) + 16 * (warp % DELTA_BLOCKS) * DELTA_ROW, key_width);
#pragma unroll
    for (int quad = thread; quad < DELTA_CHUNK * DELTA_ROW / 4; quad += DELTA_THREADS) {
        const int row = 4 * quad / DELTA_ROW, column = 4 * quad % DELTA_ROW;
        uint4* to = reinterpret_cast<uint4*>(shared.keys + row * DELTA_KEY_STRIDE + column);
        if (column < key_width) *to = delta_quad(keys + 4 * quad);
    }
    __syncthreads();
    float scores[8][4] = {};
    delta_scores<P>(scores, rows, shared.keys, key_width);

    for (int member = 0; member < shape.value_heads / shape.key_heads; member++) {
        const int head = delta_value_head(shape, key_head, member);
        const long long number = (long long)head * chunks + chunk;
        const long long token = (long long)chunk * DELTA_CHUNK * shape.value_heads + head;
        __syncthreads();  // the keys, or the last head's system, have been read
        if (warp == 0) {
            const int left = tokens - chunk * DELTA_CHUNK;
            float* to = gates + number * 2 * DELTA_CHUNK;
            delta_gates(shared, to, beta + token, decay + token, rate[head], bias[head], left, shape.value_heads);
        }
        __syncthreads();
        delta_decay<P>(scores, shared, within + number * DELTA_CHUNK * DELTA_CHUNK);
        __syncthreads();
        if (warp < DELTA_BLOCKS) delta_invert<P>(shared.system, warp);
        __syncthreads();
        for (int column = 16 * warp; column < key_width + value_width; column += 16 * (DELTA_THREADS / 32)) {
            if (column < key_width) {
                unsigned* to = reads + number * DELTA_CHUNK * DELTA_ROW;
                delta_solve_keys<P>(shared, keys, to, column);
            } else {
                float* of = values + number * DELTA_CHUNK * DELTA_ROW;
                delta_solve_values<P>(shared, of, column - key_width);
            }
        }
    }
}

#define DELTA_PREPARE(name, T, P)                                                                                    \
    extern "C" __global__ void __launch_bounds__(DELTA_THREADS, 2)                                                   \
        name(const unsigned* queries, const unsigned* keys, const T* beta, const T* decay, const float* rate,        \
             const float* bias, float* values, unsigned* reads, unsigned* within, float* gates, int tokens,          \
             int key_width, int value_width, DeltaShape shape) {                                                     \
        delta_prepare<T, P>(queries, keys, beta, decay, rate, bias, values, reads, within, gates, tokens, key_width, \
                            value_width, shape);                                                                     \
    }                                                                                                                \
    ENTRY(name)
DELTA_PREPARE(delta_prepare_exact_f32, float, DeltaExact);
DELTA_PREPARE(delta_prepare_exact_bf16, bf16, DeltaExact);
DELTA_PREPARE(delta_prepare_exact_f16, f16, DeltaExact);
DELTA_PREPARE(delta_prepare_split_f32, float, DeltaSplit);
DELTA_PREPARE(delta_prepare_split_bf16, bf16, DeltaSplit);
DELTA_PREPARE(delta_prepare_split_f16, f16, DeltaSplit);
#undef DELTA_PREPARE
