//! Compares SchNet with numbers computed by the public program of arXiv 2502.00944 in double
//! precision: predictions, loss, every gradient, and the loss along ten steps of Adam.
//!
//! The files are looked for in the folder that `BATCHLAB_GOLDEN` names, by default
//! `../shared/golden` beside the workspace; without the variable and without that folder the tests
//! are skipped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use batchlab_core::graphs::{
    Edges, GraphSize, Graphs, Level, ManyGraphs, NodeClass, StoredEdges, Target, Topology,
};
use batchlab_core::model::{Loss, Mode, NamedTensor, Slot, TrainerState};
use batchlab_core::plan::{BatchPlan, Shape};
use batchlab_core::{BatchBuffer, Model, ModelContext, Trainer, collate};
use model_schnet::Schnet;
use safetensors::{Dtype, SafeTensors};

/// Tolerances of single precision: predictions and losses relative to the largest, gradients
/// relative to their tensor's norm.
const PREDICTION: f64 = 1e-5;
const LOSS: f64 = 1e-5;
const GRADIENT: f64 = 1e-4;

type Outcome<T> = Result<T, String>;

#[test]
fn golden_numbers_of_the_reference_program_are_met() {
    for path in files() {
        let errors = check(&std::fs::read(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        println!("{}", path.display());
        for (group, error, limit) in &errors {
            println!("  {group:<24} {error:.1e} (limit {limit:.0e})");
        }
        for (group, error, limit) in errors {
            assert!(error <= limit, "{}: {group} is off by {error:.1e}", path.display());
        }
    }
}

#[test]
fn golden_comparison_notices_a_tensor_that_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    for path in files() {
        let bytes = std::fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let layer = "message_node_net_1/~/message_node_net/~/linear_0.w";
        for missing in [
            &format!("param.{layer}"),
            &format!("grad.{layer}"),
            "output.prediction",
            "output.loss_after_adam_steps",
            "input.distance",
        ] {
            let rest: Vec<_> = file.tensors().into_iter().filter(|(n, _)| n != missing).collect();
            assert_eq!(rest.len() + 1, file.names().len(), "{missing} exists");
            let copy = folder.path().join("copy.safetensors");
            safetensors::serialize_to_file(rest, None, &copy).unwrap();
            let error = check(&std::fs::read(&copy).unwrap()).unwrap_err();
            assert!(error.contains(missing) || error.contains(&our_name(missing)), "{error}");
        }
        // What the file has and the model lacks is noticed too.
        let mut more = file.tensors();
        let (_, extra) = more.iter().find(|(n, _)| n.ends_with(layer)).cloned().unwrap();
        more.push(("param.message_node_net_7/~/message_node_net/~/linear_0.w".into(), extra));
        let bytes = safetensors::serialize(more, None).unwrap();
        let error = check(&bytes).unwrap_err();
        assert!(error.contains("interaction.7.sender.weight"), "{error}");
    }
}

/// All files of this model; none if the default folder does not exist.
fn files() -> Vec<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(3)
        .expect("the folder of the workspace");
    let named = std::env::var_os("BATCHLAB_GOLDEN").map(PathBuf::from);
    let folder = named.clone().unwrap_or_else(|| workspace.join("../shared/golden"));
    if named.is_none() && !folder.is_dir() {
        #[allow(clippy::print_stderr, reason = "a skipped test must say so")]
        {
            eprintln!("skipped: {} does not exist; set BATCHLAB_GOLDEN", folder.display());
        }
        return Vec::new();
    }
    let entries = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("schnet_") && name.ends_with(".safetensors")
        })
        .collect();
    assert!(!files.is_empty(), "no schnet_*.safetensors in {}", folder.display());
    files.sort();
    files
}

