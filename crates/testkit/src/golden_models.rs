//! Compares a model with values in double precision: predictions, loss, all gradients, and the loss
//! over ten steps of Adam. Those for models of molecules and crystals were computed by the public
//! program of arXiv 2502.00944, those for models of the nodes of one graph by a separate program of
//! this project (`golden/README.md`).
//!
//! A model plugin specifies its files, the options for a file, and the names of its parameters
//! ([`GoldenModel`]); everything else is the same for all models. Files may contain any widths and
//! any graphs.

mod batch;
mod file;
mod nodes;

use std::collections::BTreeMap;

use batchlab_core::model::{Loss, Mode, NamedTensor, Precision, Slot, TrainerState};
use batchlab_core::{BatchBuffer, BatchFields, Model, ModelContext, Trainer};

pub use self::file::GoldenFile;
use crate::golden;

/// Tolerances: predictions and losses relative to the largest, gradients relative to their tensor's
/// norm.
#[derive(Clone, Copy)]
struct Tolerance {
    prediction: f64,
    loss: f64,
    gradient: f64,
}

impl Tolerance {
    fn of(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self { prediction: 1e-5, loss: 1e-5, gradient: 1e-4 },
            Precision::Tf32 => Self { prediction: 5e-3, loss: 1e-3, gradient: 5e-3 },
            Precision::Bf16 => Self { prediction: 5e-2, loss: 1e-2, gradient: 5e-2 },
        }
    }
}

#[derive(Clone, Copy)]
pub struct GoldenModel {
    /// Files are named `<name>_<data set>.safetensors`.
    pub name: &'static str,
    /// Creates the model with the sizes of a file.
    pub open: fn(&GoldenFile<'_>) -> Result<Box<dyn Model>, String>,
    /// Translates a parameter name in the file, without `param.`, such as
    /// `node_update_1/~/node_update/~/linear_0.w`; `None` for unknown names.
    pub parameter: fn(&str) -> Option<String>,
}

/// Error of a group of tensors, and its tolerance.
#[derive(Debug, Clone, PartialEq)]
struct Deviation {
    group: String,
    error: f64,
    limit: f64,
}

/// Compares the model with every file of its name, and prints the largest error of each group of
/// tensors.
pub fn check(model: &GoldenModel) {
    check_files(model, files(model, &golden::DATA), Setting::default());
}

/// The same with tensor-core products, if the model is tested on a GPU. Each precision is tried on one data
/// set, because an emulated GPU is slow.
pub fn check_on_tensor_cores(model: &GoldenModel) {
    if crate::device::under_test() == "cpu" {
        return;
    }
    for (precision, data) in [Precision::Tf32, Precision::Bf16].into_iter().zip(golden::DATA) {
        let setting = Setting { precision, ..Setting::default() };
        check_files(model, files(model, &[data]), setting);
    }
}

/// The same for a model of the nodes of one graph.
pub fn check_nodes(model: &GoldenModel) {
    check_files(model, files(model, node_data()), Setting::default());
}

/// The same with dense features, on a part of the graph, because this takes long on an emulated
/// GPU.
pub fn check_dense_nodes(model: &GoldenModel) {
    if crate::device::under_test() == "cpu" {
        let setting = Setting { dense_features: true, ..Setting::default() };
        check_files(model, files(model, &golden::NODE_DATA[1..]), setting);
    }
}

/// Variants of the comparison.
#[derive(Clone, Copy, Default)]
struct Setting {
    /// Whether batches contain dense features.
    dense_features: bool,
    precision: Precision,
}

fn check_files(model: &GoldenModel, files: impl Iterator<Item = String>, setting: Setting) {
    let mut worst: BTreeMap<String, (Deviation, String)> = BTreeMap::new();
    for file in files {
        let deviations = compare(model, &golden::open(&file), setting)
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        for deviation in deviations {
            match worst.get(&deviation.group) {
                // NaN counts as the largest error.
                Some((known, _)) if known.error.is_nan() || deviation.error <= known.error => {}
                _ => {
                    worst.insert(deviation.group.clone(), (deviation, file.clone()));
                }
            }
        }
    }
    let precision = setting.precision.name();
    eprintln!("{} in {precision}: largest relative error per group of tensors", model.name);
    for (Deviation { group, error, limit }, file) in worst.values() {
        eprintln!("  {group:<28} {error:.1e} (tolerance {limit:.0e})  {file}");
    }
    for (Deviation { group, error, limit }, file) in worst.values() {
        assert!(
            error <= limit,
            "{file}: {group} has a relative error of {error:.1e}, more than {limit:.0e}"
        );
    }
}

/// Checks that [`check`] detects a tensor missing from a file, and one missing from the model.
/// `parameter` is the name of any parameter in the files, without `param.`.
pub fn check_gaps_are_noticed(model: &GoldenModel, parameter: &str) {
    let inputs = ["input.distance", "input.vec"];
    check_gaps(model, parameter, inputs, golden::DATA[0]);
}

/// The same for a model of the nodes of one graph.
pub fn check_node_gaps_are_noticed(model: &GoldenModel, parameter: &str) {
    let inputs = ["input.feat_data", "input.senders"];
    check_gaps(model, parameter, inputs, golden::NODE_DATA[1]);
}

fn check_gaps(model: &GoldenModel, parameter: &str, inputs: [&str; 2], data: &str) {
    if crate::device::under_test() != "cpu" {
        // The comparison is the same for all devices.
        return;
    }
    let bytes = golden::open(&format!("{}_{data}.safetensors", model.name));
    let file = GoldenFile::new(&bytes).expect("a valid golden file");
    let ours = our_name(model, parameter);
    for missing in [
        &format!("param.{parameter}"),
        &format!("grad.{parameter}"),
        "output.prediction",
        "output.loss_after_adam_steps",
        inputs[0],
        inputs[1],
    ] {
        let found = compare(model, &file.without(missing), Setting::default());
        let error = found.expect_err(missing);
        assert!(error.contains(missing) || error.contains(&ours), "{missing}: {error}");
    }
    let more = file.with_a_copy(&format!("param.{parameter}"), "param.nobody/knows/this.w");
    let error = compare(model, &more, Setting::default()).expect_err("a parameter too many");
    assert!(error.contains("nobody/knows/this.w"), "{error}");
}

/// All of Cora takes minutes on an emulated GPU.
fn node_data() -> &'static [&'static str] {
    let all: &'static [&'static str] = &golden::NODE_DATA;
    if crate::device::under_test() == "cpu" { all } else { &all[1..] }
}

