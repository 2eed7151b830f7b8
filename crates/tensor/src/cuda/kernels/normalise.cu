// Layer norm, activation and dropout. A block of NORM_THREADS threads works on one row.

const word NORM_THREADS = 128;
// As in ops/normalise.rs.
const float NORM_EPSILON = 1e-5f;

// As in dropout.rs: which numbers are kept.
__device__ __forceinline__ word mix(word x) {
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    return x ^ (x >> 16);
}

// `factor`, or 0 if the number is dropped.
__device__ __forceinline__ float kept(word row, word column, word key0, word key1, word keep_below, float factor) {
    word low = mix(row ^ key0), high = mix(low ^ key1);
    return (mix(column * 0x9E3779B9u ^ low) ^ high) <= keep_below ? factor : 0.0f;
}

// Tree reduction over the threads of the block, with the result for all of them.
__device__ __forceinline__ float sum_of_block(float own) {
    __shared__ float sums[NORM_THREADS];
    __syncthreads();
    sums[threadIdx.x] = own;
    for (word step = NORM_THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step) sums[threadIdx.x] += sums[threadIdx.x + step];
    }
    __syncthreads();
    return sums[0];
}

// Mean and inverse standard deviation of each row.
extern "C" __global__ void row_statistics(float* statistics, const float* x, word width) {
    const float* row = row_of(x, blockIdx.x, width);
    float sum = 0.0f;
    for (word k = threadIdx.x; k < width; k += NORM_THREADS) sum += row[k];
    float mean = sum_of_block(sum) / (float)width;
    float squares = 0.0f;
    for (word k = threadIdx.x; k < width; k += NORM_THREADS) squares += (row[k] - mean) * (row[k] - mean);
    float variance = sum_of_block(squares) / (float)width;
    if (threadIdx.x > 0) return;
    statistics[(wide)blockIdx.x * 2] = mean;
    statistics[(wide)blockIdx.x * 2 + 1] = 1.0f / sqrtf(variance + NORM_EPSILON);
}

__device__ __forceinline__ float scaled(const float* x, const float* statistics, const float* scale,
                                        const float* offset, word row, word column, wide at) {
    if (!scale) return x[at];
    const float* own = statistics + (wide)row * 2;
    return (x[at] - own[0]) * own[1] * scale[column] + offset[column];
}

// `scale` is null without a norm, `node` if rows are numbered by position; `drops` says whether
// there is dropout.
extern "C" __global__ void normalise(float* out, const float* x, const float* statistics, const float* scale,
                                     const float* offset, const word* node, int activation, int drops, word key0,
                                     word key1, word keep_below, float factor, word width, word n) {
    word i = element();
    if (i >= n) return;
    word row = i / width, column = i % width;
    float y = activated(activation, scaled(x, statistics, scale, offset, row, column, i));
    if (drops) {
        float by = kept(node ? node[row] : row, column, key0, key1, keep_below, factor);
        y = by == 0.0f ? 0.0f : by * y;
    }
    out[i] = y;
}

// dy becomes the gradient of the activation's input. `from_sum` says that the slope is computed
// from this input rather than from its result.
extern "C" __global__ void normalise_backward_activation(float* dy, const float* x, const float* statistics,
                                                         const float* scale, const float* offset, const word* node,
                                                         int activation, int from_sum, int drops, word key0, word key1,
                                                         word keep_below, float factor, word width, word n) {
    word i = element();
    if (i >= n) return;
    word row = i / width, column = i % width;
    float value = scaled(x, statistics, scale, offset, row, column, i), d = dy[i];
    if (drops) {
        float by = kept(node ? node[row] : row, column, key0, key1, keep_below, factor);
        d = by == 0.0f ? 0.0f : by * d;
    }
    dy[i] = times_slope(activation, d, from_sum ? value : activated(activation, value));
}

// Sums over each ROWS rows of the gradients of scale and offset, [ceil(n_row / ROWS), width] each.
extern "C" __global__ void norm_backward_parameters(float* of_scale, float* of_offset, const float* dy, const float* x,
                                                    const float* statistics, word width, word n_row, word n) {
    word i = element();
    if (i >= n) return;
    word group = i / width, column = i % width;
    word end = min(n_row, (group + 1) * ROWS);
    float scale = 0.0f, offset = 0.0f;
    for (word row = group * ROWS; row < end; row++) {
        wide at = (wide)row * width + column;
        const float* own = statistics + (wide)row * 2;
        scale += dy[at] * (x[at] - own[0]) * own[1];
        offset += dy[at];
    }
    of_scale[i] = scale;
    of_offset[i] = offset;
}

// The gradient with respect to the rows.
extern "C" __global__ void norm_backward_rows(float* dx, const float* dy, const float* x, const float* statistics,
                                              const float* scale, int adds, word width) {
    wide first = (wide)blockIdx.x * width;
    float mean = statistics[(wide)blockIdx.x * 2], inverse = statistics[(wide)blockIdx.x * 2 + 1];
    float of_mean = 0.0f, of_deviation = 0.0f;
    for (word k = threadIdx.x; k < width; k += NORM_THREADS) {
        float d = dy[first + k] * scale[k];
        of_mean += d;
        of_deviation += d * (x[first + k] - mean) * inverse;
    }
    of_mean = sum_of_block(of_mean) / (float)width;
    of_deviation = sum_of_block(of_deviation) / (float)width;
    for (word k = threadIdx.x; k < width; k += NORM_THREADS) {
        float normal = (x[first + k] - mean) * inverse;
        sum_up(dx, first + k, adds, inverse * (dy[first + k] * scale[k] - of_mean - normal * of_deviation));
    }
}
