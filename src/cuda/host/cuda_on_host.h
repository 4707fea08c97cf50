// CUDA C++ of src/cuda/kernels as plain C++: enough of the language to run its kernels on a processor, for tests.
//
// Blocks run one after the other. The threads of a block are fibers that take turns, from the first to the last and
// back, and hand over only where they wait for each other; a block in which nobody can go on ends the process with
// the kernel's name. Types, intrinsics and fragments behave as the CUDA documentation describes them.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline
#define __noinline__
#define __restrict__
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
// One block at a time: what its threads share may be static. Never initialised in CUDA, poisoned here.
#define __shared__ static
#define DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(host::block.shared.data())

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x = 1, y = 1, z = 1; };
struct int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

namespace host {

constexpr unsigned WARP = 32;
constexpr size_t STACK = 256 << 10;

struct Warp {
    unsigned alive = 0, arrived = 0, turn = 0;
    uint64_t slots[WARP];
};

struct Thread {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    uint3 index;
    unsigned number = 0;
    bool ended = false;
};

struct Block {
    uint3 index;
    dim3 size, grid;
    unsigned alive = 0, arrived = 0, turn = 0;
    bool moved = false, has_waited = false;
    std::vector<Warp> warps;
    std::vector<Thread> threads;
    std::vector<uint4> shared;
    std::function<void()> body;
    ucontext_t scheduler;
};

inline Block block;
inline Thread* me = nullptr;

inline void yield() { swapcontext(&me->context, &block.scheduler); }

// Where all that are alive must come before anyone goes on.
template <class Place>
void release(Place& place) {
    if (place.arrived >= place.alive) {
        place.arrived = 0;
        place.turn++;
        block.moved = true;
    }
}
template <class Place>
void meet(Place& place) {
    unsigned turn = place.turn;
    place.arrived++;
    release(place);
    while (place.turn == turn) yield();
}

inline Warp& warp() { return block.warps[me->number / WARP]; }
inline unsigned lane() { return me->number % WARP; }

inline void run_thread() {
    block.body();
    me->ended = true;
    block.moved = true;
    block.alive--;
    release(block);
    warp().alive--;
    release(warp());
    swapcontext(&me->context, &block.scheduler);
}

inline void run_block(const char* kernel) {
    unsigned count = block.size.x * block.size.y * block.size.z;
    block.alive = count;
    block.arrived = 0;
    block.warps.assign((count + WARP - 1) / WARP, Warp());
    if (block.threads.size() < count) block.threads.resize(count);
    for (unsigned i = 0; i < count; i++) {
        Thread& t = block.threads[i];
        t.number = i;
        t.index = {i % block.size.x, i / block.size.x % block.size.y, i / (block.size.x * block.size.y)};
        t.ended = false;
        if (!t.stack) t.stack.reset(new char[STACK]);
        getcontext(&t.context);
        t.context.uc_stack.ss_sp = t.stack.get();
        t.context.uc_stack.ss_size = STACK;
        t.context.uc_link = nullptr;
        makecontext(&t.context, run_thread, 0);
        block.warps[i / WARP].alive++;
    }
    for (bool backwards = false; block.alive > 0; backwards = !backwards) {
        block.moved = false;
        for (unsigned i = 0; i < count; i++) {
            Thread& t = block.threads[backwards ? count - 1 - i : i];
            if (t.ended) continue;
            me = &t;
            swapcontext(&block.scheduler, &t.context);
        }
        if (!block.moved && block.alive > 0) {
            std::fprintf(stderr, "%s: threads of a block wait for each other for ever\n", kernel);
            std::abort();
        }
    }
}

using Body = std::function<void(void**)>;
inline std::map<std::string, Body>& entries() {
    static std::map<std::string, Body> all;
    return all;
}

template <class... Args, size_t... I>
void call(void (*kernel)(Args...), void** args, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_cv_t<std::remove_reference_t<Args>>*>(args[I])...);
}

struct Entry {
    template <class... Args>
    Entry(const char* name, void (*kernel)(Args...)) {
        entries()[name] = [kernel](void** args) { call(kernel, args, std::index_sequence_for<Args...>()); };
    }
};

// What another lane of the warp holds; all lanes that are alive must ask.
template <class T>
T exchange(T mine, unsigned from) {
    static_assert(sizeof(T) <= 8, "one register or two");
    Warp& w = warp();
    w.slots[lane()] = 0;
    std::memcpy(&w.slots[lane()], &mine, sizeof(T));
    meet(w);
    T theirs;
    std::memcpy(&theirs, &w.slots[from % WARP], sizeof(T));
    meet(w);
    return theirs;
}

}  // namespace host

#define threadIdx (host::me->index)
#define blockIdx (host::block.index)
#define blockDim (host::block.size)
#define gridDim (host::block.grid)
#define warpSize 32

inline void __syncthreads() { host::meet(host::block); }
inline void __syncwarp(unsigned = ~0u) { host::meet(host::warp()); }
inline void __threadfence() {}
template <class T> T __shfl_sync(unsigned, T v, int from, int width = 32) {
    unsigned base = host::lane() / width * width;
    return host::exchange(v, base + unsigned(from) % width);
}
template <class T> T __shfl_xor_sync(unsigned, T v, int mask, int = 32) { return host::exchange(v, host::lane() ^ mask); }
template <class T> T __shfl_down_sync(unsigned, T v, unsigned by, int width = 32) {
    unsigned to = host::lane() + by;
    return host::exchange(v, to / width == host::lane() / width ? to : host::lane());
}
template <class T> T __shfl_up_sync(unsigned, T v, unsigned by, int width = 32) {
    unsigned me = host::lane();
    return host::exchange(v, me % width >= by ? me - by : me);
}
inline unsigned __ballot_sync(unsigned, int vote) {
    unsigned all = 0, mine = vote ? 1 : 0;
    for (unsigned i = 0; i < 32; i++) all |= host::exchange(mine, i) << i;
    return all;
}