fn files(model: &GoldenModel, data: &[&str]) -> impl Iterator<Item = String> {
    data.iter().map(|data| format!("{}_{data}.safetensors", model.name))
}

fn compare(model: &GoldenModel, bytes: &[u8], setting: Setting) -> Result<Vec<Deviation>, String> {
    let file = GoldenFile::new(bytes)?;
    let description = (model.open)(&file)?;
    let needs = description.needs();
    let sparse_feature = needs.sparse_feature && !setting.dense_features;
    let needs = BatchFields { sparse_feature, ..needs };
    let mut buffer = BatchBuffer::new();
    if file.has("input.output_row") {
        nodes::collate_file(&file, &needs, &mut buffer)?;
    } else {
        batch::collate_file(&file, &needs, &mut buffer)?;
    }
    let ready = |weight_decay: f64| {
        let mut trainer = open(&file, &*description, weight_decay, setting.precision)?;
        load_parameters(model, &file, &mut *trainer)?;
        trainer.upload(Slot::A, &buffer.batch()).map_err(text)?;
        Ok::<_, String>(trainer)
    };
    let weight_decay = file.metadata("reg").map_or(Ok(0.0), str::parse::<f64>);
    let mut trainer = ready(weight_decay.map_err(text)?)?;

    let tolerance = Tolerance::of(setting.precision);
    let mut deviations = vec![of_predictions(&file, &mut *trainer, tolerance)?];
    let loss = trainer.forward(Slot::A, Mode::Training, 0).map_err(text)?.mean();
    let expected = file.numbers("output.loss")?[0];
    let error = ((loss - expected) / expected).abs();
    deviations.push(Deviation { group: "loss".into(), error, limit: tolerance.loss });
    trainer.backward(1.0).map_err(text)?;
    deviations.extend(of_gradients(model, &file, &*trainer, tolerance)?);
    deviations.push(of_training(&file, "", &mut *trainer, tolerance)?);
    for (suffix, weight_decay) in [("_reg0", 0.0), ("_reg0.1", 0.1)] {
        if file.has(&format!("output.loss_after_adam_steps{suffix}")) {
            let mut trainer = ready(weight_decay)?;
            trainer.forward(Slot::A, Mode::Training, 0).map_err(text)?;
            trainer.backward(1.0).map_err(text)?;
            deviations.push(of_training(&file, suffix, &mut *trainer, tolerance)?);
        }
    }
    Ok(deviations)
}

/// Opens the model and checks its number of parameters against the file.
fn open(
    file: &GoldenFile<'_>,
    model: &dyn Model,
    weight_decay: f64,
    precision: Precision,
) -> Result<Box<dyn Trainer>, String> {
    let output_width =
        *file.shape("output.prediction")?.last().ok_or("a prediction is a matrix")?;
    let ctx = if file.has("input.output_row") {
        let node_feature_width = nodes::feature_width(file)?;
        let loss = Loss::CrossEntropy;
        ModelContext { node_feature_width, loss, ..crate::device::context(0) }
    } else {
        crate::device::context(file.shape("input.classes")?[0])
    };
    let ctx = ModelContext { output_width, weight_decay, precision, ..ctx };
    let trainer = model.open(&ctx).map_err(text)?;
    match file.metadata("params") {
        Some(n) if n != trainer.n_parameter().to_string() => {
            Err(format!("{} parameters, but {n} in the file", trainer.n_parameter()))
        }
        _ => Ok(trainer),
    }
}

