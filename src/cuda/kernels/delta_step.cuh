// One token through a gated delta net, between its projections, in one launch.
//
// Convolution, silu and unit lengths; S ← e^g S + k ⊗ β (v − e^g kᵀS), o = qᵀS; norm of the answer, times the gate.
// With qᵀk at hand S is asked both questions before it changes, so it is read once and written once:
//   o = e^g qᵀS_before + (qᵀk) β (v − e^g kᵀS_before)
//
// A block is a value head: 16 warps hold all of its S (key_dim, value_dim), 8 rows a thread, in registers, asked for
// before anything else, so that one latency covers it. Value heads that share a key head read the same rows of the
// convolution, which move on by one: the last of them to have read moves them, found by counting in `arrivals`
// (zeros before, zeros after), which a 17th warp does beside the others.
//
// Bound: 2 · 4 · key_dim · value_dim bytes a head, 4.2 MB for 32 heads of 128 x 128, 1.4 us at 3 TB/s; a head's 128
// kB go through one SM, 1.2 us at 64 bytes a cycle, plus about 1 us of latency. Gain expected: one launch in place
// of about nine, about 2.5 us in place of the 4.3 us of llama.cpp's kernel and 8 more; not measured: no GPU here.
#pragma once
#include "delta_words.cuh"

constexpr int DELTA_WORKERS = 512;
constexpr int DELTA_STEP_ROWS = 8;         // of S a thread, at most
constexpr int DELTA_STEP_MOST_DIM = 256;   // of a key or value

// Where the workers of a step wait for each other, and not for the warp beside them.
__device__ __forceinline__ void delta_meet_workers() {
#ifdef __CUDACC__
    asm volatile("bar.sync 1, 512;" ::: "memory");
#else
    __syncthreads();  // that warp ends without coming here
#endif
}

// N neighbouring numbers.
template <int N> struct DeltaColumns;
template <> struct DeltaColumns<1> {
    static __device__ __forceinline__ void load(float (&to)[1], const float* from) { to[0] = *from; }
    static __device__ __forceinline__ void store(float* to, const float (&from)[1]) { *to = from[0]; }
};
template <> struct DeltaColumns<4> {
    static __device__ __forceinline__ void load(float (&to)[4], const float* from) {
        const float4 v = *reinterpret_cast<const float4*>(from);
        to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
    }
    static __device__ __forceinline__ void store(float* to, const float (&from)[4]) {
        *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
    }
};

// What a head's threads tell each other.
struct DeltaStepShared {
    float query[DELTA_STEP_MOST_DIM], key[DELTA_STEP_MOST_DIM], value[DELTA_STEP_MOST_DIM];
    float gate[DELTA_STEP_MOST_DIM];       // silu of the gate times the norm's weight
    float asked[DELTA_STEP_MOST_DIM], met[DELTA_STEP_MOST_DIM];  // query and key times S, neither of unit length
    float parts[2][DELTA_WORKERS * 4];     // the same, by groups of rows
};

// The channel of the convolution that number `at` of a head's query, key and value is.
__device__ __forceinline__ int delta_channel_of(const DeltaShape& shape, int at, int head, int key_head) {
    const int keys = shape.key_heads * shape.key_dim;
    if (at < shape.key_dim) return key_head * shape.key_dim + at;
    if (at < 2 * shape.key_dim) return keys + key_head * shape.key_dim + at - shape.key_dim;
    return 2 * keys + head * shape.value_dim + at - 2 * shape.key_dim;
}

// The rows of a channel move on by one token.
template <class T>
__device__ __forceinline__ void delta_move_rows(T* rows, const T* x, int channel, const DeltaShape& shape) {
    const long long channels = delta_channels(shape);
    for (int row = 0; row + 1 < shape.width; row++) {
        rows[row * channels + channel] = row + 2 < shape.width ? rows[(row + 1) * channels + channel] : x[channel];
    }
}

