// An emulation of NVRTC: compiles CUDA C++ as C++ with g++. The returned "machine code" is the name
// of the resulting shared library. Libraries are cached by the hash of everything that goes into
// them.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>
#include <sys/stat.h>
#include <unistd.h>

namespace {

struct Program {
    std::string source, log, image;
};

std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

bool exists(const std::string& path) { return access(path.c_str(), R_OK) == 0; }

uint64_t hash(const std::string& text, uint64_t h) {
    for (unsigned char c : text) h = (h ^ c) * 0x100000001b3;
    return h;
}

const char* compiler() {
    const char* chosen = getenv("CXX");
    return chosen && *chosen ? chosen : "g++";
}

// Removes comments for the following steps; line numbers are preserved.
std::string without_comments(const std::string& source) {
    std::string out;
    for (size_t i = 0; i < source.size(); i++) {
        if (source.compare(i, 2, "//") == 0) {
            i = std::min(source.find('\n', i), source.size());
            if (i < source.size()) out += '\n';
        } else if (source.compare(i, 2, "/*") == 0) {
            size_t end = std::min(source.find("*/", i + 2), source.size() - 2);
            for (; i < end + 2; i++)
                if (source[i] == '\n') out += '\n';
            i--;
        } else {
            out += source[i];
        }
    }
    return out;
}

// Shared memory in the functions that use it. The dynamic array is replaced by a pointer to its
// location; all others become static arrays, which are filled with NaN for every block.
std::string with_shared(const std::string& source) {
    static const std::regex dynamic(
        R"(extern\s+__shared__\s+((?:__align__\s*\(\s*\d+\s*\)\s+)?)([A-Za-z_][\w ]*?)\s+(\w+)\s*\[\s*\]\s*;)");
    std::string text = std::regex_replace(source, dynamic, "$2* const $3 = emulated::dynamic_shared<$2>();");
    static const std::regex declaration(R"(__shared__\s+([^;]*);)"), array(R"((\w+)\s*\[)"), last(R"((\w+)\s*$)");
    std::string out;
    std::smatch found;
    while (std::regex_search(text, found, declaration)) {
        std::string what = found[1], rest = found.suffix();
        out += found.prefix();
        out += "static " + what + ";";
        std::sregex_iterator name(what.begin(), what.end(), array), end;
        if (name == end) name = std::sregex_iterator(what.begin(), what.end(), last);
        for (; name != end; ++name) {
            std::string of = (*name)[1];
            out += " emulated::fill_once_per_block(&" + of + ", sizeof " + of + ", \"" + of + "\");";
        }
        text = rest;
    }
    return out + text;
}

std::vector<std::string> kernels(const std::string& source) {
    static const std::regex definition(
        R"re(extern\s+"C"\s+__global__\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\()re");
    std::vector<std::string> names;
    for (std::sregex_iterator i(source.begin(), source.end(), definition), end; i != end; ++i)
        names.push_back((*i)[1]);
    return names;
}

// A setting with two values; `otherwise` is the default.
bool chosen(const char* variable, const char* wanted, const char* otherwise) {
    const char* text = getenv(variable);
    if (!text || !*text || !strcmp(text, otherwise)) return false;
    if (!strcmp(text, wanted)) return true;
    fprintf(stderr, "emulated GPU: %s is \"%s\" or \"%s\"\n", variable, otherwise, wanted);
    abort();
}

// EMULATED_CUDA_WITHOUT="text:3" removes the third barrier of every source that contains the text, to
// see whether that is noticed. Returns false if there is no such barrier.
bool remove_barrier(std::string& source) {
    const char* setting = getenv("EMULATED_CUDA_WITHOUT");
    if (!setting || !*setting) return true;
    std::string text = setting;
    size_t colon = text.rfind(':');
    if (source.find(text.substr(0, colon)) == std::string::npos) return true;
    static const std::regex barrier(R"(__sync(threads|warp)\s*\(\s*\)\s*;)");
    std::sregex_iterator found(source.begin(), source.end(), barrier), end;
    for (long n = strtol(text.c_str() + colon + 1, nullptr, 10); n > 1 && found != end; n--) ++found;
    if (found == end) return false;
    source.replace((size_t)found->position(), (size_t)found->length(), ";");
    return true;
}

std::string flags(bool checks) {
    std::string flags = " -std=c++17 -O1 -fPIC -fvisibility=hidden -fno-strict-aliasing -w";
    // NVRTC contracts products and sums, the tests' comparisons of bits are stricter without.
    flags += chosen("EMULATED_CUDA_CONTRACT", "fast", "off") ? " -ffp-contract=fast" : " -ffp-contract=off";
#if defined(__x86_64__)
    // `fmaf` as an instruction instead of a call to the C library: the same bits in a fraction of
    // the time.
    if (__builtin_cpu_supports("fma")) flags += " -mfma";
#endif
    if (checks)
        flags += " -g1 -fsanitize=thread,alignment -fno-sanitize-recover=alignment --param tsan-instrument-func-entry-exit=0";
    return flags;
}

// What the compiler is given. `place` names the source in messages.
std::string translated(const std::string& source, const std::string& place, bool checks) {
    const std::string folder = EMULATION;
    std::string text = "#include \"" + folder + "/kernel.h\"\n";
    if (checks) text += "#include \"" + folder + "/checks.h\"\n";
    text += "#line 1 \"" + place + "\"\n" + with_shared(source);
    text += "\n#define EMULATED_EXPORT extern \"C\" __attribute__((visibility(\"default\")))\n";
    for (const std::string& k : kernels(source)) {
        text += "EMULATED_EXPORT const unsigned long emulated_size_" + k + " = emulated::packed_size(" + k + ");\n";
        text += "EMULATED_EXPORT void emulated_pack_" + k +
                "(void** given, unsigned char* out) { emulated::pack(" + k + ", given, out); }\n";
        text += "EMULATED_EXPORT void emulated_entry_" + k +
                "(const unsigned char* packed) { emulated::call(" + k + ", packed); }\n";
    }
    return text;
}

int compile(Program& program) {
    std::string source = without_comments(program.source);
    if (std::regex_search(source, std::regex(R"((^|\n)\s*#\s*include\b)"))) {
        program.log = "kernels cannot include headers: NVRTC is given no path to any";
        return 6;
    }
    if (!remove_barrier(source)) {
        program.log = "there is no such barrier to remove";
        return 6;
    }
    bool checks = chosen("EMULATED_CUDA_CHECK", "races", "none");
    std::string all = flags(checks) + compiler() + source;
    for (const char* header : {"/kernel.h", "/launch.h", "/checks.h"}) all += read(std::string(EMULATION) + header);
    char name[64];
    snprintf(name, sizeof name, "/%016llx", (unsigned long long)hash(all, 0xcbf29ce484222325));
    std::string base = std::string(EMULATED_CACHE) + name, library = base + ".so";
    program.image = "emulated " + library;
    if (exists(library)) return 0;

    mkdir(EMULATED_CACHE, 0777);
    std::string unique = base + "." + std::to_string(getpid()) + "." +
                         std::to_string((unsigned long long)(uintptr_t)&program);
    // Faults that the checks find are given with their lines, so the source is kept.
    std::string place = checks ? base + ".cu" : "kernel";
    if (checks) {
        std::ofstream(unique + ".cu") << program.source;
        rename((unique + ".cu").c_str(), place.c_str());
    }
    std::string source_file = unique + ".cpp", object = unique + ".o", log_file = unique + ".log", made = unique + ".so";
    std::ofstream(source_file) << translated(source, place, checks);
    // In two steps: to link with -fsanitize would be to link with the sanitizer's own library.
    std::string command = std::string(compiler()) + flags(checks) + " -c '" + source_file + "' -o '" + object + "' 2> '" +
                          log_file + "' && " + compiler() + " -shared '" + object + "' -o '" + made + "' 2>> '" +
                          log_file + "'";
    int status = system(command.c_str());
    program.log = read(log_file);
    unlink(log_file.c_str());
    unlink(object.c_str());
    if (status != 0 || !exists(made)) {
        program.log += "\n(the source is kept in " + source_file + ")";
        return 6;
    }
    unlink(source_file.c_str());
    rename(made.c_str(), library.c_str());
    return 0;
}

}  // namespace

