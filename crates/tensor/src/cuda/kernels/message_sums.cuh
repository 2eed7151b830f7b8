// Sums of rows in a fixed order, unaffected by trailing zeros: parts of nodes shared by several
// tiles, and the per-block gradients of weights. Blocks of SUM_X columns times SUM_Y runs of every
// SUM_Y-th row.

#define SUM_X 32
#define SUM_Y 16
#define SUM_COLUMN int(threadIdx.x % SUM_X)
#define SUM_RUN int(threadIdx.x / SUM_X)

// The sum of n rows with a stride of STRIDE numbers, in column `column` if it exists. All threads
// call it; those with SUM_RUN == 0 get the sum.
__device__ float sum_of_rows(const float *first, int n, size_t stride, int column, bool is_column)
{
    __shared__ float runs[SUM_Y][SUM_X];
    float sum = 0.0f;
    if (is_column) {
#pragma unroll 4
        for (int row = SUM_RUN; row < n; row += SUM_Y) sum += first[row * stride + column];
    }
    __syncthreads();
    runs[SUM_RUN][SUM_COLUMN] = sum;
    __syncthreads();
    if (SUM_RUN == 0) {
        sum = 0.0f;
#pragma unroll
        for (int run = 0; run < SUM_Y; ++run) sum += runs[run][SUM_COLUMN];
    }
    return sum;
}

// Adds up the parts of the node whose edges begin in `tile` and continue beyond it, if there is
// one. `parts` [2, n_tile, WIDTH], see give_to_node.
template <int TILE, int WIDTH, bool MEAN>
__device__ void join_parts(
    float *nodes, const float *parts, int adds, int tile, int n_tile, int n_edge, const word *order,
    const word *to, const word *offset)
{
    const int column = blockIdx.y * SUM_X + SUM_COLUMN;
    if (blockIdx.y * SUM_X >= WIDTH) return;
    const int first = tile * TILE, behind = min(first + TILE, n_edge);
    const word node = to[order ? order[behind - 1] : behind - 1];
    const int begin = offset[node], end = offset[node + 1];
    if (begin < first || end <= behind) return;
    const int n_more = (end - 1) / TILE - tile;
    const float *more = parts + ((size_t)n_tile + tile + 1) * WIDTH;
    float sum = sum_of_rows(more, n_more, WIDTH, column, column < WIDTH);
    if (SUM_RUN == 0 && column < WIDTH) {
        sum += parts[(size_t)tile * WIDTH + column];
        if (MEAN) sum *= 1.0f / float(end - begin);
        sum_up(nodes, (size_t)node * WIDTH + column, adds, sum);
    }
}

// Sets nodes without edges to 0, which nobody else writes: the share of one of n_block blocks.
template <int WIDTH>
__device__ void clear_unreached(
    float *nodes, int block, int n_block, int n_node, const word *offset)
{
    const int column = blockIdx.y * SUM_X + SUM_COLUMN;
    if (column >= WIDTH) return;
    for (int node = block * SUM_Y + SUM_RUN; node < n_node; node += n_block * SUM_Y) {
        if (offset[node] == offset[node + 1]) nodes[(size_t)node * WIDTH + column] = 0.0f;
    }
}

// Gives the sum of the rows of each run of a tile, `values` [n_edge, WIDTH], to their node. A
// block handles LANES columns.
template <int TILE, int WIDTH, int LANES>
__device__ void sum_runs(
    float *nodes, float *parts, int adds, const float *values, const Rows<TILE> &rows, int n_tile)
{
    for (int task = threadIdx.x; task < LANES * rows.n_run; task += THREADS) {
        const int column = blockIdx.y * LANES + task % LANES, run = task / LANES;
        if (column >= WIDTH) continue;
        float sum = 0.0f;
#pragma unroll 4
        for (int i = rows.start[run]; i < rows.start[run + 1]; ++i) {
            sum += values[(size_t)rows.edge[rows.at[i]] * WIDTH + column];
        }
        give_to_node<WIDTH, false>(nodes, parts, adds, rows, run, n_tile, column, sum, 1.0f);
    }
}
