// A tile of edges: consecutive positions in the order of receiving nodes. Included as text before
// the kernels generated for a message; compiles with NVRTC and nvcc without any header.

#define THREADS 128
// Blocks per multiprocessor: leaves each thread 128 registers.
#define BLOCKS 4

typedef unsigned int word;

// The edges of one tile, in shared memory, sorted by distance if there are distances. Positions
// beyond the last edge of the batch hold a copy of it, with weight 0.
template <int TILE>
struct Rows {
    int tile;
    // Runs of edges with the same receiving node, plus one for the positions beyond the last edge.
    int n_run;
    int n_run_with_rest;
    word edge[TILE];
    word from[TILE];
    word to[TILE];
    // Weight of an edge: 1, or its share of a mean; 0 beyond the last edge.
    float share[TILE];
    float distance[TILE];
    // The edges in the order of receiving nodes, and the start of each run in this order.
    int at[TILE];
    int start[TILE + 2];
    // For four consecutive edges: the range of Gaussians that are not 0 for at least one of them.
    int band_start[TILE / 4];
    int band_end[TILE / 4];
    // For each run: WHOLE, or which part of a node's edges this tile has.
    int part[TILE + 1];
};

// Contributes to a sum: added to what is there, or, if it is the first, overwriting it.
__device__ __forceinline__ void sum_up(float *sum, size_t i, int adds, float part)
{
    sum[i] = adds ? sum[i] + part : part;
}

// All edges of the node are in the tile; or they begin in it, or before it.
#define WHOLE 2
#define BEGINS 0
#define GOES_ON 1

// Whether an edge comes before another: by distance (as bits, so that the order is total), then in
// the order of receiving nodes.
__device__ __forceinline__ bool comes_before(float a, int i, float b, int j)
{
    const word x = __float_as_uint(a), y = __float_as_uint(b);
    return x < y || (x == y && i < j);
}

// Without `distance`, the edges stay in the order of receiving nodes.
template <int TILE, bool MEAN>
__device__ void find_rows(
    Rows<TILE> &rows, int tile, int n_edge, const word *order, const word *from, const word *to,
    const word *offset, const float *distance)
{
    const int first = tile * TILE;
    const int n = min(TILE, n_edge - first);
    const int e = threadIdx.x;
    word edge = 0, node = 0;
    __syncthreads();
    if (e < TILE) {
        const int place = first + min(e, n - 1);
        edge = order ? order[place] : word(place);
        node = to[edge];
        rows.to[e] = node;
        rows.distance[e] = distance ? distance[edge] : 0.0f;
    }
    __syncthreads();
    int at = distance ? 0 : e;
    if (distance && e < TILE) {
        for (int i = 0; i < TILE; ++i) {
            at += comes_before(rows.distance[i], i, rows.distance[e], e);
        }
    }
    if (e < n) {
        int run = 0;
        for (int i = 1; i <= e; ++i) run += rows.to[i] != rows.to[i - 1];
        if (e == 0 || rows.to[e] != rows.to[e - 1]) {
            rows.start[run] = e;
            rows.part[run] = int(offset[node]) < first         ? GOES_ON
                             : int(offset[node + 1]) > first + n ? BEGINS
                                                                 : WHOLE;
        }
        if (e == n - 1) {
            rows.tile = tile;
            rows.n_run = run + 1;
            rows.n_run_with_rest = run + 1 + (n < TILE);
            rows.start[run + 1] = n;
            rows.start[run + 2] = TILE;
        }
    }
    const float own_distance = e < TILE ? rows.distance[e] : 0.0f;
    __syncthreads();
    if (e < TILE) {
        rows.at[e] = at;
        rows.edge[at] = edge;
        rows.from[at] = from ? from[edge] : 0;
        rows.to[at] = node;
        rows.share[at] = e < n ? (MEAN ? 1.0f / float(offset[node + 1] - offset[node]) : 1.0f) : 0.0f;
        rows.distance[at] = own_distance;
    }
    __syncthreads();
}

// For each four consecutive edges, the Gaussians that are not 0 (see `gaussian`) for at least one
// of them; rounded outwards to multiples of four, so that four rows of a weight are either in a
// band or outside of it. A band at the first Gaussian is at least as wide as one of four slightly
// different distances, because padding, at distance 0, should cost about the same as a bond. For
// NaN distances, all Gaussians.
template <int TILE, int N>
__device__ void find_bands(Rows<TILE> &rows, float first, float spacing, float coefficient)
{
    if (threadIdx.x < TILE / 4) {
        // exp(-27.7) < 1e-12.
        const float reach = sqrtf(27.7f / coefficient) + spacing;
        float start = N, end = 0.0f;
        for (int i = 0; i < 4; ++i) {
            const float x = rows.distance[threadIdx.x * 4 + i] - first;
            start = fminf(start, fmaxf((x - reach) / spacing, 0.0f));
            end = fmaxf(end, fminf((x + reach) / spacing, float(N)));
        }
        end = fminf(fmaxf(end, start + 2.0f * reach / spacing + 4.0f), float(N));
        rows.band_start[threadIdx.x] = int(start) / 4 * 4;
        rows.band_end[threadIdx.x] = min((int(ceilf(end)) + 3) / 4 * 4, N);
    }
    __syncthreads();
}

// Gives a run's sum to its node or, for nodes shared by several tiles, stores it as a part: [2,
// n_tile, WIDTH], parts that begin and parts that continue.
template <int WIDTH, bool ADD_TO_PART, int TILE>
__device__ void give_to_node(
    float *nodes, float *parts, int adds, const Rows<TILE> &rows, int run, int n_tile, int column,
    float sum, float factor)
{
    const int part = rows.part[run];
    if (part == WHOLE) {
        const word node = rows.to[rows.at[rows.start[run]]];
        sum_up(nodes, (size_t)node * WIDTH + column, adds, factor * sum);
    } else {
        float *to = parts + ((size_t)part * n_tile + rows.tile) * WIDTH + column;
        *to = ADD_TO_PART ? *to + sum : sum;
    }
}

// Columns of a matrix that a block works on: LANES of each of PARTS parts, each WIDTH wide.
template <int PARTS, int LANES, int WIDTH>
struct Columns {
    int first;
    static const int N = PARTS * LANES;
    // Whether four columns that are consecutive here are so in the matrix, and aligned to 16 bytes.
    static const bool BY_FOUR = LANES % 4 == 0 && WIDTH % 4 == 0;
    static const int STRIDE = PARTS * WIDTH;
    __device__ int at(int j) const
    {
        return LANES == WIDTH ? j : j / LANES * WIDTH + first + j % LANES;
    }
    __device__ bool has(int j) const { return j < N && (LANES == WIDTH || first + j % LANES < WIDTH); }
};