/// Errors by group of tensors, each with its limit.
fn check(bytes: &[u8]) -> Outcome<Vec<(String, f64, f64)>> {
    let golden = Golden::new(bytes)?;
    let mut trainer = golden.open()?;
    golden.load_parameters(&mut *trainer)?;
    let mut buffer = BatchBuffer::new();
    golden.collate(&mut buffer)?;
    trainer.upload(Slot::A, &buffer.batch()).map_err(text)?;
    let mut errors = Vec::new();

    let mut prediction = Vec::new();
    trainer.predict(Slot::A, &mut prediction).map_err(text)?;
    let expected = golden.numbers("output.prediction")?;
    let largest = |values: &[f64]| values.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    let difference: Vec<f64> = differences(&prediction, &expected)?;
    errors.push(("prediction".into(), largest(&difference) / largest(&expected), PREDICTION));

    let loss = trainer.forward(Slot::A, Mode::Training, 0).map_err(text)?.mean();
    let expected = golden.numbers("output.loss")?[0];
    errors.push(("loss".into(), ((loss - expected) / expected).abs(), LOSS));

    trainer.backward(1.0).map_err(text)?;
    let mut gradients: BTreeMap<String, NamedTensor> = trainer
        .gradients()
        .expect("the device works")
        .into_iter()
        .map(|tensor| (tensor.name.clone(), tensor))
        .collect();
    let mut groups: BTreeMap<String, f64> = BTreeMap::new();
    for name in golden.names("grad.") {
        let ours = our_name(&name);
        let gradient = gradients
            .remove(&ours)
            .ok_or_else(|| format!("the model has no gradient {ours} (file: {name})"))?;
        let expected = golden.numbers(&name)?;
        let norm = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
        let error = norm(&differences(&gradient.data, &expected)?) / norm(&expected);
        let group = ours.split('.').filter(|part| part.parse::<u32>().is_err());
        let group = format!("gradient {}", group.take(2).collect::<Vec<_>>().join("."));
        let worst = groups.entry(group).or_default();
        *worst = worst.max(error);
    }
    if let Some(name) = gradients.keys().next() {
        return Err(format!("the file has no gradient for {name}"));
    }
    errors.extend(groups.into_iter().map(|(group, error)| (group, error, GRADIENT)));

    let expected = golden.numbers("output.loss_after_adam_steps")?;
    let learning_rate = golden.learning_rate()?;
    let mut worst: f64 = 0.0;
    for expected in &expected[1..] {
        trainer.update(learning_rate).map_err(text)?;
        let loss = trainer.forward(Slot::A, Mode::Training, 0).map_err(text)?.mean();
        worst = worst.max(((loss - expected) / expected).abs());
        trainer.backward(1.0).map_err(text)?;
    }
    errors.push((format!("loss of {} Adam steps", expected.len() - 1), worst, LOSS));
    Ok(errors)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn differences(got: &[f32], expected: &[f64]) -> Outcome<Vec<f64>> {
    if got.len() != expected.len() {
        return Err(format!("{} values, expected {}", got.len(), expected.len()));
    }
    Ok(got.iter().zip(expected).map(|(&a, b)| f64::from(a) - b).collect())
}

/// The name of a parameter here, from its name in the file: `param.node_update_1/~/.../linear_0.w`
/// is `interaction.1.update.0.weight`. Unknown names stay as they are.
fn our_name(name: &str) -> String {
    let parse = || {
        let path = name.strip_prefix("param.").or_else(|| name.strip_prefix("grad."))?;
        let layer = path.strip_suffix(".w")?.rsplit_once("linear_")?.1;
        let module = path.split('/').next()?;
        let (module, step) = match module.rsplit_once('_') {
            Some((module, step)) if step.parse::<u32>().is_ok() => (module, step),
            _ => (module, "0"),
        };
        Some(match module {
            "node_embedding_layer" => "embedding.weight".into(),
            "message_edge_net" => format!("interaction.{step}.filter.{layer}.weight"),
            "message_node_net" => format!("interaction.{step}.sender.weight"),
            "node_update" => format!("interaction.{step}.update.{layer}.weight"),
            "readout_node" => format!("readout.{layer}.weight"),
            _ => return None,
        })
    };
    parse().unwrap_or_else(|| name.to_owned())
}

struct Golden<'a> {
    file: SafeTensors<'a>,
    metadata: BTreeMap<String, String>,
}

impl<'a> Golden<'a> {
    fn new(bytes: &'a [u8]) -> Outcome<Self> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(text)?;
        let metadata = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(Self { file: SafeTensors::deserialize(bytes).map_err(text)?, metadata })
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> =
            self.file.names().iter().map(|name| (*name).to_string()).collect();
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        names
    }

    fn shape(&self, name: &str) -> Outcome<Vec<usize>> {
        let tensor = self.file.tensor(name).map_err(|_| format!("the file has no {name}"))?;
        Ok(tensor.shape().to_vec())
    }

    fn numbers(&self, name: &str) -> Outcome<Vec<f64>> {
        let tensor = self.file.tensor(name).map_err(|_| format!("the file has no {name}"))?;
        let bytes = tensor.data();
        match tensor.dtype() {
            Dtype::F64 => Ok(words(bytes).map(f64::from_le_bytes).collect()),
            Dtype::F32 => Ok(words(bytes).map(|b| f64::from(f32::from_le_bytes(b))).collect()),
            Dtype::I32 => Ok(words(bytes).map(|b| f64::from(i32::from_le_bytes(b))).collect()),
            other => Err(format!("{name} has the type {other:?}")),
        }
    }

    #[allow(clippy::cast_sign_loss, reason = "counts and indices")]
    fn counts(&self, name: &str) -> Outcome<Vec<u32>> {
        Ok(self.numbers(name)?.into_iter().map(|v| v as u32).collect())
    }

    fn single_precision(&self, name: &str) -> Outcome<Vec<f32>> {
        Ok(self.numbers(name)?.into_iter().map(|v| v as f32).collect())
    }

    fn learning_rate(&self) -> Outcome<f64> {
        let text = self.metadata.get("lr").map_or("1e-4", String::as_str);
        text.parse().map_err(|_| format!("{text} is not a learning rate"))
    }

