// Prepended to every CUDA source that the emulated NVRTC compiles as C++. The threads of a block
// are fibres that switch at barriers; some blocks of a launch run concurrently and also switch
// there.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "launch.h"

#define EMULATED_GPU
// The emulation's own functions, which checks.h need not look at.
#define UNWATCHED __attribute__((no_sanitize("thread", "alignment")))
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) __attribute__((aligned(n)))
struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
struct __attribute__((aligned(8))) float2 { float x, y; };
struct float3 { float x, y, z; };
struct __attribute__((aligned(16))) float4 { float x, y, z, w; };
struct __attribute__((aligned(8))) int2 { int x, y; };
struct __attribute__((aligned(16))) int4 { int x, y, z, w; };
struct __attribute__((aligned(8))) uint2 { unsigned x, y; };
struct __attribute__((aligned(16))) uint4 { unsigned x, y, z, w; };
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline int2 make_int2(int x, int y) { return {x, y}; }
static inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static const int warpSize = 32;

namespace emulated {

[[noreturn]] static void stop(const char* what);

enum State : unsigned char { fresh, ready, at_block, at_warp, done };

struct Thread {
    void* stack;  // where the fibre stopped
    int fibre;
    State state;
    unsigned mask;       // the warp's lanes that are waited for
    unsigned exchanges;  // number of exchanges so far: two sets of slots are used alternately
    unsigned epoch, warp_epoch;  // number of __syncthreads and __syncwarp so far
    uint3 index;
};

static const int most_threads = 1024, most_resident = 4, most_shared = 64;
static const size_t stack_size = 128 * 1024;

// A block that has started and is not done.
struct Block {
    Thread threads[most_threads];
    uint64_t slots[2][most_threads][2];
    uint32_t factors[2][most_threads][6];
    uint3 index;
    bool fresh;
    uint64_t random;  // state of its random numbers
    bool has[most_shared];    // shared arrays that it has used
    char* kept[most_shared];  // their content while another block runs
    char* kept_dynamic;
    size_t static_shared;  // bytes
};

static Block blocks[most_resident];
static Block* block;  // the running one
static Thread* threads;
static uint64_t (*slots)[most_threads][2];
static void* scheduler_stack;
static Thread* current;
static void (*watcher)(const EmulatedAccess*);
static void (*entry)(const unsigned char*);
static const unsigned char* packed;
static const int most_fibres = most_threads * most_resident;
static char* stacks[most_fibres];
static void* fibre_stack[most_fibres];  // of fibres that wait for another thread
static int free_fibres[most_fibres], n_free, n_fibre;
static const char* kernel_name = "none";

static void stop(const char* what) {
    fprintf(stderr, "emulated GPU: kernel %s, block (%u, %u, %u), thread (%u, %u, %u): %s\n",
            kernel_name, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z,
            what);
    fflush(stderr);
    abort();
}

#if defined(__x86_64__)
// Saves the callee-saved registers, and continues on another stack.
extern "C" void emulated_switch(void** from, void* to) asm("emulated_switch_local");
asm(R"(
    .text
    .local emulated_switch_local
    .type emulated_switch_local, @function
emulated_switch_local:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulated_switch_local, . - emulated_switch_local
)");
#elif defined(__aarch64__)
extern "C" void emulated_switch(void** from, void* to) asm("emulated_switch_local");
asm(R"(
    .text
    .local emulated_switch_local
    .type emulated_switch_local, %function
emulated_switch_local:
    sub sp, sp, #160
    stp x19, x20, [sp]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x2, sp
    str x2, [x0]
    mov sp, x1
    ldp x19, x20, [sp]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .size emulated_switch_local, . - emulated_switch_local
)");
#else
#error "the emulated GPU switches fibres on x86-64 and aarch64 only"
#endif

UNWATCHED static void leave(State state) {
    current->state = state;
    emulated_switch(&current->stack, scheduler_stack);
}

// The body of a fibre: one thread after the other.
static void fibre() {
    for (;;) {
        entry(packed);
        leave(done);
    }
}

UNWATCHED static void start(Thread* thread) {
    if (n_free > 0) {
        int which = free_fibres[--n_free];
        thread->fibre = which;
        thread->stack = fibre_stack[which];
        return;
    }
    int which = n_fibre++;
    if (!stacks[which]) stacks[which] = (char*)aligned_alloc(64, stack_size);
    char* top = stacks[which] + stack_size;
#if defined(__x86_64__)
    void** frame = (void**)top;
    *--frame = nullptr;  // keeps the stack aligned as after a call
    *--frame = (void*)fibre;
    for (int i = 0; i < 6; i++) *--frame = nullptr;
#else
    void** frame = (void**)(top - 160);
    memset(frame, 0, 160);
    frame[11] = (void*)fibre;
#endif
    thread->fibre = which;
    thread->stack = frame;
}

UNWATCHED static void run(Thread* thread) {
    if (thread->state == fresh) start(thread);
    current = thread;
    threadIdx = thread->index;
    emulated_switch(&scheduler_stack, thread->stack);
    if (thread->state == done) {
        fibre_stack[thread->fibre] = thread->stack;
        free_fibres[n_free++] = thread->fibre;
    }
}

// Resumes the lanes of a warp if all that are waited for have arrived.
UNWATCHED static bool release_warp(unsigned first, unsigned n) {
    unsigned end = first + 32 < n ? first + 32 : n;
    bool released = false;
    for (unsigned i = first; i < end; i++) {
        if (threads[i].state != at_warp) continue;
        unsigned mask = threads[i].mask;
        bool all = true;
        for (unsigned j = first; j < end && all; j++) {
            if (!(mask >> (j - first) & 1)) continue;
            if (threads[j].state == at_warp && threads[j].mask != mask)
                stop("lanes of one warp wait for each other with different masks");
            all = threads[j].state == at_warp || threads[j].state == done;
        }
        if (!all) continue;
        for (unsigned j = first; j < end; j++)
            if (mask >> (j - first) & 1 && threads[j].state == at_warp) threads[j].state = ready;
        released = true;
    }
    return released;
}

// splitmix64
UNWATCHED static uint64_t draw(uint64_t& state) {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

// A random order of n things: `at` advances by a stride coprime to n.
struct Order {
    uint64_t n, stride, at;
    UNWATCHED Order(uint64_t n, uint64_t& state) : n(n), stride(n > 1 ? draw(state) % n : 0), at(n > 1 ? draw(state) % n : 0) {
        auto gcd = [](uint64_t a, uint64_t b) { while (b) { uint64_t c = a % b; a = b; b = c; } return a; };
        while (n > 1 && gcd(stride, n) != 1) stride = stride + 1 == n ? 1 : stride + 1;
    }
    UNWATCHED void advance() { at = (at + stride) % n; }
};

// Runs every thread of the current block up to its next barrier, in random order. Returns whether
// all are done.
UNWATCHED static bool run_to_barrier(unsigned n) {
    Order order(n, block->random);
    for (unsigned k = 0; k < n; k++, order.advance()) {
        Thread& t = threads[order.at];
        if (t.state == fresh || t.state == ready) run(&t);
    }
    bool released = false;
    for (unsigned first = 0; first < n; first += 32) released |= release_warp(first, n);
    if (released) return false;
    unsigned n_done = 0, n_waiting = 0;
    for (unsigned i = 0; i < n; i++) {
        n_done += threads[i].state == done;
        n_waiting += threads[i].state == at_block;
    }
    if (n_done == n) return true;
    if (n_done + n_waiting < n) {
        for (unsigned i = 0; i < n; i++)
            if (threads[i].state == at_warp) threadIdx = threads[i].index;
        stop("waits for lanes of its warp that never come");
    }
    if (n_done > 0) {
        for (unsigned i = 0; i < n; i++)
            if (threads[i].state == at_block) threadIdx = threads[i].index;
        stop("waits at __syncthreads, which other threads of the block have left out");
    }
    for (unsigned i = 0; i < n; i++) threads[i].state = ready;
    return false;
}

template <class T> UNWATCHED static T exchange(unsigned mask, T value, unsigned lane_of_source) {
    static_assert(sizeof(T) <= 8, "values of up to 8 bytes are exchanged");
    unsigned self = (unsigned)(current - threads), first = self & ~31u;
    if (!(mask >> (self - first) & 1)) stop("a lane that is not in its own mask");
    auto* set = slots[current->exchanges++ & 1];
    set[self][0] = 0;
    memcpy(set[self], &value, sizeof(T));
    set[self][1] = current->exchanges;
    current->mask = mask;
    leave(at_warp);
    unsigned source = first + (lane_of_source & 31);
    if (source != self && (!(mask >> (source - first) & 1) || set[source][1] != current->exchanges)) {
        // As on a GPU: the value from an inactive lane is undefined.
        T undefined;
        memset(&undefined, 0xff, sizeof(T));
        return undefined;
    }
    T result;
    memcpy(&result, set[source], sizeof(T));
    return result;
}

// A product of two small matrices by tensor cores, computed jointly by all lanes of a warp: each
// lane provides four registers of the left factor, 16 rows, and two of the right one, 8 columns.
template <class PRODUCT> UNWATCHED static void multiply(float* sum, const uint32_t* left, const uint32_t* right, int n_inner, PRODUCT product) {
    unsigned self = (unsigned)(current - threads), first = self & ~31u;
    auto* set = block->factors[current->exchanges++ & 1];
    memcpy(set[self], left, 16);
    memcpy(set[self] + 4, right, 8);
    current->mask = 0xffffffffu;
    leave(at_warp);
    unsigned own = self - first;
    for (int i = 0; i < 4; i++) {
        unsigned row = own / 4 + i / 2 * 8, column = own % 4 * 2 + i % 2;
        for (int k = 0; k < n_inner; k++) sum[i] += product(set + first, row, column, k);
    }
}

// m16n8k8 with TF32: for lane q of four, register 0 has column q of the inner dimension, register 1
// column q + 4.
UNWATCHED static float product_tf32(uint32_t (*of)[6], unsigned row, unsigned column, int k) {
    uint32_t a = of[row % 8 * 4 + k % 4][row / 8 + k / 4 * 2], b = of[column * 4 + k % 4][4 + k / 4];
    if ((a | b) & 0x1fff) stop("a factor of a tensor core's product was not rounded to TF32");
    float x, y;
    memcpy(&x, &a, 4);
    memcpy(&y, &b, 4);
    return x * y;
}

// m16n8k16 with bf16: register 0 has columns 2 q and 2 q + 1, register 1 those 8 further.
UNWATCHED static float product_bf16(uint32_t (*of)[6], unsigned row, unsigned column, int k) {
    unsigned q = k % 8 / 2, high = k % 2, far = k / 8;
    uint32_t a = of[row % 8 * 4 + q][row / 8 + far * 2], b = of[column * 4 + q][4 + far];
    a = high ? a & 0xffff0000u : a << 16;
    b = high ? b & 0xffff0000u : b << 16;
    float x, y;
    memcpy(&x, &a, 4);
    memcpy(&y, &b, 4);
    return x * y;
}

UNWATCHED static unsigned lane() { return (unsigned)(current - threads) & 31; }

UNWATCHED static unsigned ballot(unsigned mask, bool predicate) {
    unsigned own = predicate, result = 0;
    unsigned self = (unsigned)(current - threads), first = self & ~31u;
    auto* set = slots[current->exchanges & 1];
    unsigned number = current->exchanges + 1;
    exchange(mask, own, lane());
    for (unsigned i = 0; i < 32; i++)
        if (mask >> i & 1 && set[first + i][1] == number && set[first + i][0]) result |= 1u << i;
    return result;
}

// Shared arrays of fixed size, which are at the same place for all blocks.
static struct { void* array; size_t n; const char* name; } shared_arrays[most_shared];
static size_t shared_dynamic, shared_limit;  // bytes per block, of the current launch
alignas(128) static char dynamic_memory[256 * 1024];
template <class T> static T* dynamic_shared() { return (T*)dynamic_memory; }

// Initial content of shared memory. Also counts its size: the limit applies to both kinds.
UNWATCHED static void fill_once_per_block(void* array, size_t n, const char* name) {
    for (int i = 0; i < most_shared; i++) {
        if (!shared_arrays[i].array) shared_arrays[i] = {array, n, name};
        if (shared_arrays[i].array != array) continue;
        if (block->has[i]) return;
        block->has[i] = true;
        block->static_shared += n;
        if (block->static_shared + shared_dynamic > shared_limit) {
            char what[160];
            snprintf(what, sizeof what, "%zu bytes of static and %zu of dynamic shared memory are more than the %zu allowed",
                     block->static_shared, shared_dynamic, shared_limit);
            stop(what);
        }
        memset(array, 0xff, n);
        return;
    }
    stop("more than 64 shared arrays");
}

// Switches to another block, with its own shared memory.
UNWATCHED static void enter(Block* next) {
    if (block == next) return;
    for (int i = 0; i < most_shared; i++) {
        auto [array, n, name] = shared_arrays[i];
        if (block && block->has[i]) {
            if (!block->kept[i]) block->kept[i] = (char*)malloc(n);
            memcpy(block->kept[i], array, n);
        }
        if (next->has[i]) memcpy(array, next->kept[i], n);
    }
    if (block && shared_dynamic) {
        if (!block->kept_dynamic) block->kept_dynamic = (char*)malloc(sizeof dynamic_memory);
        memcpy(block->kept_dynamic, dynamic_memory, shared_dynamic);
    }
    if (next->fresh) memset(dynamic_memory, 0xff, shared_dynamic);
    else memcpy(dynamic_memory, next->kept_dynamic ? next->kept_dynamic : dynamic_memory, shared_dynamic);
    next->fresh = false;
    block = next;
    threads = next->threads;
    slots = next->slots;
    blockIdx = next->index;
}

UNWATCHED static void begin(Block* next, uint3 index, unsigned n, uint64_t random) {
    next->index = index;
    next->random = random;
    next->fresh = true;
    next->static_shared = 0;
    memset(next->has, 0, sizeof next->has);
    for (unsigned i = 0; i < n; i++) {
        Thread& t = next->threads[i];
        t.state = fresh;
        t.exchanges = t.epoch = t.warp_epoch = 0;
        t.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
    }
}

// Offset of argument `i` after the preceding ones, each aligned to 16.
template <class... A> static constexpr size_t packed_at(size_t i) {
    constexpr size_t sizes[] = {sizeof(A)..., 0};
    size_t at = 0;
    for (size_t k = 0; k < i; k++) at += (sizes[k] + 15) / 16 * 16;
    return at;
}
template <class... A> static constexpr size_t packed_size(void (*)(A...)) {
    static_assert((sizeof(A) + ... + 0) <= 4096, "the arguments of a kernel take at most 4 KiB");
    return packed_at<A...>(sizeof...(A));
}

template <class... A, size_t... I>
static void pack(void (*)(A...), void** given, unsigned char* out, std::index_sequence<I...>) {
    ((void)memcpy(out + packed_at<A...>(I), given[I], sizeof(A)), ...);
}
template <class... A> static void pack(void (*f)(A...), void** given, unsigned char* out) {
    pack(f, given, out, std::index_sequence_for<A...>());
}

template <class... A, size_t... I>
static void call(void (*f)(A...), const unsigned char* packed, std::index_sequence<I...>) {
    f(*(const typename std::remove_reference<A>::type*)(packed + packed_at<A...>(I))...);
}
template <class... A> static void call(void (*f)(A...), const unsigned char* packed) {
    call(f, packed, std::index_sequence_for<A...>());
}

}  // namespace emulated

// Runs all blocks of a launch, some concurrently, in an order drawn from the seed.
extern "C" UNWATCHED __attribute__((visibility("default"))) void emulated_launch(const EmulatedLaunch* launch) {
    using namespace emulated;
    kernel_name = launch->name;
    entry = launch->entry;
    packed = launch->packed;
    watcher = launch->watch;
    gridDim = {launch->grid[0], launch->grid[1], launch->grid[2]};
    blockDim = {launch->block[0], launch->block[1], launch->block[2]};
    uint64_t n_block = (uint64_t)gridDim.x * gridDim.y * gridDim.z, state = launch->seed;
    unsigned n_thread = blockDim.x * blockDim.y * blockDim.z;
    Order order(n_block, state);
    shared_dynamic = launch->shared;
    shared_limit = launch->shared_limit;
    unsigned most = launch->resident ? launch->resident : 1 + draw(state) % most_resident;
    if (most > (unsigned)most_resident) most = most_resident;
    Block *idle[most_resident], *running[most_resident];
    unsigned n_idle = 0, n_running = 0;
    while (n_idle < most) { idle[n_idle] = &blocks[n_idle]; n_idle++; }
    block = nullptr;
    for (uint64_t k = 0; k < n_block || n_running > 0;) {
        for (; k < n_block && n_idle > 0; k++, order.advance()) {
            uint64_t at = order.at;
            uint3 index = {(unsigned)(at % gridDim.x), (unsigned)(at / gridDim.x % gridDim.y),
                           (unsigned)(at / ((uint64_t)gridDim.x * gridDim.y))};
            running[n_running++] = idle[--n_idle];
            begin(running[n_running - 1], index, n_thread, draw(state));
        }
        unsigned i = (unsigned)(draw(state) % n_running);
        enter(running[i]);
        bool is_done;
        do is_done = run_to_barrier(n_thread);
        while (!is_done && (n_running == 1 || (!launch->every_barrier && draw(state) % 4)));
        if (!is_done) continue;
        idle[n_idle++] = running[i];
        running[i] = running[--n_running];
        block = nullptr;
    }
    kernel_name = "none";
}

// The location of a fault, for the driver's message.
extern "C" __attribute__((visibility("default"))) void emulated_place(char* out, size_t n) {
    snprintf(out, n, "kernel %s, block (%u, %u, %u), thread (%u, %u, %u)", emulated::kernel_name,
             blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
}

UNWATCHED static inline void __syncthreads() {
    emulated::leave(emulated::at_block);
    emulated::current->epoch++;
}
// Unlike exchanges of values, it orders accesses to memory; here only with a mask of all lanes.
UNWATCHED static inline void __syncwarp(unsigned mask = 0xffffffffu) {
    emulated::exchange(mask, 0u, emulated::lane());
    if (mask == 0xffffffffu) emulated::current->warp_epoch++;
}
template <class T> T __shfl_sync(unsigned mask, T v, int source, int width = 32) {
    unsigned l = emulated::lane(), first = l & ~(unsigned)(width - 1);
    return emulated::exchange(mask, v, first + ((unsigned)source & (width - 1)));
}
template <class T> T __shfl_xor_sync(unsigned mask, T v, int with, int width = 32) {
    unsigned l = emulated::lane(), source = l ^ (unsigned)with;
    if (source / width > l / width) source = l;
    return emulated::exchange(mask, v, source);
}
template <class T> T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32) {
    unsigned l = emulated::lane();
    return emulated::exchange(mask, v, (l & (width - 1)) + by < (unsigned)width ? l + by : l);
}
template <class T> T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32) {
    unsigned l = emulated::lane();
    return emulated::exchange(mask, v, (l & (width - 1)) >= by ? l - by : l);
}
static inline unsigned __ballot_sync(unsigned mask, int p) { return emulated::ballot(mask, p); }
static inline int __any_sync(unsigned mask, int p) { return emulated::ballot(mask, p) != 0; }
static inline int __all_sync(unsigned mask, int p) { return emulated::ballot(mask, !p) == 0; }
static inline void __threadfence() {}
static inline void __threadfence_block() {}

