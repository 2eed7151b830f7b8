// Finds conflicting accesses of a launch that no barrier orders: for every word of memory, its last
// write and its reads since then. Accesses are in order if a barrier of the block lies between them,
// or __syncwarp between two of the same warp. Accesses of different blocks of a launch never are.
#pragma once
#include <cstdint>
#include <string>

#include "launch.h"

namespace races {

// An access, or several reads taken together.
struct Access {
    uint32_t launch = 0;  // none
    uint32_t block, epoch, warp_epoch, code;
    uint16_t warp;
    bool many_warps, many_blocks;  // the reads are not all of this warp, or of this block
    uint32_t lanes;

    Access() = default;
    Access(uint32_t launch, const EmulatedAccess& of)
        : launch(launch), block((uint32_t)of.block), epoch(of.epoch), warp_epoch(of.warp_epoch), code(of.code),
          warp((uint16_t)(of.thread / 32)), many_warps(false), many_blocks(false), lanes(1u << of.thread % 32) {}

    // Whether it is in no order with a later access.
    bool is_concurrent(const Access& now) const {
        if (launch != now.launch) return false;
        if (many_blocks || block != now.block) return true;
        if (epoch != now.epoch) return false;
        if (many_warps || warp != now.warp) return true;
        return warp_epoch == now.warp_epoch && (lanes & ~now.lanes);
    }

    // Takes another read into account. Those that are in order with it are no longer needed, unless
    // they are of another block.
    void add(const Access& now) {
        if (launch != now.launch) {
            *this = now;
        } else if (block != now.block) {
            many_blocks = true;
        } else if (epoch != now.epoch) {
            bool others = many_blocks;
            *this = now;
            many_blocks = others;
        } else if (warp != now.warp) {
            many_warps = true;
        } else if (warp_epoch != now.warp_epoch) {
            warp_epoch = now.warp_epoch;
            lanes = now.lanes;
        } else {
            lanes |= now.lanes;
        }
    }

    // Who it was, from the point of view of a later access.
    std::string threads(const Access& now) const {
        if (many_blocks) return "a thread of another block";
        if (many_warps) return "a thread of another warp";
        uint32_t other = block == now.block && warp == now.warp ? lanes & ~now.lanes : lanes;
        return "thread " + std::to_string(warp * 32 + __builtin_ctz(other));
    }
};

struct Word {
    Access write, read;

    // Shared memory belongs to one block after the other.
    void forget_other_blocks(const Access& now) {
        if (write.launch != now.launch || write.block != now.block) write.launch = 0;
        if (read.launch != now.launch || read.block != now.block) read.launch = 0;
    }

    bool is_written(const Access& now) const { return write.launch == now.launch; }

    // An earlier access that must not be in no order with this one.
    const Access* conflict(const Access& now, bool is_write) const {
        if (write.is_concurrent(now)) return &write;
        return is_write && read.is_concurrent(now) ? &read : nullptr;
    }

    void add(const Access& now, bool is_write) {
        if (!is_write) {
            read.add(now);
        } else {
            write = now;
            read.launch = 0;
        }
    }
};

}  // namespace races
