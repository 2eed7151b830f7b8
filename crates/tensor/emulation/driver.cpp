// An emulation of NVIDIA's driver: device memory is host memory, and streams are queues whose work
// is done when it is waited for, or earlier, depending on the stream setting.
#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver.h"
#include "launch.h"
#include "races.h"

typedef unsigned long long Address;
typedef int Result;

enum : Result {
    ok = 0,
    invalid_value = 1,
    out_of_memory = 2,
    not_initialized = 3,
    no_device = 100,
    invalid_device = 101,
    invalid_context = 201,
    invalid_ptx = 218,
    invalid_handle = 400,
    not_found = 500,
    illegal_address = 700,
    too_many_resources = 701,
    tensor_memory_leak = 721,
    capture_unsupported = 900,
};

namespace {

std::recursive_mutex mutex;
typedef std::lock_guard<std::recursive_mutex> Guard;

[[noreturn]] void stop(const std::string& what) {
    fprintf(stderr, "emulated GPU: %s\n", what.c_str());
    fflush(stderr);
    abort();
}

uint64_t setting(const char* name, uint64_t otherwise) {
    const char* text = getenv(name);
    return text && *text ? strtoull(text, nullptr, 10) : otherwise;
}

uint64_t random_state = setting("EMULATED_CUDA_SEED", 1);
uint64_t draw() {  // splitmix64
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

// ---- counts ----

EmulatedCounts counts;

struct Report {
    ~Report() {
        const char* path = getenv("EMULATED_CUDA_COUNTS");
        if (!path || !*path) return;
        if (FILE* file = fopen(path, "w")) {
#define LINE(name) fprintf(file, #name " %llu\n", (unsigned long long)counts.name);
            EMULATED_COUNTS(LINE)
#undef LINE
            fclose(file);
        }
    }
} report;

// ---- streams ----

struct Stream;

struct Work {
    std::function<void()> run;
    Stream* other;  // wait for this much of another stream first
    uint64_t position;
    std::string what;
    std::vector<unsigned char> arguments;
};

// Recorded work, and what it is: all but the arguments in words.
struct Node {
    std::function<void()> run;
    std::string what;
    std::vector<unsigned char> arguments;
};

// In order.
struct Graph {
    std::vector<Node> nodes;
    uint64_t n_kernel = 0, n_fill = 0, filled_bytes = 0;
    std::vector<unsigned long long> filled;  // addresses
};

struct Stream {
    std::deque<Work> waiting;
    uint64_t submitted = 0, done = 0;
    Graph* recorded = nullptr;  // instead of being executed
};

// ---- memory ----

const size_t page = 4096;

// A non-default pool. Memory freed there is handed out again with its content, and stays mapped.
struct Pool {
    std::multimap<size_t, Address> free;
    bool destroyed = false;
};

struct Memory {
    char* mapped;
    size_t mapped_size, size;
    bool freed;            // requested, not yet done
    const Stream* stream;  // on which it is allocated
    uint64_t position;     // position of that stream when it is allocated
    Pool* pool;            // null for the default pool
    bool in_pool;          // freed in stream order, and not handed out again since
    std::vector<races::Word> words;  // accesses of the running launch, of kernels that are watched
};

// These are never destroyed: threads of the program may still free memory during exit, after all
// other variables are gone.
std::map<Address, Memory>& device_memory = *new std::map<Address, Memory>;
std::map<Address, size_t>& freed_memory = *new std::map<Address, size_t>;
std::map<Address, size_t>& pinned_memory = *new std::map<Address, size_t>;
uint64_t in_use, most_in_use;
Pool* current_pool;  // null for the default pool

// Whether kernels and products do anything. If not, calls are counted and new memory is 0.
bool works = true;

// The array ends right before an inaccessible page.
Address allocate(size_t n, const Stream* stream) {
    size_t pages = (n + page - 1) / page * page;
    char* mapped = (char*)mmap(nullptr, pages + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) stop("the machine has no more memory");
    mprotect(mapped + pages, page, PROT_NONE);
    memset(mapped, 0xff, pages);
    Address address = (Address)(mapped + (pages - n) / 16 * 16);
    if (!works) memset((void*)address, 0, n);
    device_memory[address] = {mapped, pages + page, n, false, stream, stream->submitted, current_pool, false, {}};
    in_use += n;
    most_in_use = std::max(most_in_use, in_use);
    return address;
}

void check_slack(Address address, const Memory& m) {
    const unsigned char* slack = (const unsigned char*)(address + m.size);
    for (const unsigned char* end = (const unsigned char*)m.mapped + m.mapped_size - page; slack < end; slack++)
        if (*slack != 0xff) stop("a kernel has written beyond the end of an array of " + std::to_string(m.size) + " bytes");
}

void release(Address address) {
    auto found = device_memory.find(address);
    if (found == device_memory.end()) stop("memory is freed twice");
    const Memory& m = found->second;
    check_slack(address, m);
    // The addresses are not used again, so that whoever still refers to them is found.
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    if (mmap(m.mapped, m.mapped_size, PROT_NONE, flags, -1, 0) == MAP_FAILED) stop("the machine has no more memory");
    freed_memory[address] = m.size;
    in_use -= m.size;
    device_memory.erase(found);
}

// What is freed in a pool may not be used until it is handed out again. Otherwise recorded work may:
// the pool keeps the memory, and nobody else gets it.
const bool strict_pools = [] {
    const char* text = getenv("EMULATED_CUDA_POOLS");
    if (!text || !*text || !strcmp(text, "lenient")) return false;
    if (!strcmp(text, "strict")) return true;
    stop("EMULATED_CUDA_POOLS is \"lenient\" or \"strict\"");
}();

// The array with this address, or null.
Memory* memory_at(Address address) {
    auto after = device_memory.upper_bound(address);
    if (after == device_memory.begin()) return nullptr;
    auto& found = *std::prev(after);
    return address < found.first + found.second.size ? &found.second : nullptr;
}

bool inside(Address address, size_t n) {
    if (n == 0) return true;
    auto after = device_memory.upper_bound(address);
    if (after == device_memory.begin()) return false;
    const auto& found = *std::prev(after);
    return address + n <= found.first + found.second.size && !(strict_pools && found.second.in_pool);
}

bool is_freed(Address address) {
    if (const Memory* memory = memory_at(address)) return strict_pools && memory->in_pool;
    auto after = freed_memory.upper_bound(address);
    if (after == freed_memory.begin()) return false;
    return address < std::prev(after)->first + std::prev(after)->second;
}

// Whether the memory that the arguments of a launch refer to exists when it is its turn: structures
// among them also contain addresses, so all words are looked up.
void check_arguments(const std::string& kernel, const std::vector<unsigned char>& packed) {
    for (size_t at = 0; at + 8 <= packed.size(); at += 8) {
        Address word;
        memcpy(&word, packed.data() + at, 8);
        if (is_freed(word)) stop("kernel " + kernel + " is given memory that is freed before its turn");
    }
}

void check(const char* what, Address address, size_t n) {
    if (!inside(address, n))
        stop(std::string(what) + " of " + std::to_string(n) + " bytes reaches beyond an array of the device");
}

// Memory is available once its stream has reached the allocation; other streams must wait for that.
void check_there(Address address, const Stream* stream) {
    const Memory& m = std::prev(device_memory.upper_bound(address))->second;
    if (m.stream != stream && m.stream->done < m.position)
        stop("a stream uses memory that another stream has not allocated yet");
}

bool is_pinned(const void* p, size_t n) {
    auto after = pinned_memory.upper_bound((Address)p);
    if (after == pinned_memory.begin()) return false;
    const auto& found = *std::prev(after);
    return (Address)p + n <= found.first + found.second;
}

struct Event {
    Stream* stream = nullptr;
    uint64_t position = 0;
};

Stream& default_stream = *new Stream;
std::vector<Stream*>& streams = *new std::vector<Stream*>{&default_stream};

Stream* stream_of(void* handle) {
    Stream* stream = handle ? (Stream*)handle : &default_stream;
    if (std::find(streams.begin(), streams.end(), stream) == streams.end()) stop("a stream that does not exist");
    return stream;
}

void advance(Stream* stream, uint64_t position) {
    while (stream->done < position) {
        Work work = std::move(stream->waiting.front());
        stream->waiting.pop_front();
        if (work.other) advance(work.other, work.position);
        if (work.run) work.run();
        stream->done++;
    }
}

// When to execute work that nobody waits for yet: immediately; never; at random; immediately on all
// streams but the default one, where never.
enum Policy { eager, lazy, at_random, others_first };
const char* const policies[] = {"eager", "lazy", "random", "others-first"};

Policy named_policy(const char* text) {
    if (!text || !*text) return at_random;
    for (int i = 0; i < 4; i++)
        if (!strcmp(text, policies[i])) return (Policy)i;
    stop("EMULATED_CUDA_STREAMS is \"eager\", \"lazy\", \"random\" or \"others-first\"");
}

Policy policy = named_policy(getenv("EMULATED_CUDA_STREAMS"));

void submit(Stream* stream, Work work) {
    if (stream->recorded) {
        if (work.other) stop("waits for other streams are not emulated while work is recorded");
        stream->recorded->nodes.push_back({std::move(work.run), std::move(work.what), std::move(work.arguments)});
        return;
    }
    stream->waiting.push_back(std::move(work));
    stream->submitted++;
    if (policy == eager || (policy == others_first && stream != &default_stream))
        advance(stream, stream->submitted);
    if (policy == at_random && draw() % 4 == 0) {
        Stream* some = streams[draw() % streams.size()];
        uint64_t n = some->submitted - some->done;
        if (n > 0) advance(some, some->done + draw() % (n + 1));
    }
}

void submit(void* stream, std::function<void()> run, std::string what = "", std::vector<unsigned char> arguments = {}) {
    submit(stream_of(stream), {std::move(run), nullptr, 0, std::move(what), std::move(arguments)});
}

std::vector<unsigned char> bytes_of(std::initializer_list<Address> words) {
    const unsigned char* first = (const unsigned char*)words.begin();
    return {first, first + 8 * words.size()};
}

void finish(Stream* stream) { advance(stream, stream->submitted); }

void finish_all() {
    for (Stream* stream : streams) finish(stream);
}

// ---- context ----

bool initialized;
thread_local void* current_context;
void* const the_contexts[8] = {(void*)0x1000, (void*)0x1001, (void*)0x1002, (void*)0x1003,
                               (void*)0x1004, (void*)0x1005, (void*)0x1006, (void*)0x1007};
int retained[8];

int n_device() { return (int)std::min<uint64_t>(setting("EMULATED_CUDA_DEVICES", 1), 8); }

// From the call of this number on, all calls fail as after a kernel that went wrong; 0 for none.
const uint64_t first_failure = setting("EMULATED_CUDA_FAIL", 0);
const Result failure = (Result)setting("EMULATED_CUDA_FAIL_WITH", illegal_address);
uint64_t n_call;
bool is_lost() { return first_failure && ++n_call >= first_failure; }

#define NEEDS_CONTEXT                               \
    Guard guard(mutex);                             \
    if (!current_context) return invalid_context; \
    if (is_lost()) return failure;

// ---- modules ----

struct Module {
    std::string path;
    void* library;
    void (*launch)(const EmulatedLaunch*);
};

struct Function {
    std::string name;
    const Module* module;
    void (*entry)(const unsigned char*);
    void (*pack)(void**, unsigned char*);
    size_t packed_size;
    unsigned shared_limit;  // dynamic
    bool has_asked;         // for more than the default
};

const Module* running;
const EmulatedLaunch* running_launch;
uint32_t n_launch;

// ---- races ----

// Accesses to the shared memory of the blocks that run at a time.
std::vector<races::Word>& shared_words = *new std::vector<races::Word>;
const size_t shared_room = 512 * 1024;  // bytes, for arrays of all kernels of a source

// Where pages of memory belong, for a quick look-up during a launch.
struct Page {
    Address page;
    Address start;
    Memory* memory;
};
Page pages[1024];

races::Word* words_of(const EmulatedAccess& access) {
    if (access.array) {
        if (access.offset + access.n_byte > shared_room) stop("a source with too many shared arrays");
        if (shared_words.empty()) shared_words.resize(4 * shared_room / 4);
        return &shared_words[(access.resident * shared_room + access.offset) / 4];
    }
    Page& known = pages[access.address / page % 1024];
    if (known.page != access.address / page) {
        auto after = device_memory.upper_bound(access.address);
        bool found = after != device_memory.begin() && memory_at(access.address);
        known = {access.address / page, found ? std::prev(after)->first : 0, found ? &std::prev(after)->second : nullptr};
    }
    if (!known.memory) return nullptr;
    std::vector<races::Word>& words = known.memory->words;
    if (words.empty()) words.resize(known.memory->size / 4 + 4);
    return access.address < known.start ? nullptr : &words[(access.address - known.start) / 4];
}

// Has a word of memory of the device been written since it was allocated?
bool is_unwritten(Address address) { return *(const uint32_t*)address == 0xffffffffu; }

std::string block_name(uint64_t block) {
    const unsigned* grid = running_launch->grid;
    return "block (" + std::to_string(block % grid[0]) + ", " + std::to_string(block / grid[0] % grid[1]) + ", " +
           std::to_string(block / ((uint64_t)grid[0] * grid[1])) + ")";
}

// The line of an instruction, and those from which the functions are called that it is inlined into.
std::string line_of(unsigned code) {
    char command[4096], text[1024];
    snprintf(command, sizeof command, "addr2line -e '%s' -i %#x 2>/dev/null", running->path.c_str(), code);
    FILE* lines = popen(command, "r");
    std::string out;
    while (lines && fgets(text, sizeof text, lines))
        if (!strstr(text, EMULATION)) out += (out.empty() ? "" : ", called in ") + std::string(text, strcspn(text, " \n"));
    if (lines) pclose(lines);
    return out.empty() ? "an unknown line" : out;
}

[[noreturn]] void stop_at(const EmulatedAccess& access, const std::string& what) {
    char place[256];
    if (access.array) snprintf(place, sizeof place, "byte %zu of %s", access.in_array, access.array);
    else snprintf(place, sizeof place, "address %#lx", (unsigned long)access.address);
    stop(std::string("kernel ") + running_launch->name + ", " + block_name(access.block) + ", thread " +
         std::to_string(access.thread) + (access.is_write ? " writes " : " reads ") + place + " in " +
         line_of(access.code) + ", " + what);
}

// Called before every access of a kernel that is compiled with checks.
void watch(const EmulatedAccess* access) {
    races::Word* words = words_of(*access);
    if (!words) return;
    races::Access now(n_launch, *access);
    for (unsigned i = 0; i < access->n_byte; i += 4) {
        races::Word& word = words[i / 4];
        if (access->array) word.forget_other_blocks(now);
        if (!access->is_write && (access->array ? !word.is_written(now) : is_unwritten(access->address + i)))
            stop_at(*access, "which nobody has written");
        if (const races::Access* other = word.conflict(now, access->is_write)) {
            std::string who = other->threads(now);
            if (!other->many_blocks && other->block != now.block) who += " of " + block_name(other->block);
            stop_at(*access, "a race: " + who + (other == &word.write ? " has written" : " has read") + " it in " +
                                 line_of(other->code) + ", in no order with this");
        }
        word.add(now, access->is_write);
    }
}

void fault(int, siginfo_t* info, void*) {
    char place[256] = "no kernel";
    if (running)
        if (auto say = (void (*)(char*, size_t))dlsym(running->library, "emulated_place")) say(place, sizeof place);
    fprintf(stderr, "emulated GPU: %s: address %p belongs to no array (beyond the end of one, or freed)\n", place,
            info->si_addr);
    abort();
}

void catch_faults() {
    struct sigaction action {};
    action.sa_sigaction = fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, nullptr);
    sigaction(SIGBUS, &action, nullptr);
}

// ---- recordings ----

std::string shape(std::initializer_list<unsigned> sizes) {
    std::string text;
    for (unsigned size : sizes) text += (text.empty() ? "" : " x ") + std::to_string(size);
    return text;
}

// Whether two words are the same, or addresses at the same place in arrays of the same size, both from
// a pool of recordings.
bool are_alike(Address one, Address other) {
    if (one == other) return true;
    auto found = [](Address address) {
        auto after = device_memory.upper_bound(address);
        return memory_at(address) ? &*std::prev(after) : nullptr;
    };
    auto* a = found(one);
    auto* b = found(other);
    return a && b && a->second.pool && a->second.pool == b->second.pool && a->second.size == b->second.size &&
           one - a->first == other - b->first;
}

std::string difference_of(const std::vector<Node>& one, const std::vector<Node>& other) {
    for (size_t i = 0; i < std::min(one.size(), other.size()); i++) {
        std::string place = "number " + std::to_string(i + 1) + " was " + one[i].what;
        if (one[i].what != other[i].what) return place + ", and is " + other[i].what;
        for (size_t at = 0; at + 8 <= std::min(one[i].arguments.size(), other[i].arguments.size()); at += 8) {
            Address a, b;
            memcpy(&a, &one[i].arguments[at], 8);
            memcpy(&b, &other[i].arguments[at], 8);
            char words[128];
            snprintf(words, sizeof words, ", with %#llx at byte %zu of its arguments, and now %#llx", a, at, b);
            if (!are_alike(a, b)) return place + words;
        }
    }
    if (one.size() == other.size()) return "";
    return "there were " + std::to_string(one.size()) + " launches, and are " + std::to_string(other.size());
}

const unsigned shared_without_asking = 48 * 1024;
unsigned shared_limit() { return (unsigned)setting("EMULATED_CUDA_SHARED", 163 * 1024); }

// How blocks of a launch are interleaved: one after the other; some at a time, at random; as many
// as possible, at every barrier.
enum Turns { one, some, barriers };
Turns turns = [] {
    const char* text = getenv("EMULATED_CUDA_BLOCKS");
    if (!text || !*text || !strcmp(text, "random")) return some;
    if (!strcmp(text, "one")) return one;
    if (!strcmp(text, "barriers")) return barriers;
    stop("EMULATED_CUDA_BLOCKS is \"one\", \"random\" or \"barriers\"");
}();

}  // namespace

