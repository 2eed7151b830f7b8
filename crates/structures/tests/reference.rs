//! Real files of every format. They lie beside the working copy; without them these tests say so
//! and pass.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "in a test")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use batchlab_structures::{Entry, Read, ReadError, read};

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if !path.exists() {
        eprintln!("skipped: {} does not exist", path.display());
    }
    path.exists().then_some(path)
}

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
    let Some(folder) = shared("aflow/nomad_Ag1Co1O2") else { return };
    let (entries, counts) = all(&folder);
    assert_eq!(counts, Read { n_file: 4, n_other: 0 });
    let contcar = entries.iter().find(|e| e.path.ends_with("CONTCAR.relax.vasp")).unwrap();
    let contcar = contcar.structure.as_ref().unwrap();
    let json = entries.iter().find(|e| e.path.ends_with("aflowlib.json")).unwrap();
    assert_eq!(
        (json.number("Egap"), json.number("enthalpy_formation_atom")),
        (Ok(Some(1.8904)), Ok(Some(0.589_366)))
    );
    let json = json.structure.as_ref().unwrap();
    assert_eq!(contcar.atomic_number, json.atomic_number);
    // The two lie at different angles in space; what is within one cell is the same.
    let length = |s: &batchlab_structures::Structure, i: usize| {
        (0..3).map(|k| (s.position[i][k] - s.position[0][k]).powi(2)).sum::<f64>().sqrt()
    };
    for atom in 0..8 {
        assert!((length(contcar, atom) - length(json, atom)).abs() < 1e-3, "{atom}");
    }
}

#[test]
fn rows_of_a_pull_without_geometry() {
    let Some(path) = shared("aflow/aflow_icsd_rows.csv") else { return };
    let (entries, _) = all(&path);
    assert_eq!(entries.len(), 9256);
    assert!(entries.iter().all(|e| e.structure.is_none() && e.number("Egap").unwrap().is_some()));
    let (reply, _) = all(&shared("aflow/aflux/data0.json").unwrap());
    assert_eq!((reply.len(), reply[0].number("Egap").unwrap()), (20, Some(6.8531)));
}

#[test]
fn crystals_in_tables_of_cif() {
    let Some(path) = shared("aflow/standins/cdvae_perov_5_val.csv.xz") else { return };
    let (entries, _) = all(&path);
    assert_eq!(entries.len(), 3787);
    assert!(entries.iter().all(|e| n_atom(e) == 5 && e.number("heat_ref").unwrap().is_some()));
    let (carbon, _) = all(&shared("aflow/standins/cdvae_carbon_24_val.csv.xz").unwrap());
    assert_eq!((carbon.len(), carbon.iter().map(n_atom).max()), (2032, Some(24)));
    assert!(carbon.iter().all(|e| e.number("energy_per_atom").unwrap().is_some()));
}

#[test]
fn molecules_of_a_database_and_of_extended_xyz() {
    let Some(path) = shared("qm9/qm9_ase_first1000.db") else { return };
    let (rows, _) = all(&path);
    assert_eq!((rows.len(), n_atom(&rows[0])), (1000, 8));
    assert!(rows.iter().all(|e| e.structure.as_ref().unwrap().cell.is_none()));
    assert!(
        rows.iter()
            .all(|e| e.number("U0").unwrap().is_some() && e.number("gap").unwrap().is_some())
    );
    let (joined, _) = all(&shared("qm9/qm9_joined.extxyz.xz").unwrap());
    assert_eq!(joined.len(), 14_170);
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
