// Scalars and vectors of nodes, with a thread for each node and column. `mixed` has rows x, y and z
// of each node, each with l and r concatenated.

struct Mixed {
    float l[3], r[3];
};

__device__ __forceinline__ Mixed mixed_at(const float* mixed, word node, word column, word width) {
    Mixed m;
    for (word axis = 0; axis < 3; axis++) {
        const float* row = row_of(mixed, 3 * node + axis, 2 * width);
        m.l[axis] = row[column];
        m.r[axis] = row[width + column];
    }
    return m;
}

extern "C" __global__ void norms_beside(float* out, const float* s, const float* mixed, float epsilon, word width, word n) {
    word i = element();
    if (i >= n) return;
    word node = i / width, column = i % width;
    Mixed m = mixed_at(mixed, node, column, width);
    float* row = row_of(out, node, 2 * width);
    row[column] = s[i];
    row[width + column] = sqrtf(m.r[0] * m.r[0] + m.r[1] * m.r[1] + m.r[2] * m.r[2] + epsilon);
}

// `ds` and `dmixed` may be null.
extern "C" __global__ void norms_beside_backward(float* ds, float* dmixed, const float* dy, const float* mixed,
                                                 const float* output, int adds_ds, int adds_dmixed, word width,
                                                 word n) {
    word i = element();
    if (i >= n) return;
    word node = i / width, column = i % width;
    const float* dy_row = row_of(dy, node, 2 * width);
    if (ds) sum_up(ds, i, adds_ds, dy_row[column]);
    if (!dmixed) return;
    float norm = row_of(output, node, 2 * width)[width + column], d = dy_row[width + column];
    for (word axis = 0; axis < 3; axis++) {
        wide at = (wide)(3 * node + axis) * 2 * width + width + column;
        if (!adds_dmixed) dmixed[at - width] = 0.0f;
        sum_up(dmixed, at, adds_dmixed, d * mixed[at] / norm);
    }
}

// Clips changes to the limit; NaN stays NaN.
__device__ __forceinline__ float clipped(float change, float limit) {
    change = change > limit ? limit : change;
    return change < -limit ? -limit : change;
}

// The gradient with respect to a clipped change.
__device__ __forceinline__ float within(float dy, float change, float limit) {
    return fabsf(change) > limit ? 0.0f : dy;
}

// Rows of `received` hold the scalars and the three components of the vectors, concatenated.
extern "C" __global__ void add_received(float* s_out, float* v_out, const float* s, const float* v,
                                        const float* received, float limit, word width, word n) {
    word i = element();
    if (i >= n) return;
    word node = i / width, column = i % width;
    const float* change = row_of(received, node, 4 * width) + column;
    s_out[i] = s[i] + clipped(change[0], limit);
    for (word axis = 0; axis < 3; axis++) {
        wide at = (wide)(3 * node + axis) * width + column;
        v_out[at] = v[at] + clipped(change[(axis + 1) * width], limit);
    }
}

extern "C" __global__ void add_received_backward(float* dreceived, const float* ds, const float* dv,
                                                 const float* received, float limit, int adds, word width, word n) {
    word i = element();
    if (i >= n) return;
    word node = i / width, column = i % width;
    const float* change = row_of(received, node, 4 * width) + column;
    float* dchange = row_of(dreceived, node, 4 * width) + column;
    sum_up(dchange, 0, adds, within(ds[i], change[0], limit));
    for (word axis = 0; axis < 3; axis++) {
        float d = row_of(dv, 3 * node + axis, width)[column];
        word at = (axis + 1) * width;
        sum_up(dchange, at, adds, within(d, change[at], limit));
    }
}

extern "C" __global__ void equivariant_update(float* s_out, float* v_out, const float* s, const float* v,
                                              const float* gates, const float* mixed, float limit, word width,
                                              word n) {
    word i = element();
    if (i >= n) return;
    word node = i / width, column = i % width;
    Mixed m = mixed_at(mixed, node, column, width);
    const float* g = row_of(gates, node, 3 * width);
    float dot = m.l[0] * m.r[0] + m.l[1] * m.r[1] + m.l[2] * m.r[2];
    s_out[i] = s[i] + clipped(g[column] + g[2 * width + column] * dot, limit);
    for (word axis = 0; axis < 3; axis++) {
        wide at = (wide)(3 * node + axis) * width + column;
        v_out[at] = v[at] + clipped(g[width + column] * m.l[axis], limit);
    }
}

// `dgates` and `dmixed` may be null.
extern "C" __global__ void equivariant_update_backward(float* dgates, float* dmixed, const float* ds, const float* dv,
                                                       const float* gates, const float* mixed, float limit,
                                                       int adds_dgates, int adds_dmixed, word width, word n) {
    word i = element();
    if (i >= n) return;
    word node = i / width, column = i % width;
    Mixed m = mixed_at(mixed, node, column, width);
    const float* g = row_of(gates, node, 3 * width);
    float g2 = g[width + column], g3 = g[2 * width + column];
    float dot = m.l[0] * m.r[0] + m.l[1] * m.r[1] + m.l[2] * m.r[2];
    float d = within(ds[i], g[column] + g3 * dot, limit), d_vector[3];
    for (word axis = 0; axis < 3; axis++) {
        d_vector[axis] = within(row_of(dv, 3 * node + axis, width)[column], g2 * m.l[axis], limit);
    }
    if (dgates) {
        float* row = row_of(dgates, node, 3 * width);
        float along = d_vector[0] * m.l[0] + d_vector[1] * m.l[1] + d_vector[2] * m.l[2];
        sum_up(row, column, adds_dgates, d);
        sum_up(row, width + column, adds_dgates, along);
        sum_up(row, 2 * width + column, adds_dgates, d * dot);
    }
    if (dmixed) {
        for (word axis = 0; axis < 3; axis++) {
            float* row = row_of(dmixed, 3 * node + axis, 2 * width);
            sum_up(row, column, adds_dmixed, d_vector[axis] * g2 + d * g3 * m.r[axis]);
            sum_up(row, width + column, adds_dmixed, d * g3 * m.l[axis]);
        }
    }
}
