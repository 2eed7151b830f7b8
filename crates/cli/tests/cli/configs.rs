//! Every bundled configuration is valid, and its results go to the directory that its name
//! suggests.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::path::Path;
use std::process::Command;

use batchlab_config::{Defaults, StudyFile};
use batchlab_study::Study;

#[test]
fn every_configuration_is_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let mut n_checked = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        n_checked += 1;
        let mut check = Command::new(env!("CARGO_BIN_EXE_batchlab"));
        let output = check.arg("check").arg(&path).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let resolved: toml::Table =
            toml::from_str(&String::from_utf8(output.stdout).unwrap()).unwrap();
        let stem = path.file_stem().unwrap().to_str();
        assert_eq!(resolved["study"].as_str(), stem, "{}", path.display());
    }
    assert!(n_checked > 1, "no configurations in {}", folder.display());
}

/// All studies have as many cells and runs as they claim.
#[test]
fn every_study_is_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/study");
    let read = |name: &str, arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        let defaults = Defaults {
            tables: batchlab_builtin::DEFAULTS,
            of_graphs: batchlab_builtin::DEFAULTS_OF_GRAPHS,
            of_nodes: batchlab_builtin::DEFAULTS_OF_NODES,
            labels: batchlab_builtin::PRESETS,
        };
        let file = StudyFile::read(Some(&folder.join(name)), &arguments, defaults);
        let file = file.unwrap_or_else(|error| panic!("{error}"));
        Study::of(&file).unwrap_or_else(|error| panic!("{error}"))
    };
    let n_file = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(n_file, 11, "read the others here too");

    batchlab_builtin::link();
    let quick = read("quick.toml", &[]);
    assert_eq!((quick.name.as_str(), quick.cells.len(), quick.n_run()), ("quick", 8, 48));
    // Two data sets, three models, four batch sizes, two pipelines, ten repeats; six batchers.
    let paper = read("paper.toml", &["device=cpu"]);
    assert_eq!((paper.name.as_str(), paper.cells.len(), paper.n_run()), ("paper", 480, 2880));
    let learning = read("learning.toml", &[]);
    assert_eq!((learning.cells.len(), learning.n_run()), (2 * 65, 3 * 2 * 65));
    // Three graphs, seven splits.
    let ibmb = read("ibmb.toml", &[]);
    assert_eq!((ibmb.cells.len(), ibmb.n_run()), (3 * 7, 3 * 7 * 10));
    let planted = read("ibmb-planted.toml", &[]);
    assert_eq!((planted.cells.len(), planted.n_run()), (4, 4 * 6));
    let large = read("ibmb-large.toml", &[]);
    assert_eq!((large.cells.len(), large.n_run()), (1, 2));
    let engines = read("engines.toml", &[]);
    // Two data sets, three batch sizes.
    assert_eq!((engines.cells.len(), engines.n_run()), (3 * 6, 3 * 6 * 5));
    let jax = read("engines-jax.toml", &[]);
    assert_eq!((&jax.name, jax.cells.len(), jax.n_run()), (&engines.name, 6, 6 * 4));
    let forces = read("engines-forces.toml", &[]);
    assert_eq!((forces.cells.len(), forces.n_run()), (1, 5));
    let error = read("error.toml", &[]);
    assert_eq!((error.cells.len(), error.n_run()), (10, 10 * 5));
    // Two data sets, two batch sizes, with recorded steps and without.
    let gpu = read("gpu.toml", &["device=cpu"]);
    assert_eq!((gpu.cells.len(), gpu.n_run()), (2 * 2 * 2, 2 * 2 * 2 * 4));
    let painn = paper.cells.iter().find(|cell| cell.info.model == "painn").unwrap();
    let decays = painn.runs.iter().map(|run| f64::from(run.config.training.learning_rate_decay));
    assert!(decays.eq([0.98; 6]), "changes for one model reach its runs");
    let ids: std::collections::HashSet<&str> =
        paper.cells.iter().map(|cell| cell.info.id.as_str()).collect();
    assert_eq!(ids.len(), 480);
    let part = read("paper.toml", &["device=cpu", "models=mpeu", "batch_sizes=32", "repeats=1"]);
    assert_eq!(part.cells.len(), 4);
    // A run's configuration is also a study, and the command line turns it into a grid.
    let run = |arguments: &[&str]| {
        let study = read("../smoke.toml", arguments);
        let cell = |cell: &batchlab_study::Cell| (cell.info.batch_size, cell.info.batchers.clone());
        study.cells.iter().map(cell).collect::<Vec<_>>()
    };
    let dynamic = || vec!["dynamic".to_owned()];
    assert_eq!(run(&[]), [(Some(32), dynamic())]);
    assert_eq!(run(&["batch_sizes=16,64"]), [(Some(16), dynamic()), (Some(64), dynamic())]);
    let all = ["static-64".to_owned(), "exact".to_owned()].to_vec();
    assert_eq!(run(&["batchers=static-64,exact", "batch_sizes=16"]), [(Some(16), all.clone())]);
    assert_eq!(run(&["batchers=static-64,exact"]), [(Some(32), all)]);
    let sizes = |arguments: &[&str]| -> Vec<u32> {
        let study = read("../smoke.toml", arguments);
        study.cells.iter().filter_map(|c| c.runs[0].config.batcher.batch_size()).collect()
    };
    assert_eq!((sizes(&[]), sizes(&["batch_sizes=16,64"])), (vec![32], vec![16, 64]));
}
