// Linear layers on a tile of edges by tensor cores: the same as in message_layers.cuh, with factors
// rounded to TF32 or bf16 and sums in single precision. A warp computes 16 rows times 8 columns at
// a time.
//
// In such a product, lane `4 row + part` holds one of four parts of the inner dimension for rows
// `row` and `row + 8` of the left factor, and for column `row` of the right one: PER_PART numbers,
// in consecutive pairs. For bf16 this is the order of the instruction; for TF32 any order works if
// both factors agree, and with this one neighbouring threads read columns of a tile from different
// banks.

#define TF32 1
#define BF16 2

template <int PRECISION>
struct Cores;

template <>
struct Cores<TF32> {
    static const int PER_PART = 2;

    static __device__ __forceinline__ word rounded(float x)
    {
#ifdef EMULATED_GPU
        return emulated_tf32(x);
#else
        word y;
        asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
        return y;
#endif
    }

    template <class VALUE>
    static __device__ __forceinline__ void part(word (&registers)[2], VALUE value)
    {
        registers[0] = rounded(value(0));
        registers[1] = rounded(value(1));
    }

    static __device__ __forceinline__ void add_product(
        float (&sum)[4], const word (&low)[2], const word (&high)[2], const word (&right)[2])
    {
#ifdef EMULATED_GPU
        const word left[4] = {low[0], high[0], low[1], high[1]};
        emulated_multiply_tf32(sum, left, right);
#else
        asm volatile(
            "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(low[0]), "r"(high[0]), "r"(low[1]), "r"(high[1]), "r"(right[0]), "r"(right[1]));
#endif
    }
};

template <>
struct Cores<BF16> {
    static const int PER_PART = 4;

    static __device__ __forceinline__ word rounded(float first, float second)
    {
#ifdef EMULATED_GPU
        return emulated_bf16(first) | emulated_bf16(second) << 16;
#else
        word y;
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(second), "f"(first));
        return y;
#endif
    }

    template <class VALUE>
    static __device__ __forceinline__ void part(word (&registers)[2], VALUE value)
    {
        registers[0] = rounded(value(0), value(1));
        registers[1] = rounded(value(2), value(3));
    }

    static __device__ __forceinline__ void add_product(
        float (&sum)[4], const word (&low)[2], const word (&high)[2], const word (&right)[2])
    {
#ifdef EMULATED_GPU
        const word left[4] = {low[0], high[0], low[1], high[1]};
        emulated_multiply_bf16(sum, left, right);
#else
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(low[0]), "r"(high[0]), "r"(low[1]), "r"(high[1]), "r"(right[0]), "r"(right[1]));
#endif
    }
};

#define WARP int(threadIdx.x / 32)
#define N_WARP (THREADS / 32)
// The row of the left factor, or column of the right one, that a lane holds, and its part of the
// inner dimension.
#define LANE_ROW int(threadIdx.x % 32 / 4)
#define LANE_PART int(threadIdx.x % 4)

// sums[group] += the product of 16 rows with 8 columns of each group, over the inner dimension from
// start to end. All lanes of a warp call it together. `left(row, k)` and `right(k, group, column)`
// are 0 out of bounds.
template <int PRECISION, int N_GROUP, class LEFT, class RIGHT>
__device__ __forceinline__ void add_products(
    float (&sums)[N_GROUP][4], int start, int end, LEFT left, RIGHT right)
{
    const int PER_PART = Cores<PRECISION>::PER_PART;
    for (int first = start; first < end; first += 4 * PER_PART) {
        const int k = first + 2 * LANE_PART;
        word low[2], high[2], column[2];
        __syncwarp();
        Cores<PRECISION>::part(low, [=](int i) { return left(LANE_ROW, k + i % 2 + i / 2 * 8); });
        Cores<PRECISION>::part(high, [=](int i) { return left(LANE_ROW + 8, k + i % 2 + i / 2 * 8); });
#pragma unroll
        for (int group = 0; group < N_GROUP; ++group) {
            Cores<PRECISION>::part(column, [=](int i) { return right(k + i % 2 + i / 2 * 8, group, LANE_ROW); });
            Cores<PRECISION>::add_product(sums[group], low, high, column);
        }
    }
}