extern "C" {

int nvrtcCreateProgram(void** program, const char* source, const char*, int n_header, const char* const*, const char* const*) {
    if (n_header != 0) return 3;
    *program = new Program{source, "", ""};
    return 0;
}

int nvrtcDestroyProgram(void** program) {
    delete (Program*)*program;
    *program = nullptr;
    return 0;
}

int nvrtcCompileProgram(void* program, int n_option, const char* const* options) {
    for (int i = 0; i < n_option; i++)
        if (strncmp(options[i], "--gpu-architecture=", 19) != 0 && strncmp(options[i], "--fmad=", 7) != 0) {
            ((Program*)program)->log = std::string("unknown option ") + options[i];
            return 5;
        }
    return compile(*(Program*)program);
}

int nvrtcGetCUBINSize(void* program, size_t* n) {
    *n = ((Program*)program)->image.size() + 1;
    return 0;
}

int nvrtcGetCUBIN(void* program, char* out) {
    strcpy(out, ((Program*)program)->image.c_str());
    return 0;
}

int nvrtcGetProgramLogSize(void* program, size_t* n) {
    *n = ((Program*)program)->log.size() + 1;
    return 0;
}

int nvrtcGetProgramLog(void* program, char* out) {
    strcpy(out, ((Program*)program)->log.c_str());
    return 0;
}

}  // extern "C"