    /// The model with all sizes taken from the file.
    fn open(&self) -> Outcome<Box<dyn Trainer>> {
        let embedding = "param.node_embedding_layer/~/node_embedding_layer/~/linear_0.w";
        let filter = "param.message_edge_net/~/message_edge_net/~/linear_0.w";
        let readout = "param.readout_node/~/readout_node/~/linear_0.w";
        let output = "param.readout_node/~/readout_node/~/linear_1.w";
        let n_interaction = self
            .names("grad.")
            .iter()
            .filter(|name| name.starts_with("grad.node_update") && name.ends_with("linear_0.w"))
            .count();
        let model: Schnet = serde_json::from_value(serde_json::json!({
            "latent_size": self.shape(embedding)?[1],
            "n_interaction": n_interaction,
            "n_gaussian": self.shape(filter)?[0],
            "readout_size": self.shape(readout)?[1],
        }))
        .map_err(text)?;
        let ctx = ModelContext {
            device: "cpu".into(),
            seed: 1,
            n_node_class: self.shape(embedding)?[0],
            node_feature_width: 0,
            output_width: self.shape(output)?[1],
            loss: Loss::Mse,
        };
        let trainer = model.open(&ctx).map_err(text)?;
        match self.metadata.get("params") {
            Some(n) if *n != trainer.n_parameter().to_string() => {
                Err(format!("{} parameters, the file says {n}", trainer.n_parameter()))
            }
            _ => Ok(trainer),
        }
    }

    fn load_parameters(&self, trainer: &mut dyn Trainer) -> Outcome<()> {
        let mut tensors: Vec<NamedTensor> = trainer.state().expect("the device works").tensors;
        tensors.retain(|tensor| !tensor.name.starts_with("parameter."));
        for name in self.names("param.") {
            tensors.push(NamedTensor {
                name: format!("parameter.{}", our_name(&name)),
                shape: self.shape(&name)?,
                data: self.single_precision(&name)?,
            });
        }
        trainer.restore(&TrainerState { tensors, n_update: 0 }).map_err(text)
    }

    /// Makes graphs of the real part of the file's batch and lets `core` pad them; the result must
    /// be the file's batch, edge by edge.
    fn collate(&self, buffer: &mut BatchBuffer) -> Outcome<()> {
        let mut n_node = self.counts("input.n_node")?;
        let mut n_edge = self.counts("input.n_edge")?;
        let n_graph = n_node.len() as u32;
        n_node.pop();
        n_edge.pop();
        let real_edge = n_edge.iter().sum::<u32>() as usize;
        let real_node = n_node.iter().sum::<u32>() as usize;

        let (senders, receivers) = (self.counts("input.senders")?, self.counts("input.receivers")?);
        let distance = self.single_precision("input.distance")?;
        let class = self.counts("input.cls")?;
        let mut first_node = Vec::new();
        let mut start = 0;
        for (&nodes, &edges) in n_node.iter().zip(&n_edge) {
            first_node.extend(std::iter::repeat_n(start, edges as usize));
            start += nodes;
        }
        let within = |ends: &[u32]| -> Vec<u32> {
            ends.iter().zip(&first_node).map(|(end, first)| end - first).collect()
        };
        let stored = StoredEdges::new(
            &n_edge,
            &within(&senders[..real_edge]),
            &within(&receivers[..real_edge]),
            &distance[..real_edge],
            &[],
        )
        .map_err(text)?;
        let many = ManyGraphs::new(&n_node, Edges::Stored(stored)).map_err(text)?;
        let mut graphs = Graphs::new("golden", Topology::Many(many)).map_err(text)?;
        let name = self.counts("input.classes")?.iter().map(ToString::to_string).collect();
        graphs.node_class = Some(NodeClass { value: class[..real_node].to_vec(), name });
        let target = self.numbers("input.target")?[..n_node.len()].to_vec();
        graphs.target = Some(Target::regression("golden", "1", target));

        let mut plan = BatchPlan::default();
        plan.clear(Level::Graphs);
        for (id, (&n_node, &n_edge)) in (0..).zip(n_node.iter().zip(&n_edge)) {
            plan.push_graph(GraphSize { id, n_node, n_edge });
        }
        plan.shape = Shape {
            n_node: class.len() as u32,
            n_edge: senders.len() as u32,
            n_graph,
            n_output: n_graph,
        };
        collate(&graphs, &plan, Schnet::default().needs(), buffer).map_err(text)?;

        let batch = buffer.batch();
        let same = batch.sender == senders
            && batch.receiver == receivers
            && batch.distance == distance
            && batch.node_class == class
            && batch.n_node_of == self.counts("input.n_node")?;
        if same { Ok(()) } else { Err("the padded batch differs from the file's".into()) }
    }
}

/// Numbers of N bytes.
fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.chunks_exact(N).map(|chunk| chunk.try_into().expect("N bytes"))
}
