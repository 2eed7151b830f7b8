// Lengths, directions, cutoffs and expansions of edges.

extern "C" __global__ void edge_geometry(float* distance, float* direction, const float* displacement, float epsilon,
                                         word n_edge) {
    word e = element();
    if (e >= n_edge) return;
    const float* d = displacement + 3 * (wide)e;
    float length = sqrtf(d[0] * d[0] + d[1] * d[1] + d[2] * d[2] + epsilon);
    distance[e] = length;
    for (word k = 0; k < 3; k++) direction[3 * (wide)e + k] = d[k] / (length + epsilon);
}

// NaN stays NaN. (`cosf` would need a stack frame, for large arguments.)
extern "C" __global__ void cosine_cutoff(float* out, const float* distance, float cutoff, word n_edge) {
    word e = element();
    if (e >= n_edge) return;
    float d = distance[e];
    out[e] = d >= cutoff ? 0.0f : 0.5f * (cospif(d / cutoff) + 1.0f);
}

// Values below 1e-12 are flushed to 0, as on the CPU.
extern "C" __global__ void gaussians(float* out, const float* distance, float first, float spacing, float coefficient,
                                     word width, word n) {
    word i = element();
    if (i >= n) return;
    float x = distance[i / width] - (first + (float)(i % width) * spacing);
    float value = expf(-coefficient * x * x);
    out[i] = value < 1e-12f ? 0.0f : value;
}
