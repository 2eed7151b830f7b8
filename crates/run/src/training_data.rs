//! Description of the training data, as needed to apply the model to other data.

use batchlab_core::graphs::{
    NodeClass, NodeFeature, Number, OwnField, OwnShape, Per, Standardisation, Target, TargetKind,
    Topology,
};
use batchlab_core::{BatchFields, Dataset, Graphs, Model, Provides};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RunError;
use crate::evaluate::largest;
use crate::resume::differ;

/// Names of inputs and outputs, and the scale of the target. Part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingData {
    pub target: String,
    pub kind: TargetKind,
    pub standardisation: Standardisation,
    /// In the order of their numbers; empty without node classes.
    node_class: Vec<String>,
    node_feature_width: usize,
    /// Custom fields of the data set.
    own: Vec<OwnShape>,
}

/// Treatment of differences between other data and the training data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    Refused,
    /// Allowed, with a warning.
    Allowed,
}

impl Mismatch {
    /// A warning, or an error that says how to get a warning instead.
    fn found(
        self,
        message: String,
        remedy: &str,
        warnings: &mut Vec<String>,
    ) -> Result<(), RunError> {
        match self {
            Self::Allowed => {
                warnings.push(message);
                Ok(())
            }
            Self::Refused => Err(RunError::config(format!("{message}{remedy}"))),
        }
    }
}

/// Other data, adapted to the model.
pub(crate) struct Fitted {
    /// Whether a graph has only node classes known to the model.
    pub(crate) is_known: Vec<bool>,
    pub(crate) warnings: Vec<String>,
}

impl TrainingData {
    /// `None` without a target.
    pub(crate) fn of(graphs: &Graphs) -> Option<Self> {
        let target = graphs.target.as_ref()?;
        Some(Self {
            target: target.name.clone(),
            kind: target.kind.clone(),
            standardisation: target.standardisation,
            node_class: graphs.node_class.as_ref().map_or(Vec::new(), |class| class.name.clone()),
            node_feature_width: width(graphs),
            own: shapes(graphs),
        })
    }

    /// Interprets a model's outputs: a value in the target's unit, or a class number.
    pub(crate) fn predicted(&self, output: &[f32]) -> f64 {
        match self.kind {
            TargetKind::Classes { .. } => largest(output) as f64,
            TargetKind::Regression { .. } => {
                let Standardisation { mean, deviation } = self.standardisation;
                mean + deviation * f64::from(output[0])
            }
        }
    }

    pub(crate) fn n_node_class(&self) -> usize {
        self.node_class.len()
    }

    pub(crate) fn node_feature_width(&self) -> usize {
        self.node_feature_width
    }

    /// Shapes of the custom fields that a model requests; all of them exist.
    pub(crate) fn own_of(&self, needs: &BatchFields) -> Vec<OwnShape> {
        let of = |name: &String| self.own.iter().find(|own| own.name == *name).cloned();
        needs.own.iter().filter_map(of).collect()
    }

    /// Gives other data the target scale and class numbers of training.
    ///
    /// # Errors
    /// Data that the model cannot process, and, unless allowed, data that were built differently.
    pub(crate) fn fit(
        &self,
        graphs: &mut Graphs,
        model: &dyn Model,
        mismatch: Mismatch,
    ) -> Result<Fitted, RunError> {
        let fail = |message: String| Err(RunError::config(message));
        let needs = model.needs();
        self.fit_own(graphs, &needs)?;
        let (level, fields) = (graphs.level(), graphs.fields());
        check_takes(model, &Provides { level, fields, ..Provides::default() })?;
        if needs.node_feature && width(graphs) != self.node_feature_width {
            let (now, before) = (width(graphs), self.node_feature_width);
            return fail(format!("the nodes have {now} features, but {before} in training"));
        }
        let mut fitted = Fitted { is_known: vec![true; graphs.n_member()], warnings: Vec::new() };
        if needs.node_class {
            self.fit_node_classes(graphs, mismatch, &mut fitted)?;
        }
        self.fit_target(graphs, mismatch, &mut fitted.warnings)?;
        Ok(fitted)
    }