template <class T> T __ldg(const T* p) { return *p; }
template <class T> T __ldcs(const T* p) { return *p; }
template <class T> void __stcs(T* p, T v) { *p = v; }
#define __expf(x) expf(x)
#define __logf(x) logf(x)
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float emulated_rsqrtf(float x) { return 1.0f / sqrtf(x); }
#define rsqrtf emulated_rsqrtf
static inline float emulated_cospif(float x) { return (float)cos(3.14159265358979323846 * (double)x); }
#define cospif emulated_cospif
// The instructions used by messages on tensor cores, see message_cores.cuh.
static inline unsigned emulated_tf32(float x) {
    unsigned bits;
    memcpy(&bits, &x, 4);
    // To nearest, ties away from 0.
    return (bits & 0x7f800000u) == 0x7f800000u ? bits & 0xffffe000u : (bits + 0x1000u) & 0xffffe000u;
}
static inline unsigned emulated_bf16(float x) {
    unsigned bits;
    memcpy(&bits, &x, 4);
    if (x != x) return 0x7fff;
    // To nearest, ties to even.
    return (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}
static inline void emulated_multiply_tf32(float* sum, const unsigned* a, const unsigned* b) {
    emulated::multiply(sum, a, b, 8, emulated::product_tf32);
}
static inline void emulated_multiply_bf16(float* sum, const unsigned* a, const unsigned* b) {
    emulated::multiply(sum, a, b, 16, emulated::product_bf16);
}
static inline float __saturatef(float x) { return x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x; }
static inline float __int_as_float(int x) { float y; memcpy(&y, &x, 4); return y; }
static inline float __uint_as_float(unsigned x) { float y; memcpy(&y, &x, 4); return y; }
static inline int __float_as_int(float x) { int y; memcpy(&y, &x, 4); return y; }
static inline unsigned __float_as_uint(float x) { unsigned y; memcpy(&y, &x, 4); return y; }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int min(int a, int b) { return a < b ? a : b; }
static inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
static inline unsigned long long min(unsigned long long a, unsigned long long b) { return a < b ? a : b; }
static inline unsigned long long max(unsigned long long a, unsigned long long b) { return a > b ? a : b; }
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
