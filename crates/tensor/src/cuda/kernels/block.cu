// Some columns of some rows.

extern "C" __global__ void copy_block(float* out, const float* x, word n_column, word first_row, word first_column,
                                      word width, word n) {
    word i = element();
    if (i < n) out[i] = x[(wide)(first_row + i / width) * n_column + first_column + i % width];
}

// The first contribution to a gradient: 0 outside of the block.
extern "C" __global__ void put_block(float* dx, const float* dy, word n_column, word first_row, word first_column,
                                     word n_row_of_block, word width, word n) {
    word i = element();
    if (i >= n) return;
    word row = i / n_column - first_row, column = i % n_column - first_column;
    dx[i] = row < n_row_of_block && column < width ? dy[(wide)row * width + column] : 0.0f;
}

extern "C" __global__ void add_block(float* dx, const float* dy, word n_column, word first_row, word first_column,
                                     word width, word n) {
    word i = element();
    if (i < n) dx[(wide)(first_row + i / width) * n_column + first_column + i % width] += dy[i];
}
