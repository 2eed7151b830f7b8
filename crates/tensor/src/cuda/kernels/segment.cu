// Rows to segments and back. Items have positions, sorted by segment: `order` (or null) maps a
// position to its item, `of` an item to its segment, and `offset` is where a segment starts.
//
// A segment is split into parts of PART positions, counted from its start, so that its sum does not
// depend on where it is in the batch. Each part has one thread per column. Chunk g covers positions
// g PART to (g + 1) PART; its threads process the parts that start in it. At most one of them
// continues a segment from before, and at most one segment that starts in it is longer than a part:
// the sums of these two go to `partial` [n_chunk, 2, width], and a second kernel adds up a long
// segment's parts in order. So a node with 10^5 edges is processed by as many threads as any other
// 10^5 edges.

const word PART = 32;

struct Segments {
    const word *of, *order, *offset;
    // Number of segments, or 0 if their values are added to what is there.
    word n_item, n_segment;
    __device__ __forceinline__ word item(word place) const { return order ? order[place] : place; }
    __device__ __forceinline__ word segment(word place) const { return of[item(place)]; }
};

struct Sum {
    static __device__ __forceinline__ float start() { return 0.0f; }
    static __device__ __forceinline__ float join(float a, float b) { return a + b; }
};

// The maximum, or NaN if there is one.
struct Largest {
    static __device__ __forceinline__ float start() { return __int_as_float((int)0xff800000); }
    static __device__ __forceinline__ float join(float a, float b) { return b > a || is_nan(b) ? b : a; }
};

// Writes or adds to `out` [n_segment, width] the values `value(item, column)`, combined by J; divided
// by the number of items if `mean`; 0 for a segment without items.
template <class J, class V>
__device__ __forceinline__ void reduce_parts(float* out, float* partial, const Segments s, word width, bool mean, V value) {
    word i = element(), chunk = i / width, column = i % width;
    // As many threads as there are chunks or segments: nobody else writes a segment without items.
    if (chunk < s.n_segment && s.offset[chunk] == s.offset[chunk + 1]) out[i] = 0.0f;
    if ((wide)chunk * PART >= s.n_item) return;
    word place = chunk * PART, chunk_end = min(s.n_item, place + PART);
    while (place < chunk_end) {
        word segment = s.segment(place), begin = s.offset[segment], end = s.offset[segment + 1];
        // Start of the next part of this segment: here, or later if the segment began before.
        word first = begin + (place - begin + PART - 1) / PART * PART;
        if (first >= end) {
            place = end;
            continue;
        }
        if (first >= chunk_end) return;
        word last = min(end, first + PART);
        float sum = J::start();
        for (word p = first; p < last; p++) sum = J::join(sum, value(s.item(p), column));
        if (end - begin > PART) {
            partial[((wide)chunk * 2 + (first == begin)) * width + column] = sum;
        } else {
            if (mean) sum /= (float)(end - begin);
            sum_up(out, (wide)segment * width + column, s.n_segment == 0, sum);
        }
        place = last;
    }
}

// The parts of the long segment that starts in chunk blockIdx.x, if there is one: 32 columns times
// 8 shares of the parts.
template <class J>
__device__ __forceinline__ void join_parts(float* out, const float* partial, const Segments s, word width, bool mean) {
    __shared__ float shares[8][32];
    word chunk = blockIdx.x, column = blockIdx.y * 32 + threadIdx.x % 32, share = threadIdx.x / 32;
    word segment = s.segment(min(s.n_item, (chunk + 1) * PART) - 1);
    word begin = s.offset[segment], length = s.offset[segment + 1] - begin;
    if (begin / PART != chunk || length <= PART) return;
    word n_part = (length + PART - 1) / PART;
    float sum = J::start();
    if (column < width)
        for (word part = share; part < n_part; part += 8)
            sum = J::join(sum, partial[((wide)(chunk + part) * 2 + (part == 0)) * width + column]);
    shares[share][threadIdx.x % 32] = sum;
    __syncthreads();
    if (share > 0 || column >= width) return;
    for (word other = 1; other < 8; other++) sum = J::join(sum, shares[other][threadIdx.x]);
    if (mean) sum /= (float)length;
    sum_up(out, (wide)segment * width + column, s.n_segment == 0, sum);
}

extern "C" __global__ void segment_sum(float* out, float* partial, const float* x, const word* of, const word* order,
                                       const word* offset, word n_item, word n_segment, word width, int mean) {
    reduce_parts<Sum>(out, partial, {of, order, offset, n_item, n_segment}, width, mean,
                      [=](word item, word column) { return x[(wide)item * width + column]; });
}