// The last value head of a key head to come here moves the rows of its query and key. A warp calls.
template <class T>
__device__ __forceinline__ void delta_arrive(T* rows, const T* x, unsigned* arrivals, int head, int key_head,
                                             const DeltaShape& shape) {
    unsigned before = 0;
    const int lane = threadIdx.x % 32;
    if (lane == 0) {
        __threadfence();
        before = atomicAdd(arrivals + key_head, 1u);
        __threadfence();
    }
    before = __shfl_sync(ALL_LANES, before, 0);
    if (before + 1 != unsigned(shape.value_heads / shape.key_heads)) return;
    for (int at = lane; at < 2 * shape.key_dim; at += 32) {
        delta_move_rows(rows, x, delta_channel_of(shape, at, head, key_head), shape);
    }
    if (lane == 0) arrivals[key_head] = 0;
}

// Norm of the answers, times the gate. A warp calls.
template <class T>
__device__ __forceinline__ void delta_answer(T* out, const DeltaStepShared& shared, float asked_scale, float met_scale,
                                             float overlap, float beta, float eps, int dim) {
    float answers[DELTA_STEP_MOST_DIM / 32], squares = 0.0f;
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < DELTA_STEP_MOST_DIM / 32; i++) {
        const int column = lane + 32 * i;
        if (column >= dim) continue;
        const float correction = beta * (shared.value[column] - met_scale * shared.met[column]);
        answers[i] = asked_scale * shared.asked[column] + overlap * correction;
        squares += answers[i] * answers[i];
    }
    const float scale = 1.0f / sqrtf(warp_sum(squares) / dim + eps);
#pragma unroll
    for (int i = 0; i < DELTA_STEP_MOST_DIM / 32; i++) {
        const int column = lane + 32 * i;
        if (column < dim) out[column] = narrow<T>(answers[i] * scale * shared.gate[column]);
    }
}

