//! Linear layers: products by cuBLAS, bias and activation by a kernel.

use std::ffi::{c_int, c_void};
use std::sync::PoisonError;

use batchlab_core::model::Precision;
use cudarc::cublas::{
    result,
    sys::{
        cublasComputeType_t as Arithmetic, cublasGemmAlgo_t::CUBLAS_GEMM_DFALT,
        cublasOperation_t as Operation, cudaDataType_t::CUDA_R_32F,
    },
};
use dfdx::prelude::*;

use super::error::Error;
use super::gradient::Sum;
use super::kernels::Kernels;
use super::module::{Argument, Launch, arguments, count, memory};
use super::{Buffer, Dense, words};
use crate::Activation;
use crate::backend::{LinearLayer, LinearOutput};

type Result<T> = std::result::Result<T, Error>;

/// Rows per partial sum of a bias gradient: ROWS in `kernels/activation.cu`.
pub(super) const ROWS: usize = 32;

/// A row-major factor of a product.
#[derive(Clone, Copy)]
struct Factor {
    place: Argument,
    /// As stored in memory.
    n_column: usize,
    transposed: bool,
}

impl Kernels<'_> {
    pub(crate) fn linear(
        &self,
        layer: &LinearLayer<'_, Cuda>,
        keep_sum: bool,
    ) -> Result<LinearOutput<Cuda>> {
        let &(n_row, n_in) = layer.input.shape();
        let n_out = layer.weight.shape().1;
        let output = self.matrix([n_row, n_out])?;
        let sum = keep_sum.then(|| self.matrix([n_row, n_out])).transpose()?;
        let input = Factor { place: layer.input.into(), n_column: n_in, transposed: false };
        let weight = Factor { place: layer.weight.into(), n_column: n_out, transposed: false };
        let shape = [n_row, n_in, n_out];
        self.product(Sum::first(&output), input, weight, shape, layer.precision)?;
        if layer.bias.is_some() || sum.is_some() || layer.activation != Activation::Identity {
            let arguments = arguments![
                &output,
                sum.as_ref(),
                layer.bias,
                code(layer.activation),
                count("columns", n_out)?
            ];
            self.each("finish_layer", n_row * n_out, arguments)?;
        }
        Ok((output, sum))
    }

    #[allow(clippy::too_many_arguments, reason = "kernels take arrays, not objects")]
    pub(crate) fn linear_backward(
        &self,
        dx: Option<&mut Buffer>,
        dweight: &mut Buffer,
        dbias: Option<&mut Buffer>,
        dy: &mut Buffer,
        layer: &LinearLayer<'_, Cuda>,
        from: &Dense,
    ) -> Result<()> {
        let &(n_row, n_in) = layer.input.shape();
        let n_out = layer.weight.shape().1;
        if dbias.is_some() || layer.activation != Activation::Identity {
            let n_group = n_row.div_ceil(ROWS);
            let n = n_group * n_out;
            let partial = dbias.is_some().then(|| self.unwritten(n)).transpose()?;
            let place = partial.as_ref().map_or(Argument::Pointer(0), Argument::from);
            let columns = count("columns", n_out)?;
            let activation = code(layer.activation);
            let arguments =
                arguments![memory(dy), place, from, activation, columns, count("rows", n_row)?];
            self.each("layer_backward", n, arguments)?;
            if let Some(dbias) = dbias {
                self.column_sums(self.sum(dbias, n_out), place, [n_group, n_out])?;
            }
        }
        let plain = |place, n_column| Factor { place, n_column, transposed: false };
        let turned = |place, n_column| Factor { place, n_column, transposed: true };
        let (input, weight) = (layer.input.into(), layer.weight.into());
        let change = plain(memory(dy), n_out);
        let (precision, shape) = (layer.precision, [n_in, n_row, n_out]);
        let dweight = self.sum(dweight, n_in * n_out);
        self.product(dweight, turned(input, n_in), change, shape, precision)?;
        if let Some(dx) = dx {
            let dx = self.sum(dx, n_row * n_in);
            let shape = [n_row, n_out, n_in];
            self.product(dx, change, turned(weight, n_out), shape, precision)?;
        }
        Ok(())
    }

    /// The columnwise sums `out` `[n_column]` of `x` `[n_row, n_column]`.
    pub(super) fn column_sums(
        &self,
        out: Sum,
        x: Argument,
        [n_row, n_column]: [usize; 2],
    ) -> Result<()> {
        let columns = count("columns", n_column)?;
        let launch = Launch { blocks: [columns.div_ceil(32), 1], threads: 256, shared: 0 };
        let [out, adds] = out.arguments();
        let arguments = arguments![out, x, adds, count("rows", n_row)?, columns];
        self.launch("column_sums", launch, arguments)
    }

    /// `out = a b`, or `out += a b`, for `out` `[m, n]`, a `[m, k]` and b `[k, n]` after
    /// transposition.
    ///
    /// cuBLAS is column-major: it sees row-major matrices as transposed, and the product as `out^T
    /// = b^T a^T`.
    #[allow(unsafe_code, reason = "cuBLAS takes addresses")]
    fn product(
        &self,
        out: Sum,
        a: Factor,
        b: Factor,
        [m, k, n]: [usize; 3],
        precision: Precision,
    ) -> Result<()> {
        let Sum { place, adds } = out;
        if m == 0 || k == 0 || n == 0 {
            let n = if adds { 0 } else { m * n };
            return words::fill(self.gpu, place.address(), 0.0, n);
        }
        let size = |what, n| count(what, n).map(u32::cast_signed);
        let [m, k, n]: [c_int; 3] = [size("rows", m)?, size("columns", k)?, size("columns", n)?];
        let operation = |factor: Factor| {
            if factor.transposed { Operation::CUBLAS_OP_T } else { Operation::CUBLAS_OP_N }
        };
        let step = |factor: Factor| size("columns", factor.n_column);
        let arithmetic = match precision {
            Precision::F32 => Arithmetic::CUBLAS_COMPUTE_32F,
            Precision::Tf32 => Arithmetic::CUBLAS_COMPUTE_32F_FAST_TF32,
            Precision::Bf16 => Arithmetic::CUBLAS_COMPUTE_32F_FAST_16BF,
        };
        let blas = self.gpu.blas.lock().unwrap_or_else(PoisonError::into_inner);
        self.gpu.bind()?;
        // SAFETY: the callers' matrices have these shapes; both numbers are read before the call
        // returns, the matrices in stream order.
        unsafe {
            result::gemm_ex(
                blas.handle(),
                operation(b),
                operation(a),
                n,
                m,
                k,
                (&raw const ONE).cast(),
                b.place.address() as *const c_void,
                CUDA_R_32F,
                step(b)?,
                a.place.address() as *const c_void,
                CUDA_R_32F,
                step(a)?,
                if adds { &raw const ONE } else { &raw const ZERO }.cast(),
                place.address() as *mut c_void,
                CUDA_R_32F,
                n,
                arithmetic,
                CUBLAS_GEMM_DFALT,
            )
        }
        .map_err(Error::blas("multiply two matrices"))
    }
}

static ONE: f32 = 1.0;
static ZERO: f32 = 0.0;

/// As in `kernels/activation.cu`.
pub(super) fn code(activation: Activation) -> i32 {
    match activation {
        Activation::Identity => 0,
        Activation::ShiftedSoftplus => 1,
        Activation::Silu => 2,
        Activation::Relu => 3,
        Activation::Elu => 4,
        Activation::LeakyRelu => 5,
    }
}
