//! The products of matrices in a step, from the shapes of a model's weights.

use anyhow::Context as _;
use batchlab_core::model::NamedTensor;
use batchlab_tensor::measure::Layout;
use serde::Serialize;

/// What the rows of a layer's input are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rows {
    Edges,
    Nodes,
    /// Three axes of each node.
    Axes,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    /// The parameter, and for a part of it which.
    pub name: String,
    pub rows: Rows,
    pub n_in: usize,
    pub n_out: usize,
    /// Incoming features that have a gradient; those of distances have none.
    pub n_in_gradient: usize,
}

/// `[m, k]` times `[k, n]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Product {
    /// Sizes m, k and n.
    pub size: [usize; 3],
    pub layout: Layout,
}

impl Product {
    /// Floating-point operations: a multiplication and an addition each.
    #[must_use]
    pub fn n_operation(&self) -> u64 {
        2 * self.size.iter().map(|&size| size as u64).product::<u64>()
    }
}

/// Gaussians that are not negligible for a distance: 1.35 angstrom to both sides at a spacing of
/// 0.1, beyond which they are below 1.3e-8, and 32 instead of 28 because instructions take 16.
const BAND: usize = 32;

/// The layers of a model. `savings` counts what the mathematics needs: a band of the Gaussians
/// instead of all, and parts that depend on one node once per node. Without it, every layer works on
/// all rows and columns that the model is written down with.
pub fn layers(
    model: &str,
    parameters: &[NamedTensor],
    savings: bool,
) -> anyhow::Result<Vec<Layer>> {
    let of_model = match model {
        "schnet" => schnet,
        "mpeu" => mpeu,
        "painn" => painn,
        _ => anyhow::bail!("the products of the model {model:?} are not known; see products.rs"),
    };
    let (mut all, mut latent) = (Vec::new(), 0);
    for NamedTensor { name, shape, .. } in parameters {
        let name = name.strip_prefix(super::tensors::PARAMETER).unwrap_or(name);
        // A bias is no matrix.
        let &[n_in, n_out] = &shape[..] else { continue };
        if name == "embedding.weight" {
            latent = n_out;
            continue;
        }
        let part: Vec<&str> =
            name.split('.').filter(|part| !matches!(*part, "interaction" | "weight")).collect();
        let found = of_model(&part, n_in, latent, savings);
        let found =
            found.with_context(|| format!("rows of the weight {name} of {model} are not known"))?;
        all.extend(found.into_iter().map(|(what, rows, n_in, n_in_gradient)| {
            let name = format!("{name}{what}");
            Layer { name, rows, n_in, n_out, n_in_gradient }
        }));
    }
    Ok(all)
}

