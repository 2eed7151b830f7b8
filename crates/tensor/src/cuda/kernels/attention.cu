// Attention along edges, and per-head operations: a row has n_head times head_width columns.

// An edge's logit: LeakyReLU of the summed scores of its two ends.
extern "C" __global__ void edge_scores(float* out, const float* theirs, const float* own, const word* from,
                                       const word* to, word n_head, word n) {
    word i = element();
    if (i >= n) return;
    word edge = i / n_head, head = i % n_head;
    out[i] = activated(leaky_relu, theirs[(wide)from[edge] * n_head + head] + own[(wide)to[edge] * n_head + head]);
}

// Per-head dot products of `a` and `b`, where `b` has as many rows as `a` or a single one.
extern "C" __global__ void dots_of_heads(float* out, const float* a, const float* b, word n_head_b,
                                         word head_width, word n) {
    word i = element();
    if (i >= n) return;
    const float *x = a + (wide)i * head_width, *y = b + (wide)(i % n_head_b) * head_width;
    float sum = 0.0f;
    for (word k = 0; k < head_width; k++) sum += x[k] * y[k];
    out[i] = sum;
}

// The gradient of an edge's scores before LeakyReLU: share (d - mean) times the slope, where d is
// the factor on the share.
extern "C" __global__ void attend_backward_scores(float* dscore, const float* dy, const float* x, const float* share,
                                                  const float* mean, const float* theirs, const float* own,
                                                  const word* from, const word* to, word n_head, word head_width,
                                                  word n) {
    word i = element();
    if (i >= n) return;
    word edge = i / n_head, head = i % n_head;
    wide sender = (wide)from[edge] * n_head + head, receiver = (wide)to[edge] * n_head + head;
    const float *a = dy + receiver * head_width, *b = x + sender * head_width;
    float d = 0.0f;
    for (word k = 0; k < head_width; k++) d += a[k] * b[k];
    float slope = theirs[sender] + own[receiver] > 0.0f ? 1.0f : LEAKY_SLOPE;
    dscore[i] = slope * share[i] * (d - mean[receiver]);
}

// dx[row, head, k]: dy[row, head] weight[head, k]
extern "C" __global__ void head_scores_backward_rows(float* dx, const float* dy, const float* weight, int adds,
                                                     word n_head, word head_width, word n) {
    word i = element();
    if (i >= n) return;
    word width = n_head * head_width, column = i % width;
    sum_up(dx, i, adds, dy[(wide)(i / width) * n_head + column / head_width] * weight[column]);
}

// Sums over each ROWS rows of dy[row, head] x[row, head, k], [ceil(n_row / ROWS), width].
extern "C" __global__ void head_scores_backward_weight(float* partial, const float* dy, const float* x, word n_head,
                                                       word head_width, word n_row, word n) {
    word i = element();
    if (i >= n) return;
    word width = n_head * head_width, group = i / width, column = i % width;
    word end = min(n_row, (group + 1) * ROWS);
    float sum = 0.0f;
    for (word row = group * ROWS; row < end; row++)
        sum += dy[(wide)row * n_head + column / head_width] * x[(wide)row * width + column];
    partial[i] = sum;
}

extern "C" __global__ void mean_of_heads(float* out, const float* x, word n_head, word width, word n) {
    word i = element();
    if (i >= n) return;
    const float* row = x + (wide)(i / width) * n_head * width + i % width;
    float sum = 0.0f;
    for (word head = 0; head < n_head; head++) sum += row[(wide)head * width];
    out[i] = sum * (1.0f / (float)n_head);
}

extern "C" __global__ void mean_of_heads_backward(float* dx, const float* dy, int adds, word n_head, word width,
                                                  word n) {
    word i = element();
    if (i < n) sum_up(dx, i, adds, dy[(wide)(i / (n_head * width)) * width + i % width] * (1.0f / (float)n_head));
}

extern "C" __global__ void add_row(float* out, const float* x, const float* row, word width, word n) {
    word i = element();
    if (i < n) out[i] = x[i] + row[i % width];
}
