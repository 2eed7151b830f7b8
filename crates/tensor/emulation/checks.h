// Follows kernel.h where sources are compiled with checks. g++ calls these functions before every
// access to memory (-fsanitize=thread) and where an address is not aligned as its type requires
// (-fsanitize=alignment); its own libraries for that are not linked.

extern "C" __attribute__((visibility("hidden"))) char __ehdr_start[], __bss_start[], _end[];

namespace emulated {

// Looks up an address in the shared memory of the running block.
UNWATCHED static bool is_shared(const char* p, EmulatedAccess& access) {
    size_t offset = p - dynamic_memory;
    if (offset < sizeof dynamic_memory) {
        if (offset + access.n_byte > shared_dynamic) stop("reaches beyond the dynamic shared memory of its launch");
        access.array = "dynamic shared memory";
        access.in_array = access.offset = offset;
        return true;
    }
    size_t start = sizeof dynamic_memory;
    for (int i = 0; i < most_shared && shared_arrays[i].array; i++) {
        offset = p - (const char*)shared_arrays[i].array;
        if (offset < shared_arrays[i].n) {
            access.array = shared_arrays[i].name;
            access.in_array = offset;
            access.offset = start + offset;
            return true;
        }
        start += (shared_arrays[i].n + 15) / 16 * 16;
    }
    return false;
}

UNWATCHED static void watch(void* address, unsigned n_byte, bool is_write, void* code) {
    if (!watcher || !block || !current) return;
    const char* p = (const char*)address;
    EmulatedAccess access{(uintptr_t)p, n_byte, is_write, nullptr, 0, 0, 0, 0, 0, 0, 0, 0};
    if (!is_shared(p, access)) {
        // Local variables, and the emulation's own.
        if ((size_t)(p - stacks[current->fibre]) < stack_size || (p >= __bss_start && p < _end)) return;
    }
    access.resident = (unsigned)(block - blocks);
    access.block = blockIdx.x + (uint64_t)gridDim.x * (blockIdx.y + (uint64_t)gridDim.y * blockIdx.z);
    access.thread = (unsigned)(current - threads);
    access.epoch = current->epoch;
    access.warp_epoch = current->warp_epoch;
    access.code = (unsigned)((char*)code - __ehdr_start - 1);
    watcher(&access);
}

// What g++ says about an address that is not aligned.
struct Misaligned {
    const char* file;
    unsigned line, column;
    struct { uint16_t kind, info; char name[1]; } * type;
    unsigned char log_alignment, use;
};

}  // namespace emulated

extern "C" {

#define HOOKS(n)                                                                                                   \
    UNWATCHED void __tsan_read##n(void* p) { emulated::watch(p, n, false, __builtin_return_address(0)); }          \
    UNWATCHED void __tsan_write##n(void* p) { emulated::watch(p, n, true, __builtin_return_address(0)); }          \
    UNWATCHED void __tsan_unaligned_read##n(void* p) { emulated::watch(p, n, false, __builtin_return_address(0)); } \
    UNWATCHED void __tsan_unaligned_write##n(void* p) { emulated::watch(p, n, true, __builtin_return_address(0)); } \
    UNWATCHED void __tsan_volatile_read##n(void* p) { emulated::watch(p, n, false, __builtin_return_address(0)); } \
    UNWATCHED void __tsan_volatile_write##n(void* p) { emulated::watch(p, n, true, __builtin_return_address(0)); }
HOOKS(1) HOOKS(2) HOOKS(4) HOOKS(8) HOOKS(16)
UNWATCHED void __tsan_read_range(void* p, size_t n) { emulated::watch(p, (unsigned)n, false, __builtin_return_address(0)); }
UNWATCHED void __tsan_write_range(void* p, size_t n) { emulated::watch(p, (unsigned)n, true, __builtin_return_address(0)); }
UNWATCHED void __tsan_init() {}

UNWATCHED void __ubsan_handle_type_mismatch_v1_abort(const emulated::Misaligned* of, uintptr_t address) {
    char what[512];
    snprintf(what, sizeof what, "address %#lx is not a multiple of %u, as %s requires (%s:%u)", (unsigned long)address,
             1u << of->log_alignment, of->type->name, of->file, of->line);
    emulated::stop(what);
}

}  // extern "C"