template <class T> T __ldg(const T* p) { return *p; }
template <class T> T __ldcs(const T* p) { return *p; }
inline int __dp4a(int a, int b, int c) {
    for (int i = 0; i < 4; i++) c += int(int8_t(a >> (8 * i))) * int(int8_t(b >> (8 * i)));
    return c;
}
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned s) {
    uint64_t both = uint64_t(y) << 32 | x;
    unsigned out = 0;
    for (int i = 0; i < 4; i++) out |= unsigned(both >> (8 * (s >> (4 * i) & 7)) & 255) << (8 * i);
    return out;
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __int2float_rn(int x) { return float(x); }
inline int __float2int_rn(float x) { return int(std::nearbyint(x)); }
inline float __int_as_float(int x) { float y; std::memcpy(&y, &x, 4); return y; }
inline int __float_as_int(float x) { int y; std::memcpy(&y, &x, 4); return y; }
inline unsigned __float_as_uint(float x) { unsigned y; std::memcpy(&y, &x, 4); return y; }
inline float __uint_as_float(unsigned x) { float y; std::memcpy(&y, &x, 4); return y; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
template <class T> T atomicAdd(T* at, T v) { T old = *at; *at += v; return old; }
template <class T> T atomicMax(T* at, T v) { T old = *at; *at = std::max(old, v); return old; }
using std::max;
using std::min;

// 16-bit floats, rounded to nearest even.
struct __half { uint16_t bits; };
struct __nv_bfloat16 { uint16_t bits; };
struct alignas(4) __half2 { __half x, y; };
struct alignas(4) __nv_bfloat162 { __nv_bfloat16 x, y; };
inline float __bfloat162float(__nv_bfloat16 v) { return __uint_as_float(unsigned(v.bits) << 16); }
inline __nv_bfloat16 __float2bfloat16(float v) {
    unsigned b = __float_as_uint(v);
    if ((b & 0x7fffffff) > 0x7f800000) return {uint16_t(b >> 16 | 0x40)};
    return {uint16_t((b + 0x7fff + (b >> 16 & 1)) >> 16)};
}
inline float __half2float(__half v) {
    unsigned sign = unsigned(v.bits & 0x8000) << 16, rest = v.bits & 0x7fff;
    if (rest >= 0x7c00) return __uint_as_float(sign | 0x7f800000 | (rest & 0x3ff) << 13);
    float magnitude = rest < 0x400 ? float(rest) * 5.9604644775390625e-8f : __uint_as_float((rest << 13) + 0x38000000);
    return sign ? -magnitude : magnitude;
}
inline __half __float2half(float v) {
    uint16_t sign = __float_as_uint(v) >> 16 & 0x8000;
    float m = std::fabs(v);
    if (std::isnan(v)) return {uint16_t(sign | 0x7e00)};
    if (m >= 65520.0f) return {uint16_t(sign | 0x7c00)};
    if (m < 6.103515625e-5f) return {uint16_t(sign | unsigned(std::nearbyint(m * 16777216.0f)))};
    unsigned b = __float_as_uint(m);
    b += 0xfff + (b >> 13 & 1);
    return {uint16_t(sign | ((b - 0x38000000) >> 13))};
}
inline __half __float2half_rn(float v) { return __float2half(v); }
inline __nv_bfloat16 __float2bfloat16_rn(float v) { return __float2bfloat16(v); }

#define ENTRY(name) static host::Entry host_entry_##name(#name, &name)

// Runs `kernel` over the grid, or, unless `blocks` is null, only those `count` blocks of it, by x, y and z; 0, or 1 if
// there is no such kernel, or 2 if it overlaps the kernel ahead and a block of it never waits for that one.
extern "C" inline __attribute__((used, visibility("default"))) int
run_on_host(const char* kernel, const unsigned* grid, const unsigned* size, unsigned shared, int overlaps, void** args,
            const unsigned* blocks, unsigned count) {
    auto entry = host::entries().find(kernel);
    if (entry == host::entries().end()) return 1;
    host::Block& block = host::block;
    block.size = {size[0], size[1], size[2]};
    block.grid = {grid[0], grid[1], grid[2]};
    block.body = [&] { entry->second(args); };
    bool all_wait = true;
    const auto run = [&](unsigned x, unsigned y, unsigned z) {
        block.index = {x, y, z};
        block.shared.assign(shared / 16 + 1, uint4{0x7fc07fc0, 0x7fc07fc0, 0x7fc07fc0, 0x7fc07fc0});
        block.has_waited = false;
        host::run_block(kernel);
        all_wait &= block.has_waited;
    };
    if (blocks) {
        for (unsigned i = 0; i < count; i++) run(blocks[3 * i], blocks[3 * i + 1], blocks[3 * i + 2]);
    } else {
        for (unsigned z = 0; z < grid[2]; z++)
            for (unsigned y = 0; y < grid[1]; y++)
                for (unsigned x = 0; x < grid[0]; x++) run(x, y, z);
    }
    return overlaps && !all_wait ? 2 : 0;
}
