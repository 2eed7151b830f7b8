//! Lengths, directions, cutoffs and expansions of edges; scalars and vectors of nodes.

use dfdx::prelude::*;

use super::error::Error;
use super::kernels::Kernels;
use super::module::{arguments, count, memory};
use super::{Buffer, Dense};
use crate::GaussianBasis;

type Result<T> = std::result::Result<T, Error>;

impl Kernels<'_> {
    pub(crate) fn edge_geometry(&self, displacement: &Dense, epsilon: f32) -> Result<[Dense; 2]> {
        let n_edge = displacement.shape().0;
        let [distance, direction] = [self.matrix([n_edge, 1])?, self.matrix([n_edge, 3])?];
        let arguments = arguments![&distance, &direction, displacement, epsilon];
        self.each("edge_geometry", n_edge, arguments)?;
        Ok([distance, direction])
    }

    pub(crate) fn cosine_cutoff(&self, distance: &Dense, cutoff: f32) -> Result<Dense> {
        let n_edge = distance.shape().0;
        let out = self.matrix([n_edge, 1])?;
        self.each("cosine_cutoff", n_edge, arguments![&out, distance, cutoff])?;
        Ok(out)
    }

    pub(crate) fn gaussians(&self, distance: &Dense, basis: &GaussianBasis) -> Result<Dense> {
        let n_edge = distance.shape().0;
        let &GaussianBasis { n, first, spacing, coefficient } = basis;
        let out = self.matrix([n_edge, n])?;
        let width = count("columns", n)?;
        let arguments = arguments![&out, distance, first, spacing, coefficient, width];
        self.each("gaussians", n_edge * n, arguments)?;
        Ok(out)
    }

    pub(crate) fn norms_beside(&self, s: &Dense, mixed: &Dense, epsilon: f32) -> Result<Dense> {
        let &(n_node, width) = s.shape();
        let out = self.matrix([n_node, 2 * width])?;
        let arguments = arguments![&out, s, mixed, epsilon, count("columns", width)?];
        self.each("norms_beside", n_node * width, arguments)?;
        Ok(out)
    }

    pub(crate) fn norms_beside_backward(
        &self,
        ds: Option<&mut Buffer>,
        dmixed: Option<&mut Buffer>,
        dy: &Buffer,
        mixed: &Dense,
        output: &Dense,
    ) -> Result<()> {
        let (n_node, width) = (output.shape().0, mixed.shape().1 / 2);
        let columns = count("columns", width)?;
        let [ds, adds_ds] = self.sum_if(ds, n_node * width).arguments();
        let [dmixed, adds_dmixed] = self.sum_if(dmixed, 6 * n_node * width).arguments();
        let arguments =
            arguments![ds, dmixed, memory(dy), mixed, output, adds_ds, adds_dmixed, columns];
        self.each("norms_beside_backward", n_node * width, arguments)
    }

    pub(crate) fn add_received(
        &self,
        [s, v]: [&Dense; 2],
        received: &Dense,
        limit: f32,
    ) -> Result<[Dense; 2]> {
        let &(n_node, width) = s.shape();
        let out = [self.matrix([n_node, width])?, self.matrix([3 * n_node, width])?];
        let columns = count("columns", width)?;
        let arguments = arguments![&out[0], &out[1], s, v, received, limit, columns];
        self.each("add_received", n_node * width, arguments)?;
        Ok(out)
    }

    pub(crate) fn add_received_backward(
        &self,
        dreceived: &mut Buffer,
        [ds, dv]: [&Buffer; 2],
        received: &Dense,
        limit: f32,
    ) -> Result<()> {
        let (n_node, width) = (received.shape().0, received.shape().1 / 4);
        let columns = count("columns", width)?;
        let [dreceived, adds] = self.sum(dreceived, 4 * n_node * width).arguments();
        let arguments =
            arguments![dreceived, memory(ds), memory(dv), received, limit, adds, columns];
        self.each("add_received_backward", n_node * width, arguments)
    }

    pub(crate) fn equivariant_update(
        &self,
        [s, v]: [&Dense; 2],
        gates: &Dense,
        mixed: &Dense,
        limit: f32,
    ) -> Result<[Dense; 2]> {
        let &(n_node, width) = s.shape();
        let out = [self.matrix([n_node, width])?, self.matrix([3 * n_node, width])?];
        let columns = count("columns", width)?;
        let arguments = arguments![&out[0], &out[1], s, v, gates, mixed, limit, columns];
        self.each("equivariant_update", n_node * width, arguments)?;
        Ok(out)
    }

    pub(crate) fn equivariant_update_backward(
        &self,
        dgates: Option<&mut Buffer>,
        dmixed: Option<&mut Buffer>,
        [ds, dv]: [&Buffer; 2],
        gates: &Dense,
        mixed: &Dense,
        limit: f32,
    ) -> Result<()> {
        let (n_node, width) = (gates.shape().0, mixed.shape().1 / 2);
        let columns = count("columns", width)?;
        let [dgates, adds_dgates] = self.sum_if(dgates, 3 * n_node * width).arguments();
        let [dmixed, adds_dmixed] = self.sum_if(dmixed, 6 * n_node * width).arguments();
        let (ds, dv) = (memory(ds), memory(dv));
        let given = arguments![dgates, dmixed, ds, dv, gates, mixed, limit];
        let arguments = [given.as_slice(), &[adds_dgates, adds_dmixed, columns.into()]].concat();
        self.each("equivariant_update_backward", n_node * width, &arguments)
    }
}
