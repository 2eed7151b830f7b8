//! Real files of every format: beginnings of collections, and the collections themselves.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use batchlab_structures::{Entry, Read, ReadError, read};
use batchlab_testkit::fixture;

fn all(path: &Path) -> (Vec<Entry>, Read) {
    let mut entries = Vec::new();
    let counts = read(path, &mut |entry| {
        entries.push(entry);
        Ok::<_, ReadError>(ControlFlow::Continue(()))
    });
    let counts = counts.unwrap_or_else(|error| panic!("{error}"));
    (entries, counts)
}

fn n_atom(entry: &Entry) -> usize {
    entry.structure.as_ref().map_or(0, |structure| structure.atomic_number.len())
}

#[test]
fn a_relaxed_structure_agrees_with_its_entry() {
    let (entries, counts) = all(&fixture("nomad_Ag1Co1O2"));
    assert_eq!((counts.n_file, counts.n_other), (4, 0));
    let contcar = entries.iter().find(|e| e.path.ends_with("CONTCAR.relax.vasp")).unwrap();
    let contcar = contcar.structure.as_ref().unwrap();
    let json = entries.iter().find(|e| e.path.ends_with("aflowlib.json")).unwrap();
    assert_eq!(
        (json.number("Egap"), json.number("enthalpy_formation_atom")),
        (Ok(Some(1.8904)), Ok(Some(0.589_366)))
    );
    let json = json.structure.as_ref().unwrap();
    assert_eq!(contcar.atomic_number, json.atomic_number);
    // The two are rotated relative to each other in space; the content of one cell is the same.
    let length = |s: &batchlab_structures::Structure, i: usize| {
        (0..3).map(|k| (s.position[i][k] - s.position[0][k]).powi(2)).sum::<f64>().sqrt()
    };
    for atom in 0..8 {
        assert!((length(contcar, atom) - length(json, atom)).abs() < 1e-3, "{atom}");
    }
}

#[test]
fn rows_of_a_pull_without_geometry() {
    check_rows(&fixture("aflow_icsd_300.csv.xz"), 300);
    let (reply, _) = all(&fixture("aflux_reply.json"));
    assert_eq!((reply.len(), reply[0].number("Egap").unwrap()), (20, Some(6.8531)));
}

fn check_rows(path: &Path, n: usize) {
    let (entries, _) = all(path);
    assert_eq!(entries.len(), n);
    assert!(entries.iter().all(|e| e.structure.is_none() && e.number("Egap").unwrap().is_some()));
}

#[test]
fn crystals_in_tables_of_cif() {
    check_perovskites(&fixture("perov_5_100.csv.xz"), 100);
    check_carbon(&fixture("carbon_24_100.csv.xz"), (100, Some(22)));
}

fn check_perovskites(path: &Path, n: usize) {
    let (entries, _) = all(path);
    assert_eq!(entries.len(), n);
    assert!(entries.iter().all(|e| n_atom(e) == 5 && e.number("heat_ref").unwrap().is_some()));
}

/// Number of crystals, and atoms of the largest.
fn check_carbon(path: &Path, sizes: (usize, Option<usize>)) {
    let (carbon, _) = all(path);
    assert_eq!((carbon.len(), carbon.iter().map(n_atom).max()), sizes);
    assert!(carbon.iter().all(|e| e.number("energy_per_atom").unwrap().is_some()));
}

#[test]
fn molecules_of_a_database_and_of_extended_xyz() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/qm9_sample.extxyz.xz");
    check_molecules(&fixture("qm9_ase_20.db"), 20, &sample, 2000);
}

fn check_molecules(database: &Path, n_row: usize, extended: &Path, n_extended: usize) {
    let (rows, _) = all(database);
    assert_eq!((rows.len(), n_atom(&rows[0])), (n_row, 8));
    assert!(rows.iter().all(|e| e.structure.as_ref().unwrap().cell.is_none()));
    assert!(
        rows.iter()
            .all(|e| e.number("U0").unwrap().is_some() && e.number("gap").unwrap().is_some())
    );
    let (joined, _) = all(extended);
    assert_eq!(joined.len(), n_extended);
    assert!(joined.iter().all(|e| e.number("U0").unwrap().is_some()));
    // The same molecule from both.
    let ethane = joined
        .iter()
        .find(|e| e.number("gdb").unwrap() == Some(7.0))
        .unwrap()
        .structure
        .as_ref()
        .unwrap();
    let row = rows
        .iter()
        .find(|e| e.number("index").unwrap() == Some(7.0))
        .unwrap()
        .structure
        .as_ref()
        .unwrap();
    assert_eq!(ethane.atomic_number, row.atomic_number);
    for (a, b) in ethane.position.as_flattened().iter().zip(row.position.as_flattened()) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }
}

#[test]
#[ignore = "reads whole collections, which are not part of the project, in ../shared/data"]
fn whole_collections() {
    let shared = |name: &str| -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name)
    };
    check_rows(&shared("aflow/aflow_icsd_rows.csv"), 9256);
    check_perovskites(&shared("aflow/standins/cdvae_perov_5_val.csv.xz"), 3787);
    check_carbon(&shared("aflow/standins/cdvae_carbon_24_val.csv.xz"), (2032, Some(24)));
    let joined = shared("qm9/qm9_joined.extxyz.xz");
    check_molecules(&shared("qm9/qm9_ase_first1000.db"), 1000, &joined, 14_170);
}
