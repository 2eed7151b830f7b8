// Linear layers on a tile of edges in shared memory. Values are stored column by column,
// [width][STRIDE]; a thread computes 4 edges times 4 columns at a time.

#define IDENTITY 0
#define SHIFTED_SOFTPLUS 1
#define SILU 2
#define RELU 3
#define ELU 4
#define LEAKY_RELU 5

// What a layer keeps for backward.
#define KEEP_NOTHING 0
#define KEEP_OUTPUT 1
#define KEEP_SUM 2

#define LN_2 0.693147180559945f

template <int ACTIVATION>
__device__ __forceinline__ float activate(float x)
{
    if (ACTIVATION == SHIFTED_SOFTPLUS) return fmaxf(x, 0.0f) + (log1pf(expf(-fabsf(x))) - LN_2);
    if (ACTIVATION == SILU) return x / (1.0f + expf(-x));
    if (ACTIVATION == RELU) return x < 0.0f ? 0.0f : x;
    if (ACTIVATION == ELU) return x > 0.0f ? x : expm1f(x);
    if (ACTIVATION == LEAKY_RELU) return x > 0.0f ? x : 0.2f * x;
    return x;
}

// The derivative with respect to the sum.
template <int ACTIVATION>
__device__ __forceinline__ float slope_of_sum(float x)
{
    if (ACTIVATION == SHIFTED_SOFTPLUS) return 1.0f / (1.0f + expf(-x));
    if (ACTIVATION == SILU) {
        const float s = 1.0f / (1.0f + expf(-x));
        return s * (1.0f + x * (1.0f - s));
    }
    if (ACTIVATION == RELU) return x > 0.0f ? 1.0f : 0.0f;
    if (ACTIVATION == ELU) return x > 0.0f ? 1.0f : expf(x);
    if (ACTIVATION == LEAKY_RELU) return x > 0.0f ? 1.0f : 0.2f;
    return 1.0f;
}

// The derivative with respect to the sum, from what is kept.
template <int ACTIVATION>
__device__ __forceinline__ float slope_of_kept(float kept)
{
    if (ACTIVATION == SHIFTED_SOFTPLUS) return 1.0f - 0.5f * expf(-kept);
    if (ACTIVATION == ELU) return kept > 0.0f ? 1.0f : kept + 1.0f;
    return slope_of_sum<ACTIVATION>(kept);
}

__device__ __forceinline__ float gaussian(
    float distance, int k, float first, float spacing, float coefficient)
{
    const float x = distance - (first + float(k) * spacing);
    const float value = expf(-coefficient * x * x);
    return value < 1e-12f ? 0.0f : value;
}

