// The twins of mma.cuh: tensor cores, matrix loads and asynchronous copies, as the PTX ISA describes them.
#pragma once

template <> inline unsigned pack<bf16>(float low, float high) {
    return narrow<bf16>(low).bits | unsigned(narrow<bf16>(high).bits) << 16;
}
template <> inline unsigned pack<f16>(float low, float high) {
    return narrow<f16>(low).bits | unsigned(narrow<f16>(high).bits) << 16;
}

namespace host {

// What all lanes of the warp hold, by lane. It stands until this lane next meets the warp: places alternate,
// and one is written again only after a meeting that followed its reading.
template <class V>
const V* of_all_lanes(const V& mine) {
    static V held[2][32][WARP];
    Warp& w = warp();
    V* place = held[w.turn % 2][me->number / WARP];
    place[lane()] = mine;
    meet(w);
    return place;
}

struct Operands { unsigned a[4], b[2]; };

template <class T>
float half_of(unsigned both, unsigned high) { return wide(T{uint16_t(both >> (16 * high))}); }

inline uint16_t at_row(const void* row, unsigned column) {
    uint16_t bits;
    std::memcpy(&bits, static_cast<const char*>(row) + 2 * column, 2);
    return bits;
}

// Copies happen as late as they may, when waited for; until then what is at their place is no number.
struct Copy { void* to; uint4 what; };
using Group = std::vector<Copy>;
inline std::vector<Group>& groups() {
    static std::vector<Group> of_threads[1024];
    std::vector<Group>& mine = of_threads[me->number];
    if (mine.empty()) mine.emplace_back();
    return mine;
}

inline void need(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}
inline bool aligned(const void* at) { return reinterpret_cast<uintptr_t>(at) % 16 == 0; }

}  // namespace host

inline bool any_lane(bool says) {
    const bool* say = host::of_all_lanes(says);
    return std::any_of(say, say + host::WARP, [](bool one) { return one; });
}

template <class T>
void mma_16x8x16(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    const host::Operands* of = host::of_all_lanes(host::Operands{{a[0], a[1], a[2], a[3]}, {b0, b1}});
    const unsigned g = host::lane() / 4, t = host::lane() % 4;
    for (unsigned i = 0; i < 4; i++) {
        const unsigned row = g + i / 2 * 8, column = 2 * t + i % 2;
        float sum = 0.0f;
        for (unsigned k = 0; k < 16; k++) {
            const unsigned pair = k % 8 / 2;
            sum += host::half_of<T>(of[row % 8 * 4 + pair].a[row / 8 + k / 8 * 2], k % 2) *
                   host::half_of<T>(of[column * 4 + pair].b[k / 8], k % 2);
        }
        c[i] += sum;
    }
}

inline SharedAddress shared_address(const void* at) { return reinterpret_cast<SharedAddress>(at); }
inline void load_matrices(unsigned (&r)[4], SharedAddress at) {
    const void* row = reinterpret_cast<const void*>(at);
    host::need(host::aligned(row), "ldmatrix: a row is not on 16 bytes");
    const void* const* rows = host::of_all_lanes(row);
    const unsigned g = host::lane() / 4, t = host::lane() % 4;
    for (unsigned m = 0; m < 4; m++) {
        const void* from = rows[8 * m + g];
        r[m] = host::at_row(from, 2 * t) | unsigned(host::at_row(from, 2 * t + 1)) << 16;
    }
}
inline void load_matrices_transposed(unsigned (&r)[4], SharedAddress at) {
    const void* row = reinterpret_cast<const void*>(at);
    host::need(host::aligned(row), "ldmatrix: a row is not on 16 bytes");
    const void* const* rows = host::of_all_lanes(row);
    const unsigned g = host::lane() / 4, t = host::lane() % 4;
    for (unsigned m = 0; m < 4; m++) {
        const void *low = rows[8 * m + 2 * t], *high = rows[8 * m + 2 * t + 1];
        r[m] = host::at_row(low, g) | unsigned(host::at_row(high, g)) << 16;
    }
}

inline void copy_async(void* to, const void* from, bool there) {
    const bool aligned = host::aligned(to) && (!there || host::aligned(from));
    host::need(aligned, "cp.async: an address is not on 16 bytes");
    uint4 what = {0, 0, 0, 0}, none = {0x7fc07fc0, 0x7fc07fc0, 0x7fc07fc0, 0x7fc07fc0};
    if (there) std::memcpy(&what, from, 16);
    std::memcpy(to, &none, 16);
    host::groups().back().push_back({to, what});
}
inline void copy_async_commit() { host::groups().emplace_back(); }
template <int PENDING> void copy_async_wait() {
    std::vector<host::Group>& groups = host::groups();  // the last is open still
    while (groups.size() > 1 + PENDING) {
        for (const host::Copy& copy : groups.front()) std::memcpy(copy.to, &copy.what, 16);
        groups.erase(groups.begin());
    }
}
