// Sums and products, element by element.

extern "C" __global__ void add(float* out, const float* a, const float* b, word n) {
    wide i = element();
    if (i < n) out[i] = a[i] + b[i];
}