/// Module, step and layer of a weight: `["node_update", "1", "0"]` for
/// `node_update_1/~/node_update/~/linear_0.w`. The first step has no number in the file.
#[must_use]
pub fn split_layer_name(name: &str) -> Option<[&str; 3]> {
    let layer = name.strip_suffix(".w")?.rsplit_once("linear_")?.1;
    let module = name.split('/').next()?;
    match module.rsplit_once('_') {
        Some((module, step)) if step.parse::<u32>().is_ok() => Some([module, step, layer]),
        _ => Some([module, "0", layer]),
    }
}

/// The model's name for a parameter. Unknown names are unchanged, so that the trainer rejects them.
fn our_name(model: &GoldenModel, parameter: &str) -> String {
    (model.parameter)(parameter).unwrap_or_else(|| parameter.to_owned())
}

fn load_parameters(
    model: &GoldenModel,
    file: &GoldenFile<'_>,
    trainer: &mut dyn Trainer,
) -> Result<(), String> {
    let mut tensors: Vec<NamedTensor> = trainer.state().map_err(text)?.tensors;
    tensors.retain(|tensor| !tensor.name.starts_with("parameter."));
    for name in file.names("param.") {
        tensors.push(NamedTensor {
            name: format!("parameter.{}", our_name(model, &name)),
            shape: file.shape(&format!("param.{name}"))?,
            data: file.single_precision(&format!("param.{name}"))?,
        });
    }
    trainer.restore(&TrainerState { tensors, ..TrainerState::default() }).map_err(text)
}

fn of_predictions(
    file: &GoldenFile<'_>,
    trainer: &mut dyn Trainer,
    tolerance: Tolerance,
) -> Result<Deviation, String> {
    let mut prediction = Vec::new();
    trainer.predict(Slot::A, &mut prediction).map_err(text)?;
    let expected = file.numbers("output.prediction")?;
    if file.has("input.output_row") {
        // The remaining values are predictions of padding.
        prediction.truncate(expected.len());
    }
    let largest =
        |values: &[f64]| values.iter().fold(0.0_f64, |a, b| if b.abs() <= a { a } else { b.abs() });
    let error = largest(&differences(&prediction, &expected)?) / largest(&expected);
    Ok(Deviation { group: "prediction".into(), error, limit: tolerance.prediction })
}

fn of_gradients(
    model: &GoldenModel,
    file: &GoldenFile<'_>,
    trainer: &dyn Trainer,
    tolerance: Tolerance,
) -> Result<Vec<Deviation>, String> {
    let gradients = trainer.gradients().map_err(text)?.into_iter();
    let mut gradients: BTreeMap<String, NamedTensor> =
        gradients.map(|tensor| (tensor.name.clone(), tensor)).collect();
    let mut deviations = Vec::new();
    for name in file.names("grad.") {
        let ours = our_name(model, &name);
        let gradient = gradients
            .remove(&ours)
            .ok_or_else(|| format!("the model has no gradient {ours} (grad.{name} in the file)"))?;
        let expected = file.numbers(&format!("grad.{name}"))?;
        let norm = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
        let error = norm(&differences(&gradient.data, &expected)?) / norm(&expected);
        let words = ours.split('.').filter(|part| part.parse::<u32>().is_err());
        let group = format!("gradient {}", words.take(2).collect::<Vec<_>>().join("."));
        deviations.push(Deviation { group, error, limit: tolerance.gradient });
    }
    match gradients.keys().next() {
        Some(name) => Err(format!("the file has no gradient for {name}")),
        None => Ok(deviations),
    }
}

fn of_training(
    file: &GoldenFile<'_>,
    suffix: &str,
    trainer: &mut dyn Trainer,
    tolerance: Tolerance,
) -> Result<Deviation, String> {
    let expected = file.numbers(&format!("output.loss_after_adam_steps{suffix}"))?;
    let learning_rate = file.metadata("lr").unwrap_or("1e-4");
    let learning_rate: f64 =
        learning_rate.parse().map_err(|_| format!("{learning_rate} is not a learning rate"))?;
    let mut error: f64 = 0.0;
    for expected in &expected[1..] {
        trainer.update(learning_rate).map_err(text)?;
        let loss = trainer.forward(Slot::A, Mode::Training, 0).map_err(text)?.mean();
        let step = ((loss - expected) / expected).abs();
        error = if step <= error { error } else { step };
        trainer.backward(1.0).map_err(text)?;
    }
    let group = format!("loss of {} Adam steps{suffix}", expected.len() - 1);
    Ok(Deviation { group, error, limit: tolerance.loss })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn differences(got: &[f32], expected: &[f64]) -> Result<Vec<f64>, String> {
    if got.len() != expected.len() {
        return Err(format!("{} values, expected {}", got.len(), expected.len()));
    }
    Ok(got.iter().zip(expected).map(|(&a, b)| f64::from(a) - b).collect())
}
