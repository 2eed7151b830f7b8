// Plain CUDA C++ without headers: compiled by NVRTC when a device is opened.
//
// All matrices are row-major and contiguous and have fewer than 2^31 elements. No kernel uses
// atomic additions: every sum has a fixed order, which depends only on the arrays.

typedef unsigned int word;
typedef unsigned long long wide;

// The element that a thread of a one-dimensional grid works on.
__device__ __forceinline__ word element() { return blockIdx.x * blockDim.x + threadIdx.x; }

// Row `row` of a matrix.
__device__ __forceinline__ float* row_of(float* x, word row, word width) { return x + (wide)row * width; }
__device__ __forceinline__ const float* row_of(const float* x, word row, word width) {
    return x + (wide)row * width;
}

// Contributes to a sum: added to what is there, or, if it is the first, overwriting it.
__device__ __forceinline__ void sum_up(float* sum, wide i, int adds, float part) { sum[i] = adds ? sum[i] + part : part; }

__device__ __forceinline__ bool is_nan(float x) { return x != x; }
