// Losses over outputs, in double precision: each block computes a sum, and one block adds these up.

const word LOSS_THREADS = 256;

// Tree reduction over the threads of the block; the sum is stored at the block's index.
__device__ __forceinline__ void total_of_block(double* total, double own) {
    __shared__ double sums[LOSS_THREADS];
    sums[threadIdx.x] = own;
    for (word step = LOSS_THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step) sums[threadIdx.x] += sums[threadIdx.x + step];
    }
    if (threadIdx.x == 0) total[blockIdx.x] = sums[0];
}

// Sets the n numbers of `unit` to 0, if this is the only block; several blocks are given zeros.
__device__ __forceinline__ void clear(float* unit, word n) {
    if (gridDim.x > 1) return;
    for (word i = threadIdx.x; i < n; i += LOSS_THREADS) unit[i] = 0.0f;
    __syncthreads();
}

// Squared (0) or absolute (1) errors. `unit` [n_row, width] receives the gradient of their mean.
// Outputs with weight 0 are skipped, not multiplied by 0: they may contain NaN.
extern "C" __global__ void regression_loss(double* total, float* unit, const float* prediction, const word* rows,
                                           const float* targets, const float* weights, const double* weight_sum,
                                           int absolute, word n_unit, word width, word n) {
    clear(unit, n_unit);
    double sum = 0.0;
    word i = element();
    double weight = i < n ? weights[i] : 0.0;
    if (weight > 0.0) {
        wide at = (wide)rows[i] * width;
        double error = (double)prediction[at] - (double)targets[i];
        double slope = absolute ? (error == 0.0 ? 0.0 : error > 0.0 ? 1.0 : error < 0.0 ? -1.0 : error) : 2.0 * error;
        unit[at] = (float)(weight / *weight_sum * slope);
        sum += weight * (absolute ? fabs(error) : error * error);
    }
    total_of_block(total, sum);
}

// Negative log softmax of the target class.
extern "C" __global__ void cross_entropy_loss(double* total, float* unit, const float* prediction, const word* rows,
                                              const float* targets, const float* weights, const double* weight_sum,
                                              word n_unit, word width, word n) {
    clear(unit, n_unit);
    double sum = 0.0;
    word i = element();
    double weight = i < n ? weights[i] : 0.0;
    if (weight > 0.0) {
        const float* logits = prediction + (wide)rows[i] * width;
        float* d = unit + (wide)rows[i] * width;
        word target = (word)targets[i];
        float largest = logits[0];
        for (word k = 1; k < width; k++) largest = fmaxf(largest, logits[k]);
        double normaliser = 0.0;
        for (word k = 0; k < width; k++) normaliser += exp((double)logits[k] - (double)largest);
        for (word k = 0; k < width; k++) {
            double share = exp((double)logits[k] - (double)largest) / normaliser;
            d[k] = (float)(weight / *weight_sum * (share - (k == target ? 1.0 : 0.0)));
        }
        sum += weight * (log(normaliser) + (double)largest - (double)logits[target]);
    }
    total_of_block(total, sum);
}

// The sum over all blocks, computed by one block.
extern "C" __global__ void add_up_losses(double* total, const double* sums, word n) {
    double sum = 0.0;
    for (word i = threadIdx.x; i < n; i += LOSS_THREADS) sum += sums[i];
    total_of_block(total, sum);
}
