//! Hash of the content of a data set.

use sha2::{Digest, Sha256};

use super::{Edges, Graphs, NodeFeature, Topology};
use crate::hash::hexadecimal;

impl Graphs {
    /// SHA-256 over everything that training can see, in hexadecimal. The same data give the same
    /// hash regardless of the source file (on little-endian machines, the only ones supported).
    #[must_use]
    pub fn content_hash(&self) -> String {
        let mut hasher = Sha256::new();
        let mut add = |name: &str, bytes: &[u8]| {
            hasher.update(name.as_bytes());
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        match &self.topology {
            Topology::Many(many) => {
                add("node offset", &offset_bytes(&many.node_offset));
                match many.edges() {
                    Edges::Counted(n_edge) => add("edges counted", bytemuck::cast_slice(n_edge)),
                    Edges::FullyConnected => add("edges fully connected", &[]),
                    Edges::Stored(stored) => {
                        add("edge offset", &offset_bytes(&stored.offset));
                        add("sender", bytemuck::cast_slice(&stored.sender));
                        add("receiver", bytemuck::cast_slice(&stored.receiver));
                        add("distance", bytemuck::cast_slice(&stored.distance));
                        add("displacement", bytemuck::cast_slice(&stored.displacement));
                    }
                }
            }
            Topology::One(one) => {
                add("offset", &offset_bytes(&one.offset));
                add("sender", bytemuck::cast_slice(&one.sender));
                add("edge weight", bytemuck::cast_slice(&one.edge_weight));
            }
        }
        if let Some(class) = &self.node_class {
            add("node class", bytemuck::cast_slice(&class.value));
            add("node class names", class.name.join("\0").as_bytes());
        }
        if let Some(feature) = &self.node_feature {
            add("node feature width", &offset_bytes(&[feature.width()]));
            if let NodeFeature::Sparse { offset, column, .. } = feature {
                add("node feature offset", &offset_bytes(offset));
                add("node feature column", bytemuck::cast_slice(column));
            }
            add("node feature", bytemuck::cast_slice(feature.value()));
        }
        if let Some(position) = &self.position {
            add("position", bytemuck::cast_slice(position));
        }
        if let Some(target) = &self.target {
            add("target", format!("{} {:?}", target.name, target.kind).as_bytes());
            add("target value", bytemuck::cast_slice(&target.value));
        }
        for field in &self.own {
            add("own field", format!("{:?}", field.shape()).as_bytes());
            add("own field value", field.bytes());
        }
        if let Some(split) = &self.split {
            add("train", bytemuck::cast_slice(&split.train));
            add("validation", bytemuck::cast_slice(&split.validation));
            add("test", bytemuck::cast_slice(&split.test));
        }
        hexadecimal(&hasher.finalize())
    }
}

fn offset_bytes(offset: &[usize]) -> Vec<u8> {
    offset.iter().flat_map(|&value| (value as u64).to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::graphs::{ManyGraphs, OwnField, Per};

    #[test]
    fn the_hash_sees_every_value() {
        let graphs = |position: f32| {
            let many = ManyGraphs::new(&[1, 1], Edges::FullyConnected).unwrap();
            let mut graphs = Graphs::new("test", Topology::Many(many)).unwrap();
            graphs.position = Some(vec![[0.0; 3], [0.0, position, 0.0]]);
            graphs.content_hash()
        };
        assert_eq!(graphs(1.0), graphs(1.0));
        assert_ne!(graphs(1.0), graphs(1.1));
    }

    #[test]
    fn the_hash_sees_own_fields() {
        let graphs = |name: &str, charge: f32| {
            let many = ManyGraphs::new(&[1, 1], Edges::FullyConnected).unwrap();
            let mut graphs = Graphs::new("test", Topology::Many(many)).unwrap();
            graphs.own = vec![OwnField::new(name, Per::Node, 1, &[0.0, charge])];
            graphs.content_hash()
        };
        assert_eq!(graphs("charge", 1.0), graphs("charge", 1.0));
        assert_ne!(graphs("charge", 1.0), graphs("charge", 1.1));
        assert_ne!(graphs("charge", 1.0), graphs("mass", 1.0));
    }
}
