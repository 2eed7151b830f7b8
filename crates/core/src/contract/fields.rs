//! The optional fields of a batch.

use crate::quote::shown;

/// Optional fields of a [`PaddedBatch`](crate::PaddedBatch), either requested or available.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "a set of independent fields, each named where it is asked for"
)]
pub struct BatchFields {
    /// `node_class`.
    pub node_class: bool,
    /// `node_feature`.
    pub node_feature: bool,
    /// With `node_feature`: accept `feature_offset`, `feature_column` and `feature_value` instead,
    /// if the data set is one graph with [sparse features](crate::graphs::NodeFeature::Sparse).
    /// Otherwise the features are delivered dense.
    pub sparse_feature: bool,
    /// `distance`.
    pub distance: bool,
    /// `displacement`.
    pub displacement: bool,
    /// `edge_weight`.
    pub edge_weight: bool,
    /// `sender_order` and `sender_offset`.
    pub sender_order: bool,
    /// [Custom fields](crate::graphs::OwnField) of the data set, by name.
    pub own: Vec<String>,
}

impl BatchFields {
    /// The first requested field that is not in `provided`, as text for a message.
    #[must_use]
    pub fn missing_from(&self, provided: &Self) -> Option<String> {
        let own = || self.own.iter().find(|name| !provided.own.contains(name));
        let built_in = self.missing_built_in(provided).map(str::to_owned);
        built_in.or_else(|| own().map(|name| format!("field \"{}\"", shown(name))))
    }

    pub(crate) fn missing_built_in(&self, provided: &Self) -> Option<&'static str> {
        [
            ("node classes", self.node_class, provided.node_class),
            ("node features", self.node_feature, provided.node_feature),
            ("distances", self.distance, provided.distance),
            ("displacements", self.displacement, provided.displacement),
            ("edge weights", self.edge_weight, provided.edge_weight),
            ("edges in the order of their senders", self.sender_order, provided.sender_order),
        ]
        .into_iter()
        .find(|&(_, needed, provided)| needed && !provided)
        .map(|(name, ..)| name)
    }

    /// Names of these fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let built_in = [
            ("node_class", self.node_class),
            ("node_feature", self.node_feature),
            ("distance", self.distance),
            ("displacement", self.displacement),
            ("edge_weight", self.edge_weight),
            ("sender_order", self.sender_order),
        ];
        let built_in = built_in.into_iter().filter(|(_, is_there)| *is_there);
        built_in.map(|(name, _)| name).chain(self.own.iter().map(String::as_str))
    }
}
