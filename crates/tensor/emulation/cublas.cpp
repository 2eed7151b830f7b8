// An emulation of cuBLAS: plain matrix products, column-major like the real one.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "driver.h"

namespace {

struct Handle {
    void* stream;
};

enum { ok = 0, invalid_value = 7, execution_failed = 13, not_supported = 15 };

// Memory size of a matrix, in numbers.
size_t extent(int n_row, int n_column, int step) {
    return n_row > 0 && n_column > 0 ? (size_t)step * (n_column - 1) + n_row : 0;
}

void check(const char* what, const float* p, size_t n) {
    if (!emulated_inside((unsigned long long)p, 4 * n)) {
        fprintf(stderr, "emulated GPU: matrix %s of a product, %zu numbers, reaches beyond an array of the device\n", what, n);
        abort();
    }
}

// Rounds off this many bits of the fraction.
float rounded(float x, int n_bit) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (n_bit > 0 && (bits & 0x7f800000u) != 0x7f800000u)
        bits = (bits + (1u << (n_bit - 1)) - 1 + (bits >> n_bit & 1)) >> n_bit << n_bit;
    memcpy(&x, &bits, 4);
    return x;
}

}  // namespace

extern "C" {

int cublasCreate_v2(void** handle) {
    *handle = new Handle{nullptr};
    return ok;
}
int cublasDestroy_v2(void* handle) {
    delete (Handle*)handle;
    return ok;
}
int cublasSetStream_v2(void* handle, void* stream) {
    ((Handle*)handle)->stream = stream;
    return ok;
}
int cublasSetWorkspace_v2(void*, void* workspace, size_t n) {
    return emulated_inside((unsigned long long)workspace, n) ? ok : invalid_value;
}

// c = alpha a b + beta c, for a [m, k], b [k, n], c [m, n] in single precision, where `ta` and `tb`
// (1) say that a and b are transposed. If beta is 0, c is not read. `arithmetic` says how factors
// are rounded.
int cublasGemmEx(void* handle, int ta, int tb, int m, int n, int k, const void* alpha_p, const void* a_p, int a_type,
                 int lda, const void* b_p, int b_type, int ldb, const void* beta_p, void* c_p, int c_type, int ldc,
                 int arithmetic, int) {
    if (m < 0 || n < 0 || k < 0 || ta > 1 || tb > 1) return invalid_value;
    auto least = [](int rows) { return rows > 1 ? rows : 1; };
    if (lda < least(ta ? k : m) || ldb < least(tb ? n : k) || ldc < least(m)) return invalid_value;
    const int f32 = 0;
    if (a_type != f32 || b_type != f32 || c_type != f32) return not_supported;
    const int compute_32f = 68, compute_32f_fast_16bf = 75, compute_32f_fast_tf32 = 77;
    int n_bit = arithmetic == compute_32f ? 0 : arithmetic == compute_32f_fast_tf32 ? 13 : 16;
    if (n_bit == 16 && arithmetic != compute_32f_fast_16bf) return not_supported;
    float alpha = *(const float*)alpha_p, beta = *(const float*)beta_p;
    const float *a = (const float*)a_p, *b = (const float*)b_p;
    float* c = (float*)c_p;
    std::string what = "a product";
    for (int number : {ta, tb, m, n, k, lda, ldb, ldc, arithmetic, (int)(alpha == 1.0f), (int)(beta == 1.0f)})
        what += " " + std::to_string(number);
    auto run = [=] {
        check("a", a, ta ? extent(k, m, lda) : extent(m, k, lda));
        check("b", b, tb ? extent(n, k, ldb) : extent(k, n, ldb));
        check("c", c, extent(m, n, ldc));
        std::vector<float> sums((size_t)m + 1);
        for (int j = 0; j < n; j++) {
            for (int i = 0; i < m; i++) sums[i] = 0.0f;
            for (int p = 0; p < k; p++) {
                float bpj = rounded(tb ? b[(size_t)p * ldb + j] : b[(size_t)j * ldb + p], n_bit);
                for (int i = 0; i < m; i++) {
                    float aip = ta ? a[(size_t)i * lda + p] : a[(size_t)p * lda + i];
                    sums[i] += rounded(aip, n_bit) * bpj;
                }
            }
            for (int i = 0; i < m; i++) {
                float& out = c[(size_t)j * ldc + i];
                out = beta == 0.0f ? alpha * sums[i] : alpha * sums[i] + beta * out;
            }
        }
    };
    typedef unsigned long long Address;
    bool is_queued = emulated_submit(((Handle*)handle)->stream, run, what, {(Address)a, (Address)b, (Address)c});
    return is_queued ? ok : execution_failed;
}

}  // extern "C"