/// Which part, rows, incoming features, and those of them with a gradient.
type Part = (&'static str, Rows, usize, usize);

fn schnet(name: &[&str], n_in: usize, _latent: usize, savings: bool) -> Option<Vec<Part>> {
    let sender = if savings { Rows::Nodes } else { Rows::Edges };
    Some(vec![match name {
        [_, "filter", "0"] => ("", Rows::Edges, gaussians(n_in, savings), 0),
        [_, "filter", _] => ("", Rows::Edges, n_in, n_in),
        [_, "sender"] => ("", sender, n_in, n_in),
        [_, "update", _] | ["readout", _] => ("", Rows::Nodes, n_in, n_in),
        _ => return None,
    }])
}

/// The first layer on edges takes the features of sender, receiver and edge; in the first
/// interaction the edge's are the Gaussians.
fn mpeu(name: &[&str], n_in: usize, latent: usize, savings: bool) -> Option<Vec<Part>> {
    let nodes = 2 * latent;
    let rows = if savings { Rows::Nodes } else { Rows::Edges };
    let one = |rows| vec![("", rows, n_in, n_in)];
    Some(match name {
        [step, "edge_update", "0"] => {
            let is_first = *step == "0";
            let edge = n_in.checked_sub(nodes)?;
            let edge_gradient = if is_first { 0 } else { edge };
            if savings {
                let edge = gaussians(edge, is_first);
                vec![
                    (", sender", rows, latent, latent),
                    (", receiver", rows, latent, latent),
                    (", edge", Rows::Edges, edge, edge_gradient),
                ]
            } else {
                vec![("", rows, n_in, nodes + edge_gradient)]
            }
        }
        [_, "edge_update" | "gate", _] => one(Rows::Edges),
        [_, "sender"] => one(rows),
        [_, "update", _] | ["readout", _] => one(Rows::Nodes),
        _ => return None,
    })
}

fn painn(name: &[&str], n_in: usize, _latent: usize, _savings: bool) -> Option<Vec<Part>> {
    Some(vec![match name {
        ["filter"] => ("", Rows::Edges, n_in, 0),
        [_, "mixing"] => ("", Rows::Axes, n_in, n_in),
        [_, "sender" | "gates", _] | ["readout", _] => ("", Rows::Nodes, n_in, n_in),
        _ => return None,
    }])
}

fn gaussians(n: usize, banded: bool) -> usize {
    if banded { n.min(BAND) } else { n }
}

impl Layer {
    /// The products of a step: forward, the weight's gradient, the input's gradient.
    #[must_use]
    pub fn products(&self, n_node: usize, n_edge: usize) -> Vec<Product> {
        let rows = match self.rows {
            Rows::Edges => n_edge,
            Rows::Nodes => n_node,
            Rows::Axes => 3 * n_node,
        };
        let &Self { n_in, n_out, n_in_gradient, .. } = self;
        let mut all = vec![
            Product { size: [rows, n_in, n_out], layout: Layout::Plain },
            Product { size: [n_in, rows, n_out], layout: Layout::FirstTransposed },
        ];
        if n_in_gradient > 0 {
            let size = [rows, n_out, n_in_gradient];
            all.push(Product { size, layout: Layout::SecondTransposed });
        }
        all
    }

    /// Bytes of single precision that this layer leaves behind for each edge, until its gradient is
    /// computed.
    #[must_use]
    pub fn kept_bytes_per_edge(&self) -> usize {
        if self.rows == Rows::Edges { 4 * self.n_out } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(names: &[(&str, [usize; 2])]) -> Vec<NamedTensor> {
        let tensor = |&(name, shape): &(&str, [usize; 2])| NamedTensor {
            name: format!("parameter.{name}"),
            shape: shape.to_vec(),
            data: Vec::new(),
        };
        names.iter().map(tensor).collect()
    }

    /// Operations per edge of a step.
    fn per_edge(model: &str, names: &[(&str, [usize; 2])], savings: bool) -> u64 {
        let layers = layers(model, &weights(names), savings).expect("a model that is known");
        layers.iter().flat_map(|layer| layer.products(0, 1)).map(|p| p.n_operation()).sum()
    }

    #[test]
    fn a_step_of_schnet_does_what_was_counted_by_hand() {
        let interaction = [
            ("embedding.weight", [5, 64]),
            ("interaction.0.filter.0.weight", [150, 64]),
            ("interaction.0.filter.1.weight", [64, 64]),
            ("interaction.0.sender.weight", [64, 64]),
            ("interaction.0.update.0.weight", [64, 64]),
            ("readout.0.weight", [64, 32]),
        ];
        // 150 x 64 twice (its input has no gradient), 64 x 64 three times for two layers.
        let plain = 2 * (2 * 150 * 64 + 2 * 3 * 64 * 64);
        assert_eq!(per_edge("schnet", &interaction, false), plain);
        let saved = 2 * (2 * 32 * 64 + 3 * 64 * 64);
        assert_eq!(per_edge("schnet", &interaction, true), saved);
    }

    #[test]
    fn a_step_of_mpeu_does_what_was_counted_by_hand() {
        let embedding = ("embedding.weight", [5, 64]);
        let first = [embedding, ("interaction.0.edge_update.0.weight", [278, 128])];
        assert_eq!(per_edge("mpeu", &first, false), 2 * 128 * (278 + 278 + 128));
        assert_eq!(per_edge("mpeu", &first, true), 2 * 128 * (32 + 32));
        let second = [embedding, ("interaction.1.edge_update.0.weight", [192, 128])];
        assert_eq!(per_edge("mpeu", &second, false), 2 * 128 * 3 * 192);
        assert_eq!(per_edge("mpeu", &second, true), 2 * 128 * 3 * 64);
    }

    #[test]
    fn a_weight_that_is_not_known_is_an_error() {
        let unknown = weights(&[("interaction.0.attention.weight", [64, 64])]);
        for model in ["schnet", "mpeu", "painn"] {
            let error = layers(model, &unknown, true).expect_err("unknown").to_string();
            assert!(error.contains("interaction.0.attention.weight"), "{error}");
        }
        assert!(layers("gcn", &unknown, true).is_err());
    }
}