__device__ __forceinline__ float4 four(const float *p) { return *reinterpret_cast<const float4 *>(p); }
__device__ __forceinline__ float4 four_constant(const float *p)
{
    return __ldg(reinterpret_cast<const float4 *>(p));
}
__device__ __forceinline__ void put_four(float *p, float4 x) { *reinterpret_cast<float4 *>(p) = x; }
__device__ __forceinline__ void add_scaled(float4 &sum, float4 x, float factor)
{
    sum.x = fmaf(x.x, factor, sum.x);
    sum.y = fmaf(x.y, factor, sum.y);
    sum.z = fmaf(x.z, factor, sum.z);
    sum.w = fmaf(x.w, factor, sum.w);
}
__device__ __forceinline__ float dot(float4 a, float4 b, float sum)
{
    return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

// Four weights of row k, from column j on; 0 beyond the last.
template <class COLUMNS>
__device__ __forceinline__ float4 four_weights(const float *weight, int k, int j, COLUMNS columns)
{
    const float *row = weight + (size_t)k * COLUMNS::STRIDE;
    if (COLUMNS::BY_FOUR) {
        return columns.has(j) ? four_constant(row + columns.at(j)) : make_float4(0, 0, 0, 0);
    }
    return make_float4(
        columns.has(j) ? __ldg(row + columns.at(j)) : 0.0f,
        columns.has(j + 1) ? __ldg(row + columns.at(j + 1)) : 0.0f,
        columns.has(j + 2) ? __ldg(row + columns.at(j + 2)) : 0.0f,
        columns.has(j + 3) ? __ldg(row + columns.at(j + 3)) : 0.0f);
}

// Four edges from e on times four columns from j on: activation(input weight + bias), from rows
// start to end of the weight.
template <int TILE, int STRIDE, int ACTIVATION, int KEEP, class COLUMNS>
__device__ __forceinline__ void linear_of_four(
    float *output, const float *input, const float *weight, const float *bias, float *kept,
    COLUMNS columns, int e, int j, int start, int end)
{
    float4 sum[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const float b = bias && columns.has(j + i) ? __ldg(bias + columns.at(j + i)) : 0.0f;
        sum[i] = make_float4(b, b, b, b);
    }
#pragma unroll 4
    for (int k = start; k < end; ++k) {
        const float4 x = four(input + k * STRIDE + e);
        const float4 w = four_weights(weight, k, j, columns);
        add_scaled(sum[0], x, w.x);
        add_scaled(sum[1], x, w.y);
        add_scaled(sum[2], x, w.z);
        add_scaled(sum[3], x, w.w);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        if (!columns.has(j + i)) continue;
        float4 y = sum[i];
        y.x = activate<ACTIVATION>(y.x);
        y.y = activate<ACTIVATION>(y.y);
        y.z = activate<ACTIVATION>(y.z);
        y.w = activate<ACTIVATION>(y.w);
        put_four(output + (j + i) * STRIDE + e, y);
        if (KEEP) put_four(kept + columns.at(j + i) * TILE + e, KEEP == KEEP_SUM ? sum[i] : y);
    }
}

// output = activation(input weight + bias). `kept` belongs to this tile, [width][TILE].
template <int TILE, int STRIDE, int N_IN, int ACTIVATION, int KEEP, class COLUMNS>
__device__ void linear(
    float *output, const float *input, const float *weight, const float *bias, float *kept,
    COLUMNS columns)
{
    const int FOURS = TILE / 4;
    for (int task = threadIdx.x; task < (COLUMNS::N + 3) / 4 * FOURS; task += THREADS) {
        const int e = task % FOURS * 4, j = task / FOURS * 4;
        linear_of_four<TILE, STRIDE, ACTIVATION, KEEP>(
            output, input, weight, bias, kept, columns, e, j, 0, N_IN);
    }
    __syncthreads();
}

// The same on Gaussians, of which only those in the bands are read. Neighbouring threads have the
// same four edges, and therefore the same band.
template <int TILE, int STRIDE, int ACTIVATION, int KEEP, class COLUMNS>
__device__ void linear_on_bands(
    float *output, const float *input, const float *weight, const float *bias, float *kept,
    COLUMNS columns, const Rows<TILE> &rows)
{
    const int ACROSS = (COLUMNS::N + 3) / 4;
    for (int task = threadIdx.x; task < ACROSS * (TILE / 4); task += THREADS) {
        const int band = task / ACROSS, j = task % ACROSS * 4;
        linear_of_four<TILE, STRIDE, ACTIVATION, KEEP>(
            output, input, weight, bias, kept, columns, band * 4, j, rows.band_start[band],
            rows.band_end[band]);
    }
    __syncthreads();
}

// Values of this tile kept by forward, [width][TILE]; the activation is applied to kept sums.
template <int TILE, int STRIDE, int ACTIVATION, class COLUMNS>
__device__ void load_kept(float *value, const float *kept, COLUMNS columns)
{
    for (int task = threadIdx.x; task < COLUMNS::N * (TILE / 4); task += THREADS) {
        const int e = task % (TILE / 4) * 4, j = task / (TILE / 4);
        if (!columns.has(j)) continue;
        float4 y = four(kept + columns.at(j) * TILE + e);
        y.x = activate<ACTIVATION>(y.x);
        y.y = activate<ACTIVATION>(y.y);
        y.z = activate<ACTIVATION>(y.z);
        y.w = activate<ACTIVATION>(y.w);
        put_four(value + j * STRIDE + e, y);
    }
    __syncthreads();
}

// Applies the activation to sums, and keeps what backward needs.
template <int TILE, int STRIDE, int ACTIVATION, int KEEP, class COLUMNS>
__device__ void activate_sums(float *value, float *kept, COLUMNS columns)
{
    for (int task = threadIdx.x; task < COLUMNS::N * (TILE / 4); task += THREADS) {
        const int e = task % (TILE / 4) * 4, j = task / (TILE / 4);
        if (!columns.has(j)) continue;
        const float4 x = four(value + j * STRIDE + e);
        const float4 y = make_float4(
            activate<ACTIVATION>(x.x), activate<ACTIVATION>(x.y), activate<ACTIVATION>(x.z),
            activate<ACTIVATION>(x.w));
        put_four(value + j * STRIDE + e, y);
        if (KEEP) put_four(kept + columns.at(j) * TILE + e, KEEP == KEEP_SUM ? x : y);
    }
    __syncthreads();
}

// gradient *= derivative of the activation.
template <int TILE, int STRIDE, int ACTIVATION, class COLUMNS>
__device__ void multiply_by_slope(float *gradient, const float *kept, COLUMNS columns)
{
    for (int task = threadIdx.x; task < COLUMNS::N * (TILE / 4); task += THREADS) {
        const int e = task % (TILE / 4) * 4, j = task / (TILE / 4);
        if (!columns.has(j)) continue;
        const float4 y = four(kept + columns.at(j) * TILE + e);
        float4 g = four(gradient + j * STRIDE + e);
        g.x *= slope_of_kept<ACTIVATION>(y.x);
        g.y *= slope_of_kept<ACTIVATION>(y.y);
        g.z *= slope_of_kept<ACTIVATION>(y.z);
        g.w *= slope_of_kept<ACTIVATION>(y.w);
        put_four(gradient + j * STRIDE + e, g);
    }
    __syncthreads();
}

// gradient of the input (+)= gradient weight^T.
template <int TILE, int STRIDE, int N_IN, int N_OUT, bool ADD>
__device__ void add_input_gradient(float *of_input, const float *gradient, const float *weight)
{
    const int FOURS = TILE / 4;
    for (int task = threadIdx.x; task < (N_IN + 3) / 4 * FOURS; task += THREADS) {
        const int e = task % FOURS * 4, k = task / FOURS * 4;
        float4 sum[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            sum[i] = make_float4(0, 0, 0, 0);
            if (ADD && k + i < N_IN) sum[i] = four(of_input + (k + i) * STRIDE + e);
        }
        if (N_OUT % 4 == 0) {
#pragma unroll 1
            for (int j = 0; j < N_OUT; j += 4) {
                const float4 a = four(gradient + j * STRIDE + e);
                const float4 b = four(gradient + (j + 1) * STRIDE + e);
                const float4 c = four(gradient + (j + 2) * STRIDE + e);
                const float4 d = four(gradient + (j + 3) * STRIDE + e);
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    if (k + i >= N_IN) continue;
                    const float4 w = four_constant(weight + (size_t)(k + i) * N_OUT + j);
                    add_scaled(sum[i], a, w.x);
                    add_scaled(sum[i], b, w.y);
                    add_scaled(sum[i], c, w.z);
                    add_scaled(sum[i], d, w.w);
                }
            }
        } else {
#pragma unroll 1
            for (int j = 0; j < N_OUT; ++j) {
                const float4 a = four(gradient + j * STRIDE + e);
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    if (k + i < N_IN) add_scaled(sum[i], a, __ldg(weight + (size_t)(k + i) * N_OUT + j));
                }
            }
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            if (k + i < N_IN) put_four(of_input + (k + i) * STRIDE + e, sum[i]);
        }
    }
    __syncthreads();
}

