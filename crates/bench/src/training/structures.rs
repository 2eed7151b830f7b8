//! The graphs that are trained on: molecules as they are, and crystals of real sizes.

use std::num::NonZeroU32;
use std::path::Path;

use batchlab_core::graphs::{GraphSize, ManyGraphs, NodeClass, Target, Topology};
use batchlab_core::random::{below, permutation, stream};
use batchlab_core::{Dataset as _, EdgeRule, Graphs, LoadContext, MemoryBudget};
use batchlab_neighbors::EdgeCollector;
use dataset_qm9::Qm9;
use dataset_sizes::Sizes;
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};

/// Where the graphs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Structures {
    /// 2,000 molecules of QM9, fully connected. Everything is real.
    Qm9,
    /// 1,000 crystals with real numbers of atoms (ICSD as AFLOW lists it), each atom connected to
    /// its 24 nearest. Cells, positions, elements and targets are drawn at random: 16 cubic angstrom
    /// per atom, no two closer than 1.8 angstrom.
    AflowSized,
}

/// Atoms of a crystal take this much room, in cubic angstrom.
const VOLUME_PER_ATOM: f64 = 16.0;
/// No two atoms of a crystal are closer, in angstrom.
const LEAST_DISTANCE: f64 = 1.8;
const N_CRYSTAL: usize = 1000;
const N_ELEMENT: u32 = 80;
const N_NEIGHBOUR: NonZeroU32 = NonZeroU32::new(24).expect("24 is not 0");
const SEED: u64 = 42;

impl Structures {
    /// Reads or makes the graphs, with standardised targets.
    pub fn load(self) -> anyhow::Result<Graphs> {
        let mut graphs = match self {
            Self::Qm9 => Qm9::default().load(&LoadContext::new())?,
            Self::AflowSized => crystals()?,
        };
        let members: Vec<u32> = (0..graphs.n_member() as u32).collect();
        if let Some(target) = &mut graphs.target {
            target.standardise(&members);
        }
        Ok(graphs)
    }
}

fn crystals() -> anyhow::Result<Graphs> {
    let n_atom = sizes_of_crystals()?;
    let mut rng = stream(SEED, "crystals", 0);
    let mut edges = EdgeCollector::new(EdgeRule::Nearest(N_NEIGHBOUR), &MemoryBudget::default());
    for &n in &n_atom {
        let side = (VOLUME_PER_ATOM * f64::from(n)).cbrt();
        let cell = [[side, 0.0, 0.0], [0.0, side, 0.0], [0.0, 0.0, side]];
        edges.push(&positions(&mut rng, n, side), Some(&cell))?;
    }
    let many = ManyGraphs::new(&n_atom, edges.finish()?)?;
    let n_node = n_atom.iter().sum::<u32>();
    let class = (0..n_node).map(|_| below(&mut rng, u64::from(N_ELEMENT)) as u32).collect();
    let target = n_atom.iter().map(|_| uniform(&mut rng)).collect();
    let mut graphs = Graphs::new("AFLOW-sized crystals", Topology::Many(many))?;
    let name = (0..N_ELEMENT).map(|element| format!("element {element}")).collect();
    graphs.node_class = Some(NodeClass { value: class, name });
    graphs.target = Some(Target::regression("drawn at random", None, target));
    graphs.check()?;
    Ok(graphs)
}

fn sizes_of_crystals() -> anyhow::Result<Vec<u32>> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let ctx = LoadContext { search: vec![workspace], ..LoadContext::new() };
    let sizes = Sizes { path: "data/aflow_icsd_sizes.csv.xz".into(), limit: None }.load(&ctx)?;
    let Topology::Many(many) = &sizes.topology else { anyhow::bail!("crystals are many graphs") };
    let chosen = permutation(SEED, "which crystals", 0, many.n_graph());
    let size = |&graph: &u32| many.size(graph as usize);
    Ok(chosen[..N_CRYSTAL].iter().map(size).map(|GraphSize { n_node, .. }| n_node).collect())
}

/// Positions in a cube whose images fill space, drawn again where two atoms are too close.
fn positions(rng: &mut impl Rng, n_atom: u32, side: f64) -> Vec<[f64; 3]> {
    let mut all: Vec<[f64; 3]> = Vec::with_capacity(n_atom as usize);
    while all.len() < n_atom as usize {
        let new = [(); 3].map(|()| uniform(rng) * side);
        let is_far = |old: &[f64; 3]| {
            let square: f64 = new.iter().zip(old).map(|(a, b)| image_distance(a - b, side)).sum();
            square >= LEAST_DISTANCE * LEAST_DISTANCE
        };
        if all.iter().all(is_far) {
            all.push(new);
        }
    }
    all
}

/// The square of the distance to the nearest image along one axis.
fn image_distance(difference: f64, side: f64) -> f64 {
    let nearest = difference - side * (difference / side).round();
    nearest * nearest
}

fn uniform(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use batchlab_core::graphs::Edges;

    use super::*;

    #[test]
    fn crystals_have_real_sizes_and_24_neighbours_at_distances_of_crystals() {
        let graphs = Structures::AflowSized.load().expect("the sizes that come with the code");
        let Topology::Many(many) = &graphs.topology else { panic!("many graphs") };
        let sizes: Vec<GraphSize> = (0..many.n_graph()).map(|graph| many.size(graph)).collect();
        assert_eq!(sizes.len(), N_CRYSTAL);
        assert!(sizes.iter().all(|size| size.n_edge == 24 * size.n_node));
        // All 9,255 have a mean of 19.08 and a deviation of 15.5; the mean of 1,000 scatters by 0.5.
        let mean = sizes.iter().map(|size| f64::from(size.n_node)).sum::<f64>() / 1000.0;
        assert!((mean - 19.08).abs() < 2.0, "{mean}");
        assert!(matches!(many.edges(), Edges::Stored(_)));
        assert!(graphs.fields().distance && graphs.fields().displacement);
    }

    #[test]
    fn no_two_atoms_are_close() {
        let side = (VOLUME_PER_ATOM * 30.0_f64).cbrt();
        let all = positions(&mut stream(1, "test", 0), 30, side);
        for (i, a) in all.iter().enumerate() {
            for b in &all[..i] {
                let square: f64 = a.iter().zip(b).map(|(a, b)| image_distance(a - b, side)).sum();
                assert!(square.sqrt() >= LEAST_DISTANCE, "{a:?} {b:?}");
            }
        }
    }
}
