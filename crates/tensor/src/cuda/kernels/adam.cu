// Adam, for all parameters of a model in one launch.

// Same layout as `Tensor` and `ROOM` in adam.rs.
struct AdamTensor {
    float *parameter, *first, *second;
    const float* gradient;
    word n, first_block;
    // Multiple of the parameter to add to its gradient.
    float decay;
    word unused;
};

// Passed by value: along with the other arguments, within the 4 KiB that every GPU accepts.
struct AdamTensors {
    AdamTensor at[84];
};

// One step, in place; `rate` is its size, corrected for the start of the moments. Blocks are
// assigned to the tensors in order, from `first_block` on.
extern "C" __global__ void adam(AdamTensors tensors, word n_tensor, float rate, float second_correction,
                                float keep1, float take1, float keep2, float take2, float epsilon) {
    word low = 0, high = n_tensor;
    while (high - low > 1) {
        word middle = (low + high) / 2;
        if (tensors.at[middle].first_block <= blockIdx.x) low = middle; else high = middle;
    }
    const AdamTensor& tensor = tensors.at[low];
    word i = (blockIdx.x - tensor.first_block) * blockDim.x + threadIdx.x;
    if (i >= tensor.n) return;
    float g = tensor.gradient[i] + tensor.decay * tensor.parameter[i];
    float m = keep1 * tensor.first[i] + take1 * g;
    float v = keep2 * tensor.second[i] + take2 * g * g;
    tensor.first[i] = m;
    tensor.second[i] = v;
    tensor.parameter[i] -= rate * m / (sqrtf(v * second_correction) + epsilon);
}
