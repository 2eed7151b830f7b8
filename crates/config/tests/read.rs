//! How often tables are parsed, and error messages, with components defined in this test.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::cell::RefCell;
use std::path::Path;

use batchlab_config::{Config, Defaults, LoadedConfig, StudyFile, Tunable, batcher_of_argument};
use batchlab_core::padding::BatchSize;
use batchlab_core::{
    BatchContext, BatchFields, BatchStream, Batcher, BatcherError, Dataset, DatasetError, Graphs,
    Level, LoadContext, Model, ModelContext, ModelError, Provides, RecordWriter, Sink, SinkError,
    Trainer, View,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

thread_local! {
    /// The batch sizes parsed, in order.
    static READ: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

fn read_so_far() -> Vec<u32> {
    READ.with(RefCell::take)
}

/// A batcher of fixed-size batches.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Counted {
    /// Graphs per batch.
    #[serde(deserialize_with = "counted")]
    batch_size: u32,
}

fn counted<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let size = u32::deserialize(deserializer)?;
    READ.with_borrow_mut(|read| read.push(size));
    Ok(size)
}

#[typetag::serde(name = "counted")]
impl Batcher for Counted {
    fn label(&self) -> String {
        "counted".to_owned()
    }
    fn level(&self) -> Level {
        Level::Graphs
    }
    fn batch_size(&self) -> Option<u32> {
        Some(self.batch_size)
    }
    fn open(&self, _: View, _: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        Err(BatcherError::Options("never opened".to_owned()))
    }
}
batchlab_core::register!(Batcher, Counted, example = Counted { batch_size: 8 });

/// A data set that is never loaded.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Unloaded {
    /// Its path.
    #[serde(default)]
    path: String,
}

#[typetag::serde(name = "unloaded")]
impl Dataset for Unloaded {
    fn provides(&self) -> Provides {
        Provides { target: true, ..Provides::default() }
    }
    fn load(&self, _: &LoadContext) -> Result<Graphs, DatasetError> {
        Err(DatasetError::Empty("never loaded".to_owned()))
    }
}
batchlab_core::register!(Dataset, Unloaded, example = Unloaded { path: String::new() });

/// A model that is never trained.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Untrained {
    /// Values per node.
    #[serde(default)]
    width: u32,
}

#[typetag::serde(name = "untrained")]
impl Model for Untrained {
    fn needs(&self) -> BatchFields {
        BatchFields::default()
    }
    fn open(&self, _: &ModelContext) -> Result<Box<dyn Trainer>, ModelError> {
        Err(ModelError::Options("never opened".to_owned()))
    }
}
batchlab_core::register!(Model, Untrained, example = Untrained { width: 8 });

/// Discards all results.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nowhere {}

#[typetag::serde(name = "nowhere")]
impl Sink for Nowhere {
    fn open(
        &self,
        _: &batchlab_core::sink::SinkContext,
    ) -> Result<Box<dyn RecordWriter>, SinkError> {
        let source = std::io::Error::other("never written");
        Err(SinkError::Io { path: "nowhere".into(), source })
    }
}
batchlab_core::register!(Sink, Nowhere, example = Nowhere {});

const RUN: &str = r#"[dataset]
name = "unloaded"
[model]
name = "untrained"
[batcher]
name = "counted"
batch_size = 8
[evaluation.batcher]
name = "counted"
batch_size = 64
[training]
steps = 2
[[sink]]
name = "nowhere"
"#;

const LABELS: &[(&str, &str)] = &[("counted-4", "{ name = \"counted\", batch_size = 4 }")];
const NOTHING: Defaults = Defaults { tables: "", of_graphs: "", of_nodes: "", labels: LABELS };

fn file(content: &str, use_it: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, content).unwrap();
    use_it(&path);
}

