// Ranges of rows or of columns, copied to matrices of their own.

// Same layout as `Table` and `ROOM` in block.rs; passed by value. Loops over it are unrolled, as an index
// known only when the kernel runs would need a copy in local memory.
constexpr word ROOM = 8;
struct Blocks {
    float* at[ROOM];
    word first[ROOM], n[ROOM];
};

// The place of an element of the whole matrix in block k, if it is there.
struct InBlock {
    bool exists;
    wide at;
};
__device__ __forceinline__ InBlock in_block(const Blocks& blocks, word k, word i, int of_rows, word n_column) {
    word row = i / n_column, column = i % n_column, place = (of_rows ? row : column) - blocks.first[k];
    wide at = of_rows ? (wide)place * n_column + column : (wide)row * blocks.n[k] + place;
    return {place < blocks.n[k], at};
}

extern "C" __global__ void copy_blocks(Blocks blocks, const float* x, word n_block, int of_rows, word n_column, word n) {
    word i = element();
    if (i >= n) return;
#pragma unroll
    for (word k = 0; k < ROOM; k++) {
        InBlock own = in_block(blocks, k, i, of_rows, n_column);
        if (k < n_block && own.exists) blocks.at[k][own.at] = x[i];
    }
}

// The gradient of the whole matrix: 0 outside of all blocks. Blocks without a gradient are null.
extern "C" __global__ void add_blocks(Blocks blocks, float* dx, int adds, word n_block, int of_rows, word n_column,
                                      word n) {
    word i = element();
    if (i >= n) return;
    float sum = 0.0f;
#pragma unroll
    for (word k = 0; k < ROOM; k++) {
        InBlock own = in_block(blocks, k, i, of_rows, n_column);
        if (k < n_block && own.exists && blocks.at[k]) sum += blocks.at[k][own.at];
    }
    sum_up(dx, i, adds, sum);
}
