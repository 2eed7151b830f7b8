// Plain CUDA C++ without headers: compiled by NVRTC when a device is opened.
//
// All matrices are row-major and contiguous and have fewer than 2^31 numbers. No kernel adds
// atomically: every sum has one order, which depends on the arrays alone.

typedef unsigned int word;
typedef unsigned long long wide;

// The element that a thread of a one-dimensional grid works on.
__device__ __forceinline__ word element() { return blockIdx.x * blockDim.x + threadIdx.x; }

// Row `row` of a matrix.
__device__ __forceinline__ float* row_of(float* x, word row, word width) { return x + (wide)row * width; }
__device__ __forceinline__ const float* row_of(const float* x, word row, word width) {
    return x + (wide)row * width;
}

// A part of a sum: added to what is there, or the first, before which there is nothing.
__device__ __forceinline__ void sum_up(float* sum, wide i, int adds, float part) { sum[i] = adds ? sum[i] + part : part; }

__device__ __forceinline__ bool is_nan(float x) { return x != x; }