// of_weight += input^T gradient, [N_IN, N_OUT]. Each sum belongs to the same thread in all tiles,
// so no synchronisation is needed. A thread's rows and columns are spread out, so that neighbouring
// threads read neighbouring ones, which are in different banks. Sums of columns that do not exist are 0.
template <int TILE, int STRIDE, int N_IN, class COLUMNS>
__device__ void add_weight_gradient(
    float *of_weight, const float *input, const float *gradient, COLUMNS columns)
{
    const int N_OUT = COLUMNS::N;
    const int ACROSS = (N_OUT + 3) / 4, DOWN = (N_IN + 3) / 4;
    for (int task = threadIdx.x; task < DOWN * ACROSS; task += THREADS) {
        const int j = task % ACROSS, k = task / ACROSS;
        float sum[4][4];
#pragma unroll
        for (int a = 0; a < 4; ++a) {
#pragma unroll
            for (int b = 0; b < 4; ++b) sum[a][b] = 0.0f;
        }
#pragma unroll 1
        for (int e = 0; e < TILE; e += 4) {
            float4 g[4];
#pragma unroll
            for (int b = 0; b < 4; ++b) {
                g[b] = columns.has(j + b * ACROSS) ? four(gradient + (j + b * ACROSS) * STRIDE + e)
                                                   : make_float4(0, 0, 0, 0);
            }
#pragma unroll
            for (int a = 0; a < 4; ++a) {
                if (k + a * DOWN >= N_IN) continue;
                const float4 x = four(input + (k + a * DOWN) * STRIDE + e);
#pragma unroll
                for (int b = 0; b < 4; ++b) sum[a][b] = dot(x, g[b], sum[a][b]);
            }
        }
#pragma unroll
        for (int a = 0; a < 4; ++a) {
#pragma unroll
            for (int b = 0; b < 4; ++b) {
                if (k + a * DOWN < N_IN && j + b * ACROSS < N_OUT) {
                    of_weight[(k + a * DOWN) * N_OUT + j + b * ACROSS] += sum[a][b];
                }
            }
        }
    }
}

