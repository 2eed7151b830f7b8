// Scalars from vectors and vectors from scalars, node by node: a thread for each node and column.
// `mixed` has rows x, y and z of each node, each row l and r side by side.

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
                                                 const float* output, word width, word n) {
    word i = element();
    if (i >= n) return;
    word node = i / width, column = i % width;
    const float* dy_row = row_of(dy, node, 2 * width);
    if (ds) ds[i] += dy_row[column];
    if (!dmixed) return;
    float norm = row_of(output, node, 2 * width)[width + column], d = dy_row[width + column];
    for (word axis = 0; axis < 3; axis++) {
        wide at = (wide)(3 * node + axis) * 2 * width + width + column;
        dmixed[at] += d * mixed[at] / norm;
    }
}

extern "C" __global__ void equivariant_update(float* s, float* v, const float* gates, const float* mixed, word width, word n) {
    word i = element();
    if (i >= n) return;
    word node = i / width, column = i % width;
    Mixed m = mixed_at(mixed, node, column, width);
    const float* g = row_of(gates, node, 3 * width);
    float dot = m.l[0] * m.r[0] + m.l[1] * m.r[1] + m.l[2] * m.r[2];
    s[i] = g[column] + g[2 * width + column] * dot;
    for (word axis = 0; axis < 3; axis++) row_of(v, 3 * node + axis, width)[column] = g[width + column] * m.l[axis];
}

// `dgates` and `dmixed` may be null.
extern "C" __global__ void equivariant_update_backward(float* dgates, float* dmixed, const float* ds, const float* dv,
                                                       const float* gates, const float* mixed, word width, word n) {
    word i = element();
    if (i >= n) return;
    word node = i / width, column = i % width;
    Mixed m = mixed_at(mixed, node, column, width);
    float d = ds[i], d_vector[3];
    for (word axis = 0; axis < 3; axis++) d_vector[axis] = row_of(dv, 3 * node + axis, width)[column];
    if (dgates) {
        float* row = row_of(dgates, node, 3 * width);
        row[column] += d;
        row[width + column] += d_vector[0] * m.l[0] + d_vector[1] * m.l[1] + d_vector[2] * m.l[2];
        row[2 * width + column] += d * (m.l[0] * m.r[0] + m.l[1] * m.r[1] + m.l[2] * m.r[2]);
    }
    if (dmixed) {
        const float* g = row_of(gates, node, 3 * width);
        float scaled = d * g[2 * width + column];
        for (word axis = 0; axis < 3; axis++) {
            float* row = row_of(dmixed, 3 * node + axis, 2 * width);
            row[column] += d_vector[axis] * g[width + column] + scaled * m.r[axis];
            row[width + column] += scaled * m.l[axis];
        }
    }
}