// For the emulated cuBLAS: does something in stream order.
bool emulated_submit(void* stream, std::function<void()> run, const std::string& what, std::initializer_list<Address> places) {
    Guard guard(mutex);
    if (is_lost()) return false;
    counts.products++;
    if (Graph* recorded = stream_of(stream)->recorded) recorded->n_kernel++;
    submit(stream, [run = std::move(run)] { if (works) run(); }, what, bytes_of(places));
    return true;
}
bool emulated_inside(Address address, size_t n) {
    Guard guard(mutex);
    return inside(address, n);
}

extern "C" {

void emulated_cuda_counts(EmulatedCounts* out) {
    Guard guard(mutex);
    *out = counts;
}

void emulated_cuda_set_counts(const EmulatedCounts* now) {
    Guard guard(mutex);
    counts = *now;
}

// The first difference between two recordings that are ready to be launched; null if there is none.
// Memory of the recordings' own pool may be at other places.
const char* emulated_cuda_difference(void* one, void* other) {
    Guard guard(mutex);
    static std::string difference;
    difference = difference_of((*(std::shared_ptr<Graph>*)one)->nodes, (*(std::shared_ptr<Graph>*)other)->nodes);
    return difference.empty() ? nullptr : difference.c_str();
}

// Work that is already queued is done when it is waited for, whatever the new setting.
void emulated_cuda_streams(const char* name) {
    Guard guard(mutex);
    policy = named_policy(name);
}

// From now on, calls are counted without any work.
void emulated_cuda_only_count() {
    Guard guard(mutex);
    works = false;
}

Result cuInit(unsigned flags) {
    Guard guard(mutex);
    if (flags) return invalid_value;
    if (n_device() == 0) return no_device;
    if (!initialized) catch_faults();
    initialized = true;
    return ok;
}
Result cuDriverGetVersion(int* version) {
    *version = (int)setting("EMULATED_CUDA_DRIVER", 13000);
    return ok;
}
Result cuDeviceGetCount(int* n) {
    if (!initialized) return not_initialized;
    *n = n_device();
    return ok;
}
Result cuDeviceGet(int* device, int ordinal) {
    if (!initialized) return not_initialized;
    if (ordinal < 0 || ordinal >= n_device()) return invalid_device;
    *device = ordinal;
    return ok;
}
Result cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case 75: *value = (int)setting("EMULATED_CUDA_CAPABILITY", 8); return ok;  // its first number
        case 76: *value = 0; return ok;
        case 97: *value = (int)shared_limit(); return ok;
        case 8: *value = (int)shared_without_asking; return ok;
        case 16: *value = 4; return ok;    // multiprocessors
        case 1: *value = 1024; return ok;  // threads per block
        case 10: *value = 32; return ok;   // threads per warp
        case 115: *value = 1; return ok;   // memory pools
        default: stop("attribute " + std::to_string(attribute) + " of a device is not emulated");
    }
}
Result cuDevicePrimaryCtxRetain(void** context, int device) {
    Guard guard(mutex);
    if (!initialized) return not_initialized;
    retained[device]++;
    *context = the_contexts[device];
    return ok;
}
Result cuDevicePrimaryCtxRelease_v2(int device) {
    Guard guard(mutex);
    if (retained[device]-- <= 0) stop("a context is released more often than it was retained");
    return ok;
}
Result cuCtxSetCurrent(void* context) {
    current_context = context;
    return ok;
}
Result cuCtxSynchronize() {
    NEEDS_CONTEXT
    counts.synchronisations++;
    finish_all();
    return ok;
}