// Finishes 16 columns of a layer from `first` on: two edges at a time, from e on.
template <int TILE, int STRIDE, int ACTIVATION, int KEEP, class COLUMNS>
__device__ __forceinline__ void finish_columns(
    float *output, float *kept, COLUMNS columns, const float (&sum)[4], int first, int e)
{
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int j = first + LANE_ROW + 8 * half;
        if (!columns.has(j)) continue;
        const float2 x = make_float2(sum[2 * half], sum[2 * half + 1]);
        const float2 y = make_float2(activate<ACTIVATION>(x.x), activate<ACTIVATION>(x.y));
        *reinterpret_cast<float2 *>(output + j * STRIDE + e) = y;
        if (KEEP) {
            *reinterpret_cast<float2 *>(kept + columns.at(j) * TILE + e) = KEEP == KEEP_SUM ? x : y;
        }
    }
}

// Initial values of the sums of 16 columns from `first` on.
template <int N_GROUP, class COLUMNS>
__device__ __forceinline__ void begin_with_bias(
    float (&sums)[N_GROUP][4], const float *bias, COLUMNS columns, int first)
{
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int j = first + LANE_ROW + i / 2 * 8;
        const float b = bias && columns.has(j) ? __ldg(bias + columns.at(j)) : 0.0f;
#pragma unroll
        for (int group = 0; group < N_GROUP; ++group) sums[group][i] = b;
    }
}

// output = activation(input weight + bias), transposed: columns are rows here, and edges columns.
template <int PRECISION, int TILE, int STRIDE, int N_IN, int ACTIVATION, int KEEP, class COLUMNS>
__device__ void linear_on_cores(
    float *output, const float *input, const float *weight, const float *bias, float *kept,
    COLUMNS columns)
{
    for (int first = 16 * WARP; first < COLUMNS::N; first += 16 * N_WARP) {
        float sums[TILE / 8][4];
        begin_with_bias(sums, bias, columns, first);
        add_products<PRECISION>(
            sums, 0, N_IN,
            [=](int row, int k) {
                const bool has = k < N_IN && columns.has(first + row);
                return has ? __ldg(weight + (size_t)k * COLUMNS::STRIDE + columns.at(first + row)) : 0.0f;
            },
            [=](int k, int group, int e) { return k < N_IN ? input[k * STRIDE + group * 8 + e] : 0.0f; });
#pragma unroll
        for (int group = 0; group < TILE / 8; ++group) {
            finish_columns<TILE, STRIDE, ACTIVATION, KEEP>(
                output, kept, columns, sums[group], first, group * 8 + LANE_PART * 2);
        }
    }
    __syncthreads();
}

// The same on Gaussians, of which only those in the bands are read: eight edges have two bands.
template <int PRECISION, int TILE, int STRIDE, int ACTIVATION, int KEEP, class COLUMNS>
__device__ void linear_on_bands_on_cores(
    float *output, const float *input, const float *weight, const float *bias, float *kept,
    COLUMNS columns, const Rows<TILE> &rows)
{
    const int DOWN = (COLUMNS::N + 15) / 16;
    for (int task = WARP; task < DOWN * (TILE / 8); task += N_WARP) {
        const int first = task % DOWN * 16, group = task / DOWN;
        const int *start = rows.band_start + 2 * group, *end = rows.band_end + 2 * group;
        const Rows<TILE> *of = &rows;
        float sums[1][4];
        begin_with_bias(sums, bias, columns, first);
        add_products<PRECISION>(
            sums, min(start[0], start[1]), max(end[0], end[1]),
            [=](int row, int k) {
                const bool has = k < max(end[0], end[1]) && columns.has(first + row);
                return has ? __ldg(weight + (size_t)k * COLUMNS::STRIDE + columns.at(first + row)) : 0.0f;
            },
            [=](int k, int, int e) {
                const int four = 2 * group + e / 4;
                const bool has = k >= of->band_start[four] && k < of->band_end[four];
                return has ? input[k * STRIDE + group * 8 + e] : 0.0f;
            });
        finish_columns<TILE, STRIDE, ACTIVATION, KEEP>(
            output, kept, columns, sums[0], first, group * 8 + LANE_PART * 2);
    }
    __syncthreads();
}

