// A tile of edges: consecutive places in the order of the nodes that receive. Included as text before
// the kernels that are generated for a message; compiles with NVRTC and nvcc without any header.

#define THREADS 128
// Blocks that a processor has room for: leaves each thread 128 registers.
#define BLOCKS 4

typedef unsigned int word;

// The edges of one tile, in shared memory, in the order of their distances if there are any. Places
// behind the last edge of the batch hold a copy of it, and count for nothing.
template <int TILE>
struct Rows {
    int tile;
    // Runs of edges with the same receiving node, and one more of the places behind the last edge.
    int n_run;
    int n_run_with_rest;
    word edge[TILE];
    word from[TILE];
    word to[TILE];
    // What an edge counts for: 1, or the share of a mean; 0 behind the last edge.
    float share[TILE];
    float distance[TILE];
    // The edges in the order of the nodes that receive, and where each run of them starts there.
    int at[TILE];
    int start[TILE + 2];
    // Of four edges that follow each other: the Gaussians that are not 0 for all of them.
    int band_start[TILE / 4];
    int band_end[TILE / 4];
    // Of each run: WHOLE, or the part of a node's edges that this tile has.
    int part[TILE + 1];
};

// A part of a sum: added to what is there, or the first, before which there is nothing.
__device__ __forceinline__ void sum_up(float *sum, size_t i, int adds, float part)
{
    sum[i] = adds ? sum[i] + part : part;
}

// All edges of the node lie in the tile; or they begin in it, or before it.
#define WHOLE 2
#define BEGINS 0
#define GOES_ON 1

// Whether an edge comes before another: by distance (as bits, so that nothing is without a place), then
// in the order of the nodes that receive.
__device__ __forceinline__ bool comes_before(float a, int i, float b, int j)
{
    const word x = __float_as_uint(a), y = __float_as_uint(b);
    return x < y || (x == y && i < j);
}

// Without `distance`, the edges stay in the order of the nodes that receive.
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

// Of each four edges that follow each other, the Gaussians that are not 0 (see `gaussian`) for one of
// them; widened to whole fours, so that four rows of a weight are in a band or out of it. A band at
// the first Gaussian is no narrower than one of four distances that differ a little, because padding,
// at distance 0, shall cost about what a bond costs. All Gaussians for a distance that is no number.
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

// A run's sum goes to its node, or to where the parts of nodes that several tiles share are
// collected: [2, n_tile, WIDTH], parts that begin and parts that go on.
template <int WIDTH, bool ADD_TO_NODE, bool ADD_TO_PART, int TILE>
__device__ void give_to_node(
    float *node, float *parts, const Rows<TILE> &rows, int run, int n_tile, int column, float sum,
    float factor)
{
    const int part = rows.part[run];
    if (part == WHOLE) {
        float *to = node + (size_t)rows.to[rows.at[rows.start[run]]] * WIDTH + column;
        *to = ADD_TO_NODE ? *to + factor * sum : factor * sum;
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
    // Whether four columns that follow each other here do so in the matrix, and lie at 16 bytes.
    static const bool BY_FOUR = LANES % 4 == 0 && WIDTH % 4 == 0;
    static const int STRIDE = PARTS * WIDTH;
    __device__ int at(int j) const
    {
        return LANES == WIDTH ? j : j / LANES * WIDTH + first + j % LANES;
    }
    __device__ bool has(int j) const { return j < N && (LANES == WIDTH || first + j % LANES < WIDTH); }
};