// The same for elementwise products of two matrices.
extern "C" __global__ void segment_sum_products(float* out, float* partial, const float* x, const float* y,
                                                const word* of, const word* order, const word* offset, word n_item,
                                                word n_segment, word width, int mean) {
    reduce_parts<Sum>(out, partial, {of, order, offset, n_item, n_segment}, width, mean, [=](word item, word column) {
        wide at = (wide)item * width + column;
        return x[at] * y[at];
    });
}

// The same for the row of `x` from which the item comes, times the weight of the item (1 if
// `weight` is null) for each head of `head_width` columns.
extern "C" __global__ void propagate(float* out, float* partial, const float* weight, const float* x, const word* from,
                                     word head_width, const word* of, const word* order, const word* offset,
                                     word n_item, word n_segment, word width, int mean) {
    word n_head = width / head_width;
    reduce_parts<Sum>(out, partial, {of, order, offset, n_item, n_segment}, width, mean, [=](word item, word column) {
        float value = x[(wide)from[item] * width + column];
        return weight ? weight[(wide)item * n_head + column / head_width] * value : value;
    });
}

extern "C" __global__ void join_sums(float* out, const float* partial, const word* of, const word* order,
                                     const word* offset, word n_item, word n_segment, word width, int mean) {
    join_parts<Sum>(out, partial, {of, order, offset, n_item, n_segment}, width, mean);
}

extern "C" __global__ void segment_max(float* out, float* partial, const float* x, const word* of, const word* order,
                                       const word* offset, word n_item, word n_segment, word width, int) {
    reduce_parts<Largest>(out, partial, {of, order, offset, n_item, n_segment}, width, false,
                          [=](word item, word column) { return x[(wide)item * width + column]; });
}

extern "C" __global__ void join_largest(float* out, const float* partial, const word* of, const word* order,
                                        const word* offset, word n_item, word n_segment, word width, int) {
    join_parts<Largest>(out, partial, {of, order, offset, n_item, n_segment}, width, false);
}

// Number of items that share a segment's maximum.
extern "C" __global__ void segment_count_largest(float* out, float* partial, const float* x, const float* largest,
                                                 const word* of, const word* order, const word* offset, word n_item,
                                                 word n_segment, word width, int) {
    reduce_parts<Sum>(out, partial, {of, order, offset, n_item, n_segment}, width, false, [=](word item, word column) {
        return x[(wide)item * width + column] == largest[(wide)of[item] * width + column] ? 1.0f : 0.0f;
    });
}

extern "C" __global__ void add_to_largest(float* dx, const float* dy, const float* x, const float* largest,
                                          const float* count, const word* of, word width, word n) {
    word i = element();
    if (i >= n) return;
    wide at = (wide)of[i / width] * width + i % width;
    if (x[i] == largest[at]) dx[i] += dy[at] / fmaxf(count[at], 1.0f);
}

extern "C" __global__ void gather(float* out, const float* x, const word* of, word width, word n) {
    word i = element();
    if (i < n) out[i] = x[(wide)of[i / width] * width + i % width];
}

// Passes dy of its segment to each item, divided by the number of items if `mean`.
extern "C" __global__ void segment_backward(float* dx, const float* dy, const word* of, const word* offset, int adds,
                                            word width, word n, int mean) {
    word i = element();
    if (i >= n) return;
    word segment = of[i / width];
    float d = dy[(wide)segment * width + i % width];
    if (mean) d /= (float)(offset[segment + 1] - offset[segment]);
    sum_up(dx, i, adds, d);
}

// Divides rows of segments by their number of items, or by 1 if there are none.
extern "C" __global__ void divide_by_count(float* x, const word* offset, word width, word n) {
    word i = element();
    if (i >= n) return;
    word segment = i / width, count = offset[segment + 1] - offset[segment];
    if (count > 1) x[i] /= (float)count;
}

extern "C" __global__ void exp_of_difference(float* out, const float* x, const float* largest, const word* of,
                                             word width, word n) {
    word i = element();
    if (i < n) out[i] = expf(x[i] - largest[(wide)of[i / width] * width + i % width]);
}

extern "C" __global__ void divide_by_total(float* out, const float* total, const word* of, word width, word n) {
    word i = element();
    if (i < n) out[i] /= total[(wide)of[i / width] * width + i % width];
}

// y (dy - total of y dy over the segment)
extern "C" __global__ void softmax_backward(float* dx, const float* dy, const float* y, const float* total,
                                            const word* of, int adds, word width, word n) {
    word i = element();
    if (i < n) sum_up(dx, i, adds, y[i] * (dy[i] - total[(wide)of[i / width] * width + i % width]));
}