// gradient of the input (+)= gradient weight^T, transposed.
template <int PRECISION, int TILE, int STRIDE, int N_IN, int N_OUT, bool ADD>
__device__ void add_input_gradient_on_cores(float *of_input, const float *gradient, const float *weight)
{
    for (int first = 16 * WARP; first < N_IN; first += 16 * N_WARP) {
        float sums[TILE / 8][4] = {};
        add_products<PRECISION>(
            sums, 0, N_OUT,
            [=](int row, int j) {
                return j < N_OUT && first + row < N_IN ? __ldg(weight + (size_t)(first + row) * N_OUT + j) : 0.0f;
            },
            [=](int j, int group, int e) { return j < N_OUT ? gradient[j * STRIDE + group * 8 + e] : 0.0f; });
#pragma unroll
        for (int group = 0; group < TILE / 8; ++group) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int k = first + LANE_ROW + 8 * half;
                if (k >= N_IN) continue;
                float2 *out = reinterpret_cast<float2 *>(of_input + k * STRIDE + group * 8 + LANE_PART * 2);
                float2 sum = make_float2(sums[group][2 * half], sums[group][2 * half + 1]);
                if (ADD) sum = make_float2(out->x + sum.x, out->y + sum.y);
                *out = sum;
            }
        }
    }
    __syncthreads();
}

// Columns of a weight that a warp works on at a time, in groups of 8.
#define WEIGHT_GROUPS 4

// of_weight += 16 rows of input^T gradient from k on, times the columns of WEIGHT_GROUPS groups
// from j on. Each sum belongs to the same thread in all tiles, so no synchronisation is needed.
template <int PRECISION, int TILE, int STRIDE, int N_IN, class COLUMNS, class INPUT>
__device__ __forceinline__ void add_weight_rows(
    float *of_weight, const float *gradient, COLUMNS columns, int k, int j, int start, int end,
    INPUT input)
{
    const int N_OUT = COLUMNS::N;
    float sums[WEIGHT_GROUPS][4] = {};
    add_products<PRECISION>(
        sums, start, end, [=](int row, int e) { return e < TILE ? input(row, e) : 0.0f; },
        [=](int e, int group, int column) {
            const int at = j + group * 8 + column;
            return e < TILE && columns.has(at) ? gradient[at * STRIDE + e] : 0.0f;
        });
#pragma unroll
    for (int group = 0; group < WEIGHT_GROUPS; ++group) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int row = k + LANE_ROW + i / 2 * 8, column = j + group * 8 + LANE_PART * 2 + i % 2;
            if (row < N_IN && column < N_OUT) of_weight[row * N_OUT + column] += sums[group][i];
        }
    }
}

template <int PRECISION, int TILE, int STRIDE, int N_IN, class COLUMNS>
__device__ void add_weight_gradient_on_cores(
    float *of_weight, const float *input, const float *gradient, COLUMNS columns)
{
    const int WIDE = 8 * WEIGHT_GROUPS, ACROSS = (COLUMNS::N + WIDE - 1) / WIDE;
    for (int task = WARP; task < (N_IN + 15) / 16 * ACROSS; task += N_WARP) {
        const int j = task % ACROSS * WIDE, k = task / ACROSS * 16;
        add_weight_rows<PRECISION, TILE, STRIDE, N_IN>(
            of_weight, gradient, columns, k, j, 0, TILE,
            [=](int row, int e) { return k + row < N_IN ? input[(k + row) * STRIDE + e] : 0.0f; });
    }
}

// The same for Gaussians, of which only those in the bands are read. The edges are sorted by
// distance, so those whose bands reach into 16 rows are consecutive.
template <int PRECISION, int TILE, int STRIDE, int N_IN, class COLUMNS>
__device__ void add_weight_gradient_of_bands_on_cores(
    float *of_weight, const float *input, const float *gradient, COLUMNS columns,
    const Rows<TILE> &rows)
{
    const int WIDE = 8 * WEIGHT_GROUPS, ACROSS = (COLUMNS::N + WIDE - 1) / WIDE;
    for (int task = WARP; task < (N_IN + 15) / 16 * ACROSS; task += N_WARP) {
        const int j = task % ACROSS * WIDE, k = task / ACROSS * 16;
        int start = TILE, end = 0;
        for (int four = 0; four < TILE / 4; ++four) {
            if (rows.band_start[four] >= k + 16 || rows.band_end[four] <= k) continue;
            start = min(start, four * 4);
            end = four * 4 + 4;
        }
        if (start >= end) continue;
        const Rows<TILE> *of = &rows;
        add_weight_rows<PRECISION, TILE, STRIDE, N_IN>(
            of_weight, gradient, columns, k, j, start, end, [=](int row, int e) {
                const bool has = k + row >= of->band_start[e / 4] && k + row < of->band_end[e / 4];
                return has ? input[(k + row) * STRIDE + e] : 0.0f;
            });
    }
}