// qkv (channels), gate and out (value_heads, value_dim), beta and decay (value_heads); conv (width, channels), rate
// and bias (value_heads), norm (value_dim); rows (width - 1, channels), memory (value_heads, key_dim + 1,
// value_dim), arrivals (key_heads). N columns of S a thread, which divide value_dim.
template <class T, int N>
__device__ __forceinline__ void delta_step(const T* qkv, const T* gate, const T* beta_in, const T* decay_in,
                                           const float* conv, const float* rate, const float* bias, const float* norm,
                                           T* rows, float* memory, unsigned* arrivals, T* out, float eps,
                                           const DeltaShape& shape) {
    begin_after_previous();
    __shared__ DeltaStepShared shared;
    const int thread = threadIdx.x, lane = thread % 32, head = blockIdx.x;
    const int key_dim = shape.key_dim, value_dim = shape.value_dim, key_head = delta_key_head(shape, head);

    const int groups = value_dim / N, strides = DELTA_WORKERS / groups;
    const int column = thread % groups * N, first = thread / groups;
    float* matrix = memory + (long long)head * (key_dim + 1) * value_dim + column;
    float state[DELTA_STEP_ROWS][N] = {};
#pragma unroll
    for (int i = 0; i < DELTA_STEP_ROWS; i++) {
        const int row = first + i * strides;
        if (first < strides && row < key_dim) DeltaColumns<N>::load(state[i], matrix + row * value_dim);
    }

    const float log_decay = delta_log_decay(wide(decay_in[head]), rate[head], bias[head]);
    const float beta = delta_sigmoid(wide(beta_in[head]));
    for (int at = thread; at < 2 * key_dim + value_dim; at += blockDim.x) {
        const int channel = delta_channel_of(shape, at, head, key_head);
        const float y = delta_convolved(qkv, rows, conv, 0, channel, shape);
        if (at < key_dim) {
            shared.query[at] = y;
        } else if (at < 2 * key_dim) {
            shared.key[at - key_dim] = y;
        } else {
            shared.value[at - 2 * key_dim] = y;
            delta_move_rows(rows, qkv, channel, shape);
        }
    }
    for (int at = thread; at < value_dim; at += blockDim.x) {
        shared.gate[at] = norm[at] * delta_silu(wide(gate[head * value_dim + at]));
    }
    __syncthreads();
    if (thread >= DELTA_WORKERS) {
        delta_arrive(rows, qkv, arrivals, head, key_head, shape);
        return;
    }

    float queries = 0.0f, keys = 0.0f, overlap = 0.0f;
    for (int at = lane; at < key_dim; at += 32) {
        const float query = shared.query[at], key = shared.key[at];
        queries += query * query;
        keys += key * key;
        overlap += query * key;
    }
    const float of_query = 1.0f / sqrtf(warp_sum(queries) + DELTA_LENGTH_EPS) / sqrtf(float(key_dim));
    const float of_key = 1.0f / sqrtf(warp_sum(keys) + DELTA_LENGTH_EPS);
    overlap = warp_sum(overlap) * of_query * of_key;

    float asked[N] = {}, met[N] = {};
#pragma unroll
    for (int i = 0; i < DELTA_STEP_ROWS; i++) {
        const int row = first + i * strides;
        if (first >= strides || row >= key_dim) continue;
        for (int n = 0; n < N; n++) {
            asked[n] += shared.query[row] * state[i][n];
            met[n] += shared.key[row] * state[i][n];
        }
    }
    if (first < strides) {
        for (int n = 0; n < N; n++) {
            shared.parts[0][first * value_dim + column + n] = asked[n];
            shared.parts[1][first * value_dim + column + n] = met[n];
        }
    }
    delta_meet_workers();
    for (int at = thread; at < 2 * value_dim; at += DELTA_WORKERS) {
        const int of_keys = at >= value_dim, to = at - of_keys * value_dim;
        float sum = 0.0f;
        for (int stride = 0; stride < strides; stride++) sum += shared.parts[of_keys][stride * value_dim + to];
        (of_keys ? shared.met : shared.asked)[to] = sum;
    }
    delta_meet_workers();

    const float stays = expf(log_decay), met_scale = stays * of_key;
    float learnt[N] = {};
    if (first < strides) {
        for (int n = 0; n < N; n++) {
            learnt[n] = of_key * beta * (shared.value[column + n] - met_scale * shared.met[column + n]);
        }
    }
#pragma unroll
    for (int i = 0; i < DELTA_STEP_ROWS; i++) {
        const int row = first + i * strides;
        if (first >= strides || row >= key_dim) continue;
        for (int n = 0; n < N; n++) state[i][n] = stays * state[i][n] + shared.key[row] * learnt[n];
        DeltaColumns<N>::store(matrix + row * value_dim, state[i]);
    }
    if (thread < 32) {
        T* to = out + (long long)head * value_dim;
        delta_answer(to, shared, stays * of_query, met_scale, overlap, beta, eps, value_dim);
    }
}

#define DELTA_STEP(name, T, N)                                                                                       \
    extern "C" __global__ void __launch_bounds__(DELTA_WORKERS + 32, 1)                                                \
        name(const T* qkv, const T* gate, const T* beta, const T* decay, const float* conv, const float* rate,       \
             const float* bias, const float* norm, T* rows, float* memory, unsigned* arrivals, T* out, float eps,    \
             DeltaShape shape) {                                                                                     \
        delta_step<T, N>(qkv, gate, beta, decay, conv, rate, bias, norm, rows, memory, arrivals, out, eps, shape);   \
    }                                                                                                                \
    ENTRY(name)
DELTA_STEP(delta_step_f32, float, 4);
DELTA_STEP(delta_step_bf16, bf16, 4);
DELTA_STEP(delta_step_f16, f16, 4);
DELTA_STEP(delta_step_single_f32, float, 1);
DELTA_STEP(delta_step_single_bf16, bf16, 1);
DELTA_STEP(delta_step_single_f16, f16, 1);
#undef DELTA_STEP