// The same for Gaussians, of which only those in the bands are read: a thread has four consecutive
// rows, which are either in a band or outside of it.
template <int TILE, int STRIDE, int N_IN, class COLUMNS>
__device__ void add_weight_gradient_of_bands(
    float *of_weight, const float *input, const float *gradient, COLUMNS columns,
    const Rows<TILE> &rows)
{
    const int N_OUT = COLUMNS::N;
    const int ACROSS = (N_OUT + 3) / 4;
    for (int task = threadIdx.x; task < (N_IN + 3) / 4 * ACROSS; task += THREADS) {
        const int j = task % ACROSS, k = task / ACROSS * 4;
        float sum[4][4] = {};
#pragma unroll 1
        for (int e = 0; e < TILE; e += 4) {
            if (k < rows.band_start[e / 4] || k >= rows.band_end[e / 4]) continue;
            float4 g[4];
#pragma unroll
            for (int b = 0; b < 4; ++b) {
                g[b] = columns.has(j + b * ACROSS) ? four(gradient + (j + b * ACROSS) * STRIDE + e)
                                                   : make_float4(0, 0, 0, 0);
            }
#pragma unroll
            for (int a = 0; a < 4; ++a) {
                if (k + a >= N_IN) continue;
                const float4 x = four(input + (k + a) * STRIDE + e);
#pragma unroll
                for (int b = 0; b < 4; ++b) sum[a][b] = dot(x, g[b], sum[a][b]);
            }
        }
#pragma unroll
        for (int a = 0; a < 4; ++a) {
#pragma unroll
            for (int b = 0; b < 4; ++b) {
                if (k + a < N_IN && j + b * ACROSS < N_OUT) {
                    of_weight[(k + a) * N_OUT + j + b * ACROSS] += sum[a][b];
                }
            }
        }
    }
}

// of_bias += sum of the gradients of the tile's edges, by column.
template <int TILE, int STRIDE, class COLUMNS>
__device__ void add_bias_gradient(float *of_bias, const float *gradient, COLUMNS columns)
{
    for (int j = threadIdx.x; j < COLUMNS::N; j += THREADS) {
        if (!columns.has(j)) continue;
        // Sequential, so that an additional zero between two edges does not change a bit.
        float sum = 0.0f;
#pragma unroll
        for (int e = 0; e < TILE; e += 4) {
            const float4 g = four(gradient + j * STRIDE + e);
            sum = (((sum + g.x) + g.y) + g.z) + g.w;
        }
        of_bias[j] += sum;
    }
}