    /// Missing custom float fields, such as the forces of structures yet to be computed, become
    /// NaN, like a missing target. All others must match training.
    fn fit_own(&self, graphs: &mut Graphs, needs: &BatchFields) -> Result<(), RunError> {
        for before in self.own_of(needs) {
            let now = graphs.own.iter().map(OwnField::shape).find(|now| now.name == before.name);
            match now {
                Some(now) if **now == before => {}
                Some(now) => {
                    return Err(RunError::config(format!(
                        "the field \"{}\" has {}, in training it had {}",
                        before.name,
                        row(now),
                        row(&before)
                    )));
                }
                None if before.number == Number::F32 && before.per != Per::Edge => {
                    let n_row =
                        if before.per == Per::Node { graphs.n_node() } else { graphs.n_member() };
                    let bytes = f32::NAN.to_le_bytes().repeat(n_row * before.width);
                    graphs.own.push(OwnField::from_bytes(before, bytes));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Graphs with a class that is unknown from training cannot be predicted; they are left out if
    /// allowed.
    fn fit_node_classes(
        &self,
        graphs: &mut Graphs,
        mismatch: Mismatch,
        fitted: &mut Fitted,
    ) -> Result<(), RunError> {
        let Some(class) = &mut graphs.node_class else { return Ok(()) };
        let new = renumbered(&class.name, &self.node_class);
        let is_unknown: Vec<bool> =
            class.value.iter().map(|&value| new[value as usize].is_none()).collect();
        let mut unknown: Vec<&str> = class
            .value
            .iter()
            .zip(&is_unknown)
            .filter(|(_, is_unknown)| **is_unknown)
            .map(|(&value, _)| &*class.name[value as usize])
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        let message = format!(
            "nodes have classes that do not occur in the training data: {}; known classes: {}",
            unknown.join(", "),
            self.node_class.join(", ")
        );
        let is_any = !unknown.is_empty();
        let value = class.value.iter().map(|&value| new[value as usize].unwrap_or(0)).collect();
        *class = NodeClass { value, name: self.node_class.clone() };
        if !is_any {
            return Ok(());
        }
        let Topology::Many(many) = &graphs.topology else {
            return Err(RunError::config(message));
        };
        for (graph, is_known) in fitted.is_known.iter_mut().enumerate() {
            *is_known = !is_unknown[many.nodes(graph)].contains(&true);
        }
        let n_left_out = fitted.is_known.iter().filter(|&&is_known| !is_known).count();
        let message = match mismatch {
            Mismatch::Refused => message,
            Mismatch::Allowed => {
                format!("{message}; {n_left_out} graphs that have them are left out")
            }
        };
        let remedy = "; remove the graphs that have them, or leave them out with --allow-mismatch";
        mismatch.found(message, remedy, &mut fitted.warnings)
    }

    /// Data without a target get one without values, so that predictions always have its scale.
    fn fit_target(
        &self,
        graphs: &mut Graphs,
        mismatch: Mismatch,
        warnings: &mut Vec<String>,
    ) -> Result<(), RunError> {
        let n_member = graphs.n_member();
        let (mut value, mut name) = (vec![f64::NAN; n_member], self.target.clone());
        if let Some(target) = &graphs.target {
            let known = (0..n_member as u32).map(|member| target.known(member));
            let known: Vec<Option<f64>> = known.collect();
            let has_values = known.iter().any(Option::is_some);
            name.clone_from(&target.name);
            if has_values && target.name != self.target {
                warnings.push(format!(
                    "the target is \"{}\", and predictions are of \"{}\"",
                    target.name, self.target
                ));
            }
            value = known.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
            match (&target.kind, &self.kind) {
                // A unit or classes without any values.
                (now, before) if !has_values => {
                    if now != before && *now != (TargetKind::Regression { unit: None }) {
                        warnings.push(format!(
                            "no {} has the target \"{name}\", so its unit or classes have no effect: \
                             predictions are {}",
                            graphs.level().output(),
                            meaning(before)
                        ));
                    }
                }
                (TargetKind::Regression { unit: now }, TargetKind::Regression { unit })
                    if now != unit =>
                {
                    let [now, before] = [&target.kind, &self.kind].map(meaning);
                    let message =
                        format!("values of the target are {now}, but {before} in training");
                    let remedy = "; name their unit, convert them, or compare them as they are with \
                                  --allow-mismatch";
                    mismatch.found(message, remedy, warnings)?;
                }
                (TargetKind::Classes { name: now }, TargetKind::Classes { name }) => {
                    let new = renumbered(now, name);
                    for value in value.iter_mut().filter(|value| !value.is_nan()) {
                        #[allow(clippy::cast_sign_loss, reason = "known classes are not negative")]
                        let class = *value as usize;
                        *value = f64::from(new[class].ok_or_else(|| {
                            RunError::config(format!(
                                "the target has the class \"{}\", which does not occur in training; \
                                 known classes: {}",
                                now[class],
                                name.join(", ")
                            ))
                        })?);
                    }
                }
                (TargetKind::Regression { .. }, TargetKind::Regression { .. }) => {}
                _ => {
                    let [now, before] = [&target.kind, &self.kind].map(meaning);
                    let message =
                        format!("values of the target are {now}, but {before} in training");
                    return Err(RunError::config(message));
                }
            }
        }
        let mut target = match &self.kind {
            TargetKind::Regression { unit } => Target::regression(&name, unit.as_deref(), value),
            TargetKind::Classes { name: classes } => {
                for value in value.iter_mut().filter(|value| value.is_nan()) {
                    *value = -1.0;
                }
                Target::classes(&name, classes.clone(), value)
            }
        };
        target.scale(self.standardisation);
        graphs.target = Some(target);
        Ok(())
    }
}

/// Rejects data that lack something the model needs.
pub(crate) fn check_takes(model: &dyn Model, data: &Provides) -> Result<(), RunError> {
    let (name, level) = (model.typetag_name(), data.level);
    if !model.accepts(level) {
        return Err(RunError::config(format!(
            "model \"{name}\" does not work on {level}, which is what the data hold"
        )));
    }
    model.needs().missing_from(&data.fields).map_or(Ok(()), |missing| {
        Err(RunError::config(format!(
            "model \"{name}\" needs {missing}, which the data do not have; the fields that they have: {}",
            data.fields.names().collect::<Vec<_>>().join(", ")
        )))
    })
}

/// The meaning of values, as part of a sentence.
fn meaning(kind: &TargetKind) -> String {
    match kind {
        TargetKind::Regression { unit: Some(unit) } => format!("in {unit}"),
        TargetKind::Regression { unit: None } => "numbers without a unit".to_owned(),
        TargetKind::Classes { .. } => "classes".to_owned(),
    }
}

/// The layout of a custom field, as part of a sentence.
fn row(own: &OwnShape) -> String {
    let OwnShape { per, number, width, .. } = own;
    format!("{width} numbers of type {number} per {per}")
}

fn shapes(graphs: &Graphs) -> Vec<OwnShape> {
    graphs.own.iter().map(|own| (**own.shape()).clone()).collect()
}

fn width(graphs: &Graphs) -> usize {
    graphs.node_feature.as_ref().map_or(0, NodeFeature::width)
}

/// For each name its index in `among`, if present.
fn renumbered(names: &[String], among: &[String]) -> Vec<Option<u32>> {
    let place = |name: &String| among.iter().position(|known| known == name);
    names.iter().map(|name| place(name).map(|place| place as u32)).collect()
}

/// Rejects, or warns about, a description that builds graphs differently from those of training:
/// with other edges, another unit, or differently scaled features.
pub(crate) fn check_description(
    trained: &dyn Dataset,
    other: &dyn Dataset,
    mismatch: Mismatch,
    warnings: &mut Vec<String>,
) -> Result<(), RunError> {
    let is_same = trained.typetag_name() == other.typetag_name();
    // A different target name is reported where the target has values.
    let is_free = |key: &str| {
        ["name", "target"].contains(&key)
            || [trained, other].iter().any(|of| of.source_keys().contains(&key))
    };
    let [before, now] = [trained, other].map(|dataset| {
        let mut table = serde_json::to_value(dataset).unwrap_or_default();
        if let Value::Object(table) = &mut table {
            table.retain(|key, _| !is_free(key));
        }
        table
    });
    let mut lines = Vec::new();
    match (before, now) {
        (Value::Object(mut before), Value::Object(mut now)) if !is_same => {
            before.retain(|key, _| now.contains_key(key));
            now.retain(|key, _| before.contains_key(key));
            differ("", Some(&before.into()), Some(&now.into()), &mut lines);
        }
        (before, now) => differ("", Some(&before), Some(&now), &mut lines),
    }
    if lines.is_empty() {
        return Ok(());
    }
    let message =
        format!("the data are built differently from those of training:\n{}", lines.join("\n"));
    let remedy =
        "\nomit these keys to use the values of training, or accept them with --allow-mismatch";
    mismatch.found(message, remedy, warnings)
}

#[cfg(test)]
mod tests {
    use batchlab_core::graphs::{Edges, ManyGraphs};

    use super::*;

    #[test]
    fn classes_are_found_by_their_names() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let new = renumbered(&names(&["O", "Xe", "H"]), &names(&["H", "C", "O"]));
        assert_eq!(new, [Some(2), None, Some(0)]);

        let graphs = |classes: &[&str], value: &[f64]| {
            let n_node = vec![1; value.len()];
            let many = ManyGraphs::new(&n_node, Edges::FullyConnected).unwrap();
            let mut graphs = Graphs::new("test", Topology::Many(many)).unwrap();
            graphs.target = Some(Target::classes("kind", names(classes), value.to_vec()));
            graphs
        };
        let trained = TrainingData::of(&graphs(&["a", "b", "c"], &[0.0, 1.0, 2.0])).unwrap();
        let mut other = graphs(&["c", "x", "a"], &[2.0, f64::NAN, 0.0, -1.0]);
        trained.fit_target(&mut other, Mismatch::Refused, &mut Vec::new()).unwrap();
        assert_eq!(other.target.unwrap().value, [0.0, -1.0, 2.0, -1.0]);
        let mut unknown = graphs(&["c", "x"], &[1.0]);
        let error = trained.fit_target(&mut unknown, Mismatch::Allowed, &mut Vec::new());
        assert!(error.unwrap_err().to_string().contains("has the class \"x\""));
    }
}
