// Plain CUDA C++ without headers: compiled by NVRTC when a device is opened.
// All matrices are row-major and contiguous. Lengths are below 2^31, indices below 2^32 in words of
// 32 bits; offsets into matrices are counted in 64 bits.

typedef unsigned int word;
typedef unsigned long long wide;

// The element that a thread of a one-dimensional grid works on.
__device__ __forceinline__ wide element() {
    return (wide)blockIdx.x * blockDim.x + threadIdx.x;
}
