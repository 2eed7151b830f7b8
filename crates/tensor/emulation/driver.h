// The emulated driver's interface for the emulated cuBLAS and for tests.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>

// Calls since the program started.
#define EMULATED_COUNTS(X)                                                                        \
    X(launches) X(products) X(allocations) X(empty_allocations) X(frees) X(allocated_bytes)       \
    X(pinned_allocations) X(fills) X(filled_bytes) X(copies_to_device) X(copies_to_host)          \
    X(copies_on_device) X(pageable_copies) X(bytes_to_device) X(bytes_to_host) X(synchronisations) \
    X(event_synchronisations) X(event_records) X(event_waits) X(graph_launches) X(repeated_kernels) \
    X(repeated_fills)

struct EmulatedCounts {
#define FIELD(name) uint64_t name;
    EMULATED_COUNTS(FIELD)
#undef FIELD
};

// `what` and `places`, the addresses among its arguments, are compared when recorded work is repeated.
bool emulated_submit(void* stream, std::function<void()> run, const std::string& what,
                     std::initializer_list<unsigned long long> places);
bool emulated_inside(unsigned long long address, size_t n);
