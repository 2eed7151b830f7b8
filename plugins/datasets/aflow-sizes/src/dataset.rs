//! The plugin: from a configuration to columnar storage.

use std::num::{NonZeroU32, NonZeroUsize};

use batchlab_core::graphs::Target;
use batchlab_core::{Dataset, DatasetError, EdgeRule, Graphs, Level, LoadContext, Provides};
use batchlab_neighbors::{NeighborError, StructureCollector, estimated_bytes};
use batchlab_structures::element_name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crystal::Crystal;
use crate::{CUTOFF, formulas, target};

/// Synthetic crystals with the real compositions and volumes of 9,255 ICSD crystals listed by
/// AFLOW.
///
/// Real: the elements, the number of atoms of each in a crystal (2 to 144), and the volume of its
/// cell. Synthetic: atom positions (random, with a minimum distance), the shape of the cell
/// (rectangular) and the target (a smooth function of the distances). With nearest neighbours as
/// edges, graph sizes, and thus everything that batching and timing depend on, are those of the
/// real crystals. Model errors say nothing about materials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AflowSizes {
    /// Which atoms to connect: `{ nearest = 12 }` or `{ radius = 5.0 }` (angstrom), across all
    /// periodic images. Only with nearest neighbours are the sizes real.
    pub edges: EdgeRule,
    /// Seed of the atom positions. Every crystal has its own random numbers, so `limit` does not
    /// change any of them.
    pub seed: u64,
    /// Keep only the first crystals. The list is sorted by the band gaps of the real crystals, so
    /// this is not a random sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<NonZeroUsize>,
}

impl Default for AflowSizes {
    fn default() -> Self {
        const TWELVE: NonZeroU32 = NonZeroU32::new(12).expect("12 is not 0");
        Self { edges: EdgeRule::Nearest(TWELVE), seed: 0, limit: None }
    }
}

batchlab_core::register!(Dataset, AflowSizes, example = AflowSizes::default());

#[typetag::serde(name = "aflow-sizes")]
impl Dataset for AflowSizes {
    fn provides(&self) -> Provides {
        let fields = StructureCollector::fields();
        Provides { level: Level::Graphs, fields, target: true }
    }

    fn source_keys(&self) -> &'static [&'static str] {
        &["seed", "limit"]
    }

    fn check(&self) -> Result<(), DatasetError> {
        if self.edges == EdgeRule::FullyConnected {
            return Err(DatasetError::other(NeighborError::Endless));
        }
        Ok(())
    }

    fn load(&self, ctx: &LoadContext) -> Result<Graphs, DatasetError> {
        let formulas = formulas::list(self.limit.map_or(usize::MAX, NonZeroUsize::get))?;
        // The sizes are known in advance.
        let n_byte = formulas.iter().fold(0_u64, |sum, formula| {
            let n_atom = formula.atomic_number.len();
            sum.saturating_add(estimated_bytes(self.edges, n_atom, formula.volume))
        });
        let what = format!("the edges of {} crystals", formulas.len());
        let over = |over| DatasetError::other(NeighborError::Memory(over));
        ctx.memory.take(n_byte, &what).map_err(over)?;
        ctx.memory.give_back(n_byte);
        ctx.progress.start("making crystals", Some(formulas.len() as u64));
        let cutoff = CUTOFF.try_into().map(EdgeRule::Radius).map_err(DatasetError::Inconsistent)?;
        let mut structures = StructureCollector::new(self.edges, &ctx.memory);
        let mut value = Vec::with_capacity(formulas.len());
        for (index, formula) in formulas.iter().enumerate() {
            let crystal = Crystal::new(formula, self.seed, index);
            let (atoms, places, cell) = (&formula.atomic_number, &crystal.position, crystal.cell());
            structures.push(atoms, places, Some(&cell)).map_err(DatasetError::other)?;
            value.push(target::value(atoms, places, &cell, cutoff).map_err(DatasetError::other)?);
            ctx.progress.advance(1);
        }
        ctx.progress.finish();
        let mut graphs = structures.finish("aflow-sizes", element_name)?;
        graphs.notes.insert(0, ("synthetic crystals".to_owned(), value.len() as u64));
        graphs.target = Some(Target::regression("synthetic pair sum", None, value));
        graphs.check()?;
        Ok(graphs)
    }
}

#[cfg(test)]
mod tests {
    use batchlab_core::View;
    use batchlab_core::registry::{Kind, find};

    use super::*;

    fn load(limit: usize, seed: u64) -> Graphs {
        let sizes = AflowSizes { limit: NonZeroUsize::new(limit), seed, ..AflowSizes::default() };
        sizes.load(&LoadContext::new()).expect("crystals")
    }

    #[test]
    fn sizes_are_those_of_the_list_and_the_target_has_a_scale() {
        let graphs = load(500, 0);
        let members: Vec<u32> = (0..500).collect();
        let View::ManyGraphs(sizes) = graphs.view(&members) else { panic!("many graphs") };
        let formulas = formulas::list(500).expect("the list");
        for (size, formula) in sizes.iter().zip(&formulas) {
            assert_eq!(size.n_node as usize, formula.atomic_number.len());
            assert_eq!(size.n_edge, 12 * size.n_node);
        }
        let class = graphs.node_class.as_ref().expect("elements");
        assert_eq!(&class.name[..4], ["Bi", "Cu", "O", "Se"]);
        let value = &graphs.target.as_ref().expect("a target").value;
        let mean = value.iter().sum::<f64>() / 500.0;
        let deviation = (value.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 500.0).sqrt();
        assert!(mean > 0.5 && deviation > 0.1 * mean && deviation < mean, "{mean} {deviation}");
        assert_eq!(graphs.fields(), AflowSizes::default().provides().fields);
    }

    #[test]
    fn a_seed_decides_everything_and_a_limit_changes_nothing() {
        assert_eq!(load(20, 0).content_hash(), load(20, 0).content_hash());
        assert_ne!(load(20, 0).content_hash(), load(20, 1).content_hash());
        let (few, many) = (load(5, 0), load(20, 0));
        let position = few.position.expect("positions");
        assert_eq!(position, many.position.expect("positions")[..position.len()]);
    }

    #[test]
    fn the_configuration_is_read_strictly_and_described() {
        let parse = |text: &str| toml::from_str::<AflowSizes>(text);
        assert_eq!(parse("").expect("defaults"), AflowSizes::default());
        assert_eq!(parse("seed = 7\nedges = { nearest = 24 }").expect("options").seed, 7);
        assert!(parse("target = \"Egap\"").is_err() && parse("limit = 0").is_err());
        let full = AflowSizes { edges: EdgeRule::FullyConnected, ..AflowSizes::default() };
        assert!(full.check().is_err());
        let registration = find(Kind::Dataset, "aflow-sizes").expect("registered");
        assert!(registration.summary().starts_with("Synthetic"), "{}", registration.summary());
        let schema = (registration.schema)();
        for (field, schema) in schema["properties"].as_object().expect("fields") {
            assert!(schema["description"].is_string(), "{field}");
        }
    }
}