fn load(content: &str, overrides: &[&str]) -> Result<LoadedConfig, String> {
    let overrides: Vec<String> = overrides.iter().map(|&change| change.to_owned()).collect();
    let mut loaded = None;
    file(content, |path| {
        let result = LoadedConfig::read(path, &overrides, NOTHING);
        let name = path.display().to_string();
        loaded = Some(result.map_err(|error| error.to_string().replace(&name, "run.toml")));
    });
    loaded.unwrap()
}

#[test]
fn each_table_of_a_run_is_read_once() {
    let loaded = load(RUN, &["batcher.batch_size=16"]).unwrap();
    assert_eq!(read_so_far(), [16, 64]);
    assert_eq!(loaded.config.batcher.batch_size(), Some(16));
    assert_eq!(loaded.config.evaluation.batcher.batch_size(), Some(64));
}

#[test]
fn each_table_of_a_strategy_is_read_once() {
    let size = BatchSize::try_from(32).unwrap();
    let unloaded = Unloaded { path: String::new() };
    let of = |text: &str| batcher_of_argument("--batcher", text, LABELS, size, &unloaded);
    assert_eq!(of("name = \"counted\"").unwrap().batch_size(), Some(32));
    assert_eq!(of("{ name = \"counted\" }").unwrap().batch_size(), Some(32));
    assert_eq!(of("counted").unwrap().batch_size(), Some(32));
    assert_eq!(of("counted-4").unwrap().batch_size(), Some(4));
    assert_eq!(read_so_far(), [32, 32, 32, 4]);
    let error = of("name = \"counted\", size = 3").unwrap_err().to_string();
    assert!(error.contains("--batcher:1:31"), "{error}");
}

#[test]
fn each_table_of_a_study_is_read_once_per_run() {
    let study = RUN.replace("[batcher]\nname = \"counted\"\nbatch_size = 8\n", "");
    let study = format!("batchers = [\"counted\"]\nbatch_sizes = [8, 16]\n{study}");
    file(&study, |path| {
        let study =
            StudyFile::read(Some(path), &["training.steps=2,3".to_owned()], NOTHING).unwrap();
        assert_eq!(read_so_far(), [0; 0]);
        study.settings().unwrap();
        assert_eq!(read_so_far(), [8, 64, 8, 64, 16, 64, 16, 64]);
    });
}

#[test]
fn a_batcher_with_its_own_batch_size_is_not_compared_at_several() {
    let study = RUN.replace("[batcher]\nname = \"counted\"\nbatch_size = 8\n", "");
    let own = "{ name = \"counted\", batch_size = 4 }";
    let runs = |sizes: &str, overrides: &[String]| {
        let study = format!("batchers = [\"counted\", {own}]\nbatch_sizes = {sizes}\n{study}");
        let mut outcome = Ok(());
        file(&study, |path| {
            let study = StudyFile::read(Some(path), overrides, NOTHING).unwrap();
            outcome = study.settings().map(|_| ());
        });
        outcome.map_err(|error| error.to_string())
    };
    let error = runs("[8, 16]", &[]).unwrap_err();
    assert!(error.contains("run.toml:1:") && error.contains("batch size of its own"), "{error}");
    assert_eq!(runs("[8]", &[]), Ok(()), "at one size there is one run of it");
    assert_eq!(runs("[8]", &["batch_sizes=8,16".to_owned()]), Ok(()), "which replaces its own");
}

