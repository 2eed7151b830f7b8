// What the driver and compiled kernels (kernel.h) tell each other.
#pragma once
#include <cstddef>
#include <cstdint>

// An access of a thread to memory that other threads can reach, too.
struct EmulatedAccess {
    uintptr_t address;
    unsigned n_byte;
    bool is_write;
    // In shared memory: the array and the place in it, the place in the block's shared memory as a
    // whole, and which of the running blocks it is.
    const char* array;  // null for memory of the device
    size_t in_array, offset;
    unsigned resident;
    uint64_t block;
    unsigned thread;
    unsigned epoch, warp_epoch;  // barriers of the block and of the warp that it has passed
    unsigned code;               // its instruction, in bytes from the start of the library
};

struct EmulatedLaunch {
    const char* name;
    void (*entry)(const unsigned char*);
    const unsigned char* packed;
    unsigned grid[3], block[3];
    unsigned shared, shared_limit;
    unsigned resident;   // blocks that run concurrently; 0: drawn from the seed
    bool every_barrier;  // whether to switch blocks at every barrier; else at some
    uint64_t seed;
    void (*watch)(const EmulatedAccess*);  // called by kernels that are compiled with checks
};
