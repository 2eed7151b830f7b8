// Elementwise functions, and the epilogue of a matrix product in a linear layer.

enum Activation { identity, shifted_softplus, silu, relu, elu, leaky_relu };

// Activation::LEAKY_SLOPE
const float LEAKY_SLOPE = 0.2f;

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

__device__ __forceinline__ float activated(int activation, float x) {
    switch (activation) {
        case shifted_softplus: return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))) - 0.69314718f;
        case silu: return x * sigmoid(x);
        case relu: return x < 0.0f ? 0.0f : x;
        case elu: return x > 0.0f ? x : expm1f(x);
        case leaky_relu: return x > 0.0f ? x : LEAKY_SLOPE * x;
        default: return x;
    }
}

// dy times the derivative, from the input of the activation (silu) or from its output.
__device__ __forceinline__ float times_slope(int activation, float dy, float from) {
    switch (activation) {
        case shifted_softplus: return dy * (1.0f - 0.5f * expf(-from));
        case silu: {
            float s = sigmoid(from);
            return dy * (s * (1.0f + from * (1.0f - s)));
        }
        case relu: return from > 0.0f ? dy : 0.0f;
        case elu: return from > 0.0f ? dy : dy * (from + 1.0f);
        case leaky_relu: return from > 0.0f ? dy : LEAKY_SLOPE * dy;
        default: return dy;
    }
}

// Adds the bias (or none) to a product. If `sum` is not null, it receives the input of the
// activation.
extern "C" __global__ void finish_layer(float* out, float* sum, const float* bias, int activation, word width, word n) {
    word i = element();
    if (i >= n) return;
    float x = out[i];
    if (bias) x += bias[i % width];
    if (sum) sum[i] = x;
    out[i] = activated(activation, x);
}

// dy becomes the gradient of the sum before the activation. `partial` (or null) receives its column
// sums over each ROWS rows, [ceil(n_row / ROWS), width].
const word ROWS = 32;
extern "C" __global__ void layer_backward(float* dy, float* partial, const float* from, int activation, word width,
                                          word n_row, word n) {
    word i = element();
    if (i >= n) return;
    word group = i / width, column = i % width;
    word end = min(n_row, (group + 1) * ROWS);
    float sum = 0.0f;
    for (word row = group * ROWS; row < end; row++) {
        wide at = (wide)row * width + column;
        float d = times_slope(activation, dy[at], from[at]);
        dy[at] = d;
        sum += d;
    }
    if (partial) partial[i] = sum;
}

// Columnwise sums. A block handles 32 columns times 8 shares of the rows.
extern "C" __global__ void column_sums(float* out, const float* x, int adds, word n_row, word width) {
    __shared__ float shares[8][32];
    word column = blockIdx.x * 32 + threadIdx.x % 32, share = threadIdx.x / 32;
    float sum = 0.0f;
    if (column < width)
        for (word row = share; row < n_row; row += 8) sum += x[(wide)row * width + column];
    shares[share][threadIdx.x % 32] = sum;
    __syncthreads();
    if (share > 0 || column >= width) return;
    for (word other = 1; other < 8; other++) sum += shares[other][threadIdx.x];
    sum_up(out, column, adds, sum);
}
