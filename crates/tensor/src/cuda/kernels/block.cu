// Some columns of some rows.

extern "C" __global__ void copy_block(float* out, const float* x, word n_column, word first_row, word first_column,
                                      word width, word n) {
    word i = element();
    if (i < n) out[i] = x[(wide)(first_row + i / width) * n_column + first_column + i % width];
}

extern "C" __global__ void add_block(float* dx, const float* dy, word n_column, word first_row, word first_column,
                                     word width, word n) {
    word i = element();
    if (i < n) dx[(wide)(first_row + i / width) * n_column + first_column + i % width] += dy[i];
}