static const struct { Result code; const char *name, *text; } errors[] = {
    {ok, "CUDA_SUCCESS", "no error"},
    {invalid_value, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {out_of_memory, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {not_initialized, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {no_device, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {invalid_device, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {invalid_context, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {invalid_ptx, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {invalid_handle, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {not_found, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {too_many_resources, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {illegal_address, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {tensor_memory_leak, "CUDA_ERROR_TENSOR_MEMORY_LEAK", "an exit from a kernel with tensor memory"},
    {capture_unsupported, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
};
Result cuGetErrorName(Result code, const char** out) {
    *out = nullptr;
    for (auto& e : errors) if (e.code == code) *out = e.name;
    return *out ? ok : invalid_value;
}
Result cuGetErrorString(Result code, const char** out) {
    *out = "unknown error";
    for (auto& e : errors) if (e.code == code) *out = e.text;
    return ok;
}

// ---- memory ----

Result cuMemAllocAsync(Address* address, size_t n, void* stream) {
    NEEDS_CONTEXT
    const Stream* of = stream_of(stream);
    if (n == 0) {
        counts.empty_allocations++;
        *address = 0;
        return ok;
    }
    counts.allocations++;
    counts.allocated_bytes += n;
    if (in_use + n > setting("EMULATED_CUDA_MEMORY", 8ull << 30)) finish_all();
    if (in_use + n > setting("EMULATED_CUDA_MEMORY", 8ull << 30)) return out_of_memory;
    if (current_pool) {
        auto kept = current_pool->free.find(n);
        if (kept != current_pool->free.end()) {
            *address = kept->second;
            current_pool->free.erase(kept);
            device_memory[*address].freed = false;
            Address again = *address;
            submit(stream, [=] { device_memory.at(again).in_pool = false; });
            in_use += n;
            most_in_use = std::max(most_in_use, in_use);
            return ok;
        }
    }
    *address = allocate(n, of);
    return ok;
}
Result cuMemAlloc_v2(Address* address, size_t n) {
    if (n == 0) return invalid_value;
    return cuMemAllocAsync(address, n, nullptr);
}
Result cuMemFreeAsync(Address address, void* stream) {
    NEEDS_CONTEXT
    if (!address) return ok;
    counts.frees++;
    auto found = device_memory.find(address);
    if (found == device_memory.end() || found->second.freed) stop("memory is freed twice, or was never allocated");
    found->second.freed = true;
    Pool* pool = found->second.pool;
    if (pool && !pool->destroyed) {
        // Handed out again in stream order, on the single stream that all of this program's memory
        // uses.
        if (stream_of(stream) != &default_stream) stop("memory of a pool is freed on another stream");
        check_slack(address, found->second);
        pool->free.emplace(found->second.size, address);
        in_use -= found->second.size;
        submit(stream, [=] { device_memory.at(address).in_pool = true; });
        return ok;
    }
    submit(stream, [=] { release(address); });
    return ok;
}
Result cuMemFree_v2(Address address) {
    NEEDS_CONTEXT
    if (!address) return ok;
    counts.synchronisations++;
    finish_all();
    counts.frees++;
    release(address);
    return ok;
}
Result cuMemHostAlloc(void** p, size_t n, unsigned) {
    NEEDS_CONTEXT
    *p = mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (*p == MAP_FAILED) return out_of_memory;
    memset(*p, 0xff, n);
    counts.pinned_allocations++;
    pinned_memory[(Address)*p] = n;
    return ok;
}
Result cuMemFreeHost(void* p) {
    NEEDS_CONTEXT
    auto found = pinned_memory.find((Address)p);
    if (found == pinned_memory.end()) stop("pinned memory is freed twice, or was never allocated");
    // It is not documented to wait for copies in progress.
    munmap(p, found->second);
    pinned_memory.erase(found);
    return ok;
}
Result cuDeviceGetDefaultMemPool(void** pool, int) {
    *pool = (void*)0x2000;
    return ok;
}
Result cuMemPoolCreate(void** pool, const void*) {
    NEEDS_CONTEXT
    *pool = new Pool;
    return ok;
}
Result cuMemPoolDestroy(void* handle) {
    NEEDS_CONTEXT
    Pool* pool = (Pool*)handle;
    if (pool == current_pool) stop("a pool is destroyed while memory comes from it");
    finish_all();
    for (auto& kept : pool->free) {
        in_use += kept.first;
        release(kept.second);
    }
    pool->free.clear();
    pool->destroyed = true;  // its allocations are freed individually
    return ok;
}
Result cuDeviceSetMemPool(int, void* pool) {
    NEEDS_CONTEXT
    current_pool = pool == (void*)0x2000 ? nullptr : (Pool*)pool;
    return ok;
}
Result cuMemPoolSetAttribute(void*, int attribute, void* value) {
    Guard guard(mutex);
    if (attribute != 8) return ok;
    if (*(uint64_t*)value != 0) return invalid_value;
    most_in_use = in_use;
    return ok;
}
Result cuMemPoolGetAttribute(void*, int attribute, void* value) {
    Guard guard(mutex);
    *(uint64_t*)value = attribute == 8 || attribute == 6 ? most_in_use : in_use;
    return ok;
}

static void count_fill(void* stream, size_t n) {
    counts.fills++;
    counts.filled_bytes += n;
    if (Graph* recorded = stream_of(stream)->recorded) recorded->n_fill++, recorded->filled_bytes += n;
}
Result cuMemsetD8Async(Address to, unsigned char value, size_t n, void* stream) {
    NEEDS_CONTEXT
    if (n == 0) return ok;
    check("filling", to, n);
    count_fill(stream, n);
    if (Graph* recorded = stream_of(stream)->recorded) recorded->filled.push_back(to);
    submit(stream, [=] { memset((void*)to, value, n); }, "a fill of " + std::to_string(n) + " bytes", bytes_of({to, value}));
    return ok;
}
Result cuMemsetD8_v2(Address to, unsigned char value, size_t n) { return cuMemsetD8Async(to, value, n, nullptr); }
Result cuMemsetD32Async(Address to, unsigned value, size_t n, void* stream) {
    NEEDS_CONTEXT
    if (n == 0) return ok;
    check("filling", to, 4 * n);
    // Other values mark memory that nobody has written yet.
    if (value == 0) count_fill(stream, 4 * n);
    if (Graph* recorded = stream_of(stream)->recorded) recorded->filled.push_back(to);
    submit(stream, [=] { std::fill_n((unsigned*)to, n, value); }, "a fill of " + std::to_string(n) + " numbers",
           bytes_of({to, value}));
    return ok;
}

Result cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t n, void* stream) {
    NEEDS_CONTEXT
    if (n == 0) return ok;
    check("a copy to the device", to, n);
    counts.copies_to_device++;
    counts.bytes_to_device += n;
    if (is_pinned(from, n)) {
        const Stream* by = stream_of(stream);
        submit(stream, [=] {
            if (!is_pinned(from, n)) stop("pinned memory is freed before the copy from it");
            if (!inside(to, n)) stop("memory is freed before the copy to it");
            check_there(to, by);
            memcpy((void*)to, from, n);
        });
    } else {
        // The driver copies such memory before it returns.
        auto kept = std::make_shared<std::vector<char>>((const char*)from, (const char*)from + n);
        counts.pageable_copies++;
        submit(stream, [=] { memcpy((void*)to, kept->data(), n); });
    }
    return ok;
}
Result cuMemcpyHtoD_v2(Address to, const void* from, size_t n) {
    Result result = cuMemcpyHtoDAsync_v2(to, from, n, nullptr);
    Guard guard(mutex);
    counts.synchronisations++;
    finish(&default_stream);
    return result;
}
Result cuMemcpyDtoHAsync_v2(void* to, Address from, size_t n, void* stream) {
    NEEDS_CONTEXT
    if (n == 0) return ok;
    check("a copy from the device", from, n);
    counts.copies_to_host++;
    counts.bytes_to_host += n;
    bool pinned = is_pinned(to, n);
    submit(stream, [=] {
        if (pinned && !is_pinned(to, n)) stop("pinned memory is freed before the copy to it");
        memcpy(to, (void*)from, n);
    });
    if (!pinned) {
        // Returns when the copy is done.
        counts.pageable_copies++;
        finish(stream_of(stream));
    }
    return ok;
}
Result cuMemcpyDtoH_v2(void* to, Address from, size_t n) {
    Result result = cuMemcpyDtoHAsync_v2(to, from, n, nullptr);
    Guard guard(mutex);
    counts.synchronisations++;
    finish(&default_stream);
    return result;
}
Result cuMemcpyDtoDAsync_v2(Address to, Address from, size_t n, void* stream) {
    NEEDS_CONTEXT
    if (n == 0) return ok;
    check("a copy on the device", from, n);
    check("a copy on the device", to, n);
    counts.copies_on_device++;
    submit(stream, [=] { memcpy((void*)to, (const void*)from, n); }, "a copy of " + std::to_string(n) + " bytes",
           bytes_of({to, from}));
    return ok;
}
Result cuMemcpyDtoD_v2(Address to, Address from, size_t n) { return cuMemcpyDtoDAsync_v2(to, from, n, nullptr); }

// ---- streams and events ----

Result cuStreamCreate(void** stream, unsigned flags) {
    NEEDS_CONTEXT
    if (flags != 1) stop("only streams that do not wait for the default stream are emulated");
    streams.push_back(new Stream);
    *stream = streams.back();
    return ok;
}
Result cuStreamDestroy_v2(void* handle) {
    NEEDS_CONTEXT
    Stream* stream = stream_of(handle);
    finish(stream);
    streams.erase(std::find(streams.begin(), streams.end(), stream));
    return ok;  // the memory is kept: events may refer to it
}
// Only work that needs no other stream is emulated.
Result cuStreamBeginCapture_v2(void* handle, int) {
    NEEDS_CONTEXT
    Stream* stream = stream_of(handle);
    if (stream == &default_stream) return capture_unsupported;
    if (stream->recorded) return invalid_value;
    stream->recorded = new Graph;
    return ok;
}
Result cuStreamEndCapture(void* handle, void** graph) {
    NEEDS_CONTEXT
    Stream* stream = stream_of(handle);
    if (!stream->recorded) return invalid_value;
    *graph = stream->recorded;
    stream->recorded = nullptr;
    return ok;
}
Result cuGraphInstantiateWithFlags(void** out, void* graph, unsigned long long) {
    NEEDS_CONTEXT
    // As an H100 does, which lets kernels pass.
    for (Address address : ((Graph*)graph)->filled) {
        const Memory* memory = memory_at(address);
        if (!memory || memory->freed) return invalid_value;
    }
    *out = new std::shared_ptr<Graph>(new Graph(*(Graph*)graph));
    return ok;
}
Result cuGraphDestroy(void* graph) {
    NEEDS_CONTEXT
    delete (Graph*)graph;
    return ok;
}
Result cuGraphExecDestroy(void* graph) {
    NEEDS_CONTEXT
    delete (std::shared_ptr<Graph>*)graph;  // queued work keeps a reference
    return ok;
}
Result cuGraphLaunch(void* handle, void* stream) {
    NEEDS_CONTEXT
    counts.graph_launches++;
    std::shared_ptr<Graph> graph = *(std::shared_ptr<Graph>*)handle;
    counts.repeated_kernels += graph->n_kernel;
    counts.repeated_fills += graph->n_fill;
    counts.filled_bytes += graph->filled_bytes;
    submit(stream, [=] {
        for (auto& node : graph->nodes) node.run();
    });
    return ok;
}
Result cuStreamSynchronize(void* stream) {
    NEEDS_CONTEXT
    if (stream_of(stream)->recorded) return capture_unsupported;
    counts.synchronisations++;
    finish(stream_of(stream));
    return ok;
}
Result cuStreamWaitEvent(void* stream, void* handle, unsigned) {
    NEEDS_CONTEXT
    Event* event = (Event*)handle;
    if (!event) return invalid_handle;
    counts.event_waits++;
    if (event->stream && event->stream != stream_of(stream))
        submit(stream_of(stream), {nullptr, event->stream, event->position, "", {}});
    return ok;
}
Result cuEventCreate(void** event, unsigned) {
    NEEDS_CONTEXT
    *event = new Event;
    return ok;
}
Result cuEventDestroy_v2(void* event) {
    NEEDS_CONTEXT
    delete (Event*)event;
    return ok;
}
Result cuEventRecord(void* handle, void* stream) {
    NEEDS_CONTEXT
    Event* event = (Event*)handle;
    counts.event_records++;
    event->stream = stream_of(stream);
    event->position = event->stream->submitted;
    return ok;
}
Result cuEventSynchronize(void* handle) {
    NEEDS_CONTEXT
    Event* event = (Event*)handle;
    counts.event_synchronisations++;
    if (event->stream) advance(event->stream, event->position);
    return ok;
}

// ---- modules and launches ----

Result cuModuleLoadData(void** out, const void* image) {
    NEEDS_CONTEXT
    const char* text = (const char*)image;
    const char* prefix = "emulated ";
    if (strncmp(text, prefix, strlen(prefix)) != 0) return invalid_ptx;
    void* library = dlopen(text + strlen(prefix), RTLD_NOW | RTLD_LOCAL);
    if (!library) stop(std::string("cannot load compiled kernels: ") + dlerror());
    auto launch = (void (*)(const EmulatedLaunch*))dlsym(library, "emulated_launch");
    *out = new Module{text + strlen(prefix), library, launch};
    return ok;
}
Result cuModuleLoad(void**, const char*) { return not_found; }
Result cuModuleUnload(void*) { return ok; }
Result cuModuleGetFunction(void** out, void* handle, const char* name) {
    NEEDS_CONTEXT
    Module* module = (Module*)handle;
    auto find = [&](const char* what) { return dlsym(module->library, (std::string("emulated_") + what + "_" + name).c_str()); };
    auto size = (const unsigned long*)find("size");
    if (!size) return not_found;
    *out = new Function{name, module, (void (*)(const unsigned char*))find("entry"),
                        (void (*)(void**, unsigned char*))find("pack"), *size,
                        std::min(shared_without_asking, shared_limit()), false};
    return ok;
}
Result cuFuncSetAttribute(void* handle, int attribute, int value) {
    NEEDS_CONTEXT
    if (attribute != 8) return invalid_value;
    if (value < 0 || (unsigned)value > shared_limit()) return invalid_value;
    ((Function*)handle)->shared_limit = (unsigned)value;
    ((Function*)handle)->has_asked = true;
    return ok;
}

Result cuLaunchKernel(void* handle, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                      unsigned shared, void* stream, void** given, void** extra) {
    NEEDS_CONTEXT
    if (extra) return invalid_value;
    Function* f = (Function*)handle;
    if (gx == 0 || gy == 0 || gz == 0 || bx == 0 || by == 0 || bz == 0) return invalid_value;
    if (gx > 0x7fffffffu || gy > 65535 || gz > 65535 || (uint64_t)bx * by * bz > 1024 || bz > 64) return invalid_value;
    if (shared > f->shared_limit) return too_many_resources;
    if (f->name == "fill") {
        // While work is recorded, a kernel does what cuMemsetD32Async does otherwise.
        if (*(float*)given[1] == 0.0f) count_fill(stream, 4ull * *(unsigned*)given[2]);
    } else {
        counts.launches++;
        if (Graph* recorded = stream_of(stream)->recorded) recorded->n_kernel++;
    }
    auto packed = std::make_shared<std::vector<unsigned char>>(f->packed_size + 16);
    f->pack(given, packed->data());
    uint64_t seed = draw();
    submit(stream, [=] {
        // Static and dynamic memory together, which only the kernel itself knows.
        unsigned limit = f->has_asked ? shared_limit() : std::min(shared_without_asking, shared_limit());
        EmulatedLaunch launch{f->name.c_str(), f->entry, packed->data(), {gx, gy, gz}, {bx, by, bz}, shared, limit,
                              turns == one ? 1u : turns == barriers ? 4u : 0u, turns == barriers, seed, watch};
        check_arguments(f->name, *packed);
        if (!works) return;
        running = f->module;
        running_launch = &launch;
        n_launch++;
        std::fill(std::begin(pages), std::end(pages), Page{});
        f->module->launch(&launch);
        running = nullptr;
    }, "kernel " + f->name + " in " + shape({gx, gy, gz}) + " blocks of " + shape({bx, by, bz}) + " threads with " +
           std::to_string(shared) + " bytes of shared memory", *packed);
    return ok;
}

}  // extern "C"