/// Runs and studies share a syntax: a run may contain anything that a study may, as long as it
/// remains one run.
#[test]
fn labels_and_lists_are_understood_everywhere() {
    let sizes = |overrides: &[&str]| {
        let config = load(RUN, overrides).unwrap_or_else(|error| panic!("{error}")).config;
        (config.batcher.batch_size().unwrap(), config.evaluation.batcher.batch_size().unwrap())
    };
    assert_eq!(sizes(&["batcher=counted"]), (8, 64), "a batcher keeps the batch size");
    assert_eq!(sizes(&["batcher=counted-4"]), (4, 64), "unless it has its own");
    assert_eq!(sizes(&["batcher=counted", "batcher.batch_size=16"]), (16, 64));
    assert_eq!(sizes(&["batcher.batch_size=16", "batcher=counted"]), (16, 64));
    assert_eq!(sizes(&["evaluation.batcher=counted-4"]), (8, 4));
    assert_eq!(sizes(&["batchers=[counted]", "batch_sizes=16"]), (16, 64));
    assert_eq!(sizes(&["batch_sizes=[16]", "models=untrained", "dataset=unloaded"]), (16, 64));
    let labels = RUN.replace("[batcher]\nname = \"counted\"\nbatch_size = 8\n", "");
    let labels = format!("batcher = \"counted\"\nbatch_sizes = [8]\n{labels}");
    assert_eq!(load(&labels, &[]).unwrap().config.batcher.batch_size(), Some(8));

    let refused = |overrides: &[&str]| load(RUN, overrides).unwrap_err();
    let error = refused(&["batchers=counted,counted-4", "training.steps=2,3", "repeats=2"]);
    assert!(error.contains("a study of 8 runs (2 batchers x 2 variants x 2 repeats)"), "{error}");
    assert!(error.contains("batchlab sweep"), "{error}");
    let error = refused(&["batcher=count"]);
    assert!(error.contains("command line:1:11") && error.contains("counted-4"), "{error}");
}

#[test]
fn a_data_set_may_have_batchers_of_its_own() {
    let run = RUN
        .replace("[batcher]\nname = \"counted\"\nbatch_size = 8\n", "")
        .replace("[dataset]\nname = \"unloaded\"\n", "");
    let datasets = "[[datasets]]\nname = \"unloaded\"\n\
                    [[datasets]]\nname = \"unloaded\"\nbatchers = [\"counted\", \"counted-4\"]\n";
    let sizes = |batchers: &str, overrides: &[&str]| {
        let overrides: Vec<String> = overrides.iter().map(|&change| change.to_owned()).collect();
        let mut sizes: Vec<Vec<u32>> = Vec::new();
        file(&format!("{batchers}batch_sizes = [8]\n{run}{datasets}"), |path| {
            let study = StudyFile::read(Some(path), &overrides, NOTHING).unwrap();
            for setting in study.settings().unwrap() {
                let size = |run: &LoadedConfig| run.config.batcher.batch_size().unwrap();
                sizes.push(setting.runs.iter().map(size).collect());
            }
        });
        sizes
    };
    assert_eq!(sizes("batchers = [\"counted\"]\n", &[]), [vec![8], vec![8, 4]]);
    let chosen = sizes("", &["batchers=counted-4"]);
    assert_eq!(chosen, [[4], [4]], "the command line replaces both lists");
}

#[test]
fn components_of_one_name_are_told_apart_by_what_they_read() {
    let run = RUN.replace("[dataset]\nname = \"unloaded\"\n", "");
    let datasets = "[[datasets]]\nname = \"unloaded\"\n[[datasets]]\nname = \"unloaded\"\n\
                    path = \"../data/other.npz\"\n";
    file(&format!("{run}{datasets}"), |path| {
        let study = StudyFile::read(Some(path), &[], NOTHING).unwrap();
        let settings = study.settings().unwrap();
        let names: Vec<&str> = settings.iter().map(|setting| setting.dataset.as_str()).collect();
        assert_eq!(names, ["unloaded", "unloaded other"]);
    });
}

#[test]
fn changes_from_the_command_line_come_last() {
    let study = RUN.replace("[model]\nname = \"untrained\"\n", "");
    let study = format!(
        "{study}\n[[models]]\nname = \"untrained\"\nwith = {{ training.learning_rate = 0.5 }}\n"
    );
    let rate = |overrides: &[&str]| {
        f64::from(load(&study, overrides).unwrap().config.training.learning_rate)
    };
    assert!((rate(&[]) - 0.5).abs() < 1e-12);
    assert!((rate(&["training.learning_rate=0.25"]) - 0.25).abs() < 1e-12);
}

