//! Lengths, directions, cutoffs and expansions of edges.

use batchlab_core::ModelError;

use crate::backend::kernels;
use crate::matrix::engine;
use crate::{Backend, Dense, Matrix, Pass};

/// Length, direction and cutoff of every edge. No gradient flows back to positions.
#[derive(Debug, Clone)]
pub struct EdgeGeometry<D: Backend> {
    /// In angstrom, `[n_edge, 1]`.
    pub distance: Matrix<D>,
    /// Unit vector, or 0 for an edge without length such as padding, `[n_edge, 3]`.
    pub direction: Matrix<D>,
    /// [`cosine_cutoff`](Pass::cosine_cutoff) of the distance, `[n_edge, 1]`.
    pub cutoff: Matrix<D>,
}

/// Gaussians with equally spaced centres: `exp(-coefficient (d - first - k spacing)^2)` for k below
/// `n`, all lengths in angstrom.
///
/// Values below 1e-12 are flushed to 0: they do not change a sum of numbers near 1, and arithmetic
/// with denormal products would be many times slower.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GaussianBasis {
    /// Number of Gaussians.
    pub n: usize,
    /// Centre of the first.
    pub first: f32,
    /// Distance between two centres.
    pub spacing: f32,
    /// 1 / (2 sigma^2), per square angstrom.
    pub coefficient: f32,
}

impl<D: Backend> Pass<'_, D> {
    /// Splits displacements d `[n_edge, 3]`, in angstrom, into distances `r = sqrt(|d|^2 +
    /// epsilon)` and directions `d / (r + epsilon)`.
    pub fn edge_geometry(
        &mut self,
        displacement: &Matrix<D>,
        epsilon: f32,
        cutoff: f32,
    ) -> Result<EdgeGeometry<D>, ModelError> {
        assert_eq!(displacement.n_column(), 3, "displacements in space");
        let split = self.device().edge_geometry(displacement.tensor(), epsilon).map_err(engine)?;
        let [distance, direction] = split.map(|tensor| Matrix::from_kernel(tensor, false));
        let cutoff = self.cosine_cutoff(&distance, cutoff)?;
        Ok(EdgeGeometry { distance, direction, cutoff })
    }

    /// A factor that decreases smoothly from 1 at distance 0 to 0 at `cutoff` and beyond, `(cos(pi
    /// d / cutoff) + 1) / 2` (Behler and Parrinello 2007, equation 4), `[n_edge, 1]`. All lengths
    /// in angstrom.
    pub fn cosine_cutoff(
        &mut self,
        distance: &Matrix<D>,
        cutoff: f32,
    ) -> Result<Matrix<D>, ModelError> {
        assert_eq!(distance.n_column(), 1, "one distance per edge");
        let result = self.device().cosine_cutoff(distance.tensor(), cutoff).map_err(engine)?;
        Ok(Matrix::from_kernel(result, false))
    }

    /// Expands distances `[n_edge, 1]` in Gaussians, `[n_edge, n]`. The distances get no gradient.
    pub fn gaussians(
        &mut self,
        distance: &Matrix<D>,
        basis: &GaussianBasis,
    ) -> Result<Matrix<D>, ModelError> {
        assert_eq!(distance.n_column(), 1, "one distance per edge");
        let result = self.device().gaussians(distance.tensor(), basis).map_err(engine)?;
        Ok(Matrix::from_kernel(result, false))
    }
}

kernels! {
    /// Kernels of distances.
    pub trait GeometryKernels;

    /// Displacements d `[n_edge, 3]` to distances `r = sqrt(|d|^2 + epsilon)` `[n_edge, 1]` and
    /// directions `d / (r + epsilon)` `[n_edge, 3]`.
    fn edge_geometry(displacement: &Dense<Self>, epsilon: f32) -> [Dense<Self>; 2];
    /// `(cos(pi d / cutoff) + 1) / 2` below the cutoff, else 0, of distances d `[n_edge, 1]`.
    fn cosine_cutoff(distance: &Dense<Self>, cutoff: f32) -> Dense<Self>;
    /// Distances `[n_edge, 1]` to Gaussians `[n_edge, n]`.
    fn gaussians(distance: &Dense<Self>, basis: &GaussianBasis) -> Dense<Self>;
}
