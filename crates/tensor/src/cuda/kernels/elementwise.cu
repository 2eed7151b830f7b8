// Sums and products, elementwise and row by row.

extern "C" __global__ void fill(float* out, float value, word n) {
    word i = element();
    if (i < n) out[i] = value;
}

extern "C" __global__ void add(float* out, const float* a, const float* b, word n) {
    word i = element();
    if (i < n) out[i] = a[i] + b[i];
}

extern "C" __global__ void multiply(float* out, const float* a, const float* b, word n) {
    word i = element();
    if (i < n) out[i] = a[i] * b[i];
}

extern "C" __global__ void accumulate(float* da, const float* dy, int adds, word n) {
    word i = element();
    if (i < n) sum_up(da, i, adds, dy[i]);
}

extern "C" __global__ void accumulate_product(float* da, const float* dy, const float* b, int adds, word n) {
    word i = element();
    if (i < n) sum_up(da, i, adds, dy[i] * b[i]);
}

extern "C" __global__ void accumulate_scaled(float* dx, const float* unit, const float* scale, int adds, word n) {
    word i = element();
    if (i < n) sum_up(dx, i, adds, *scale * unit[i]);
}

// x, row by row times a factor.
extern "C" __global__ void accumulate_scaled_rows(float* out, const float* x, const float* factor, int adds, word width,
                                                  word n) {
    word i = element();
    if (i < n) sum_up(out, i, adds, x[i] * factor[i / width]);
}

// Rowwise dot products of a and b, with a warp per row.
extern "C" __global__ void accumulate_dots(float* out, const float* a, const float* b, int adds, word width, word n_row) {
    word row = element() / 32, lane = threadIdx.x % 32;
    float sum = 0.0f;
    if (row < n_row) {
        a = row_of(a, row, width);
        b = row_of(b, row, width);
        for (word k = lane; k < width; k += 32) sum += a[k] * b[k];
    }
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (row < n_row && lane == 0) sum_up(out, row, adds, sum);
}