#[test]
fn options_chosen_for_a_strategy_belong_to_it() {
    let run = RUN.replace("[batcher]\nname = \"counted\"\nbatch_size = 8\n", "");
    let study = "batchers = [{ name = \"counted\", batch_size = 8, with = { training.learning_rate = 0.5 } }, \
                 { name = \"counted\", batch_size = 4 }]\n";
    let rates = |overrides: &[&str], tuned: &[Tunable]| -> Vec<f64> {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        let mut all = Vec::new();
        file(&format!("{study}{run}"), |path| {
            let study = StudyFile::read(Some(path), &overrides, NOTHING).unwrap();
            for loaded in study.settings().unwrap().pop().unwrap().runs {
                // The other strategies of the cell need to know, too.
                assert_eq!(loaded.config.training.tuned, tuned);
                let again: Config = serde_json::from_str(&loaded.to_json()).unwrap();
                assert_eq!(again.training, loaded.config.training);
                all.push(loaded.config.training.learning_rate.into());
            }
        });
        all
    };
    assert_eq!(rates(&[], &[Tunable::LearningRate]), [0.5, 1e-4]);
    assert_eq!(rates(&["training.learning_rate=0.25"], &[]), [0.25, 0.25]);
    // The other options of the training stay, however a list on the command line is written.
    let listed = "batchers=[{ name = \"counted\", batch_size = 2, with = { training = { learning_rate = 0.5 } } }]";
    assert_eq!(rates(&[listed], &[Tunable::LearningRate]), [0.5]);
    let plateau =
        "batchers=[{ name = \"counted\", batch_size = 2, with.training.plateau.factor = 0.5 }]";
    assert_eq!(
        rates(&[plateau, "training.plateau.patience=3", "evaluation.every=1"], &[Tunable::Plateau]),
        [1e-4]
    );
}

#[test]
fn a_configuration_comes_back_from_json() {
    let loaded = load(RUN, &["training.seeds.order=7"]).unwrap();
    let json = loaded.to_json();
    let again: Config = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), json);
}

#[test]
fn errors_are_shown_at_their_place() {
    let says = |from: &str, to: &str, overrides: &[&str], parts: &[&str]| {
        assert!(RUN.contains(from));
        let message = load(&RUN.replacen(from, to, 1), overrides).unwrap_err();
        for part in parts {
            assert!(message.contains(part), "{part}: {message}");
        }
    };
    says(
        "batch_size = 64",
        "size = 64",
        &[],
        &["run.toml:10:1", "`size`", "explain batcher.counted"],
    );
    says("batch_size = 8\n", "", &[], &["run.toml:5:1", "missing field `batch_size`"]);
    says("\"nowhere\"", "\"nowhere\"\nlevel = 3", &[], &["run.toml:15:1", "unknown field `level`"]);
    says(
        "\"untrained\"",
        "\"untrained\"\nwidth = -3",
        &[],
        &["run.toml:5:9", "a whole number, 0 or more"],
    );
    says("", "", &["model.widht=3"], &["command line", "did you mean \"width\"?"]);
    says("[training]", "[trainin]", &[], &["run.toml:11:2", "did you mean \"training\"?"]);
    says(
        "steps = 2",
        "steps = 2\ncheckpoint = { step = 1 }",
        &[],
        &["run.toml:13:16", "unknown field `step`", "did you mean \"steps\"?"],
    );
    says("[[sink]]\nname = \"nowhere\"\n", "", &[], &["missing field `sink`"]);
    says(
        "[evaluation.batcher]\nname = \"counted\"\nbatch_size = 64\n",
        "",
        &[],
        &["run.toml: there is no [evaluation.batcher]", "with name = one of: counted"],
    );
    says(
        "[evaluation.batcher]\nname = \"counted\"\nbatch_size = 64\n",
        "",
        &["evaluation=3"],
        &["command line:1:14", "evaluation is a table, not integer"],
    );
}
