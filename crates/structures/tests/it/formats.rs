//! What each reader accepts and rejects.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "in a test a failure is a panic, and text is read exactly"
)]

mod aflow;
mod cif;
mod poscar;
mod xyz;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use batchlab_structures::{Entry, Problem, Read, ReadError, cell, limits, read};
use tempfile::TempDir;

pub(crate) use cif::CIF;
pub(crate) use poscar::POSCAR;

pub(crate) fn all(path: &Path) -> Result<(Vec<Entry>, Read), ReadError> {
    let mut entries = Vec::new();
    let counts = read(path, &mut |entry| {
        entries.push(entry);
        Ok::<_, ReadError>(ControlFlow::Continue(()))
    })?;
    Ok((entries, counts))
}

pub(crate) fn parse(name: &str, text: &str) -> Result<Vec<Entry>, String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    let shorten = |error: ReadError| error.to_string().replace(path.to_str().unwrap(), name);
    all(&path).map(|(entries, _)| entries).map_err(shorten)
}

fn one(name: &str, text: &str) -> Entry {
    let mut entries = parse(name, text).unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.remove(0)
}

pub(crate) fn refused(name: &str, text: &str, message: &str) {
    let error = parse(name, text).unwrap_err();
    assert!(error.contains(message), "`{message}` is missing: {error}");
}

fn data(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/aflow").join(name)
}

/// As written by Windows editors.
#[test]
fn a_byte_order_mark_begins_no_format() {
    let reply =
        "[{\"compound\":\"Na1\",\"geometry\":[4,4,4,90,90,90],\"positions_fractional\":[[0,0,0]]}]";
    let out = "compound=Na1 | geometry=4,4,4,90,90,90 | positions_fractional=0,0,0";
    let table = "compound,geometry,positions_fractional\nNa1,\"[4,4,4,90,90,90]\",\"[[0,0,0]]\"\n";
    let xyz = "1\nLattice=\"4 0 0 0 4 0 0 0 4\" e=1\nNa 0 0 0\n";
    let poscar = "Na\n1\n4 0 0\n0 4 0\n0 0 4\nNa\n1\nDirect\n0 0 0\n";
    let cif = CIF.replace("  Cl-  Cl1  0.5 0.5 0.5  1\n", "");
    for (name, text) in [
        ("a.json", reply),
        ("a.out", out),
        ("a.csv", table),
        ("a.xyz", xyz),
        ("POSCAR", poscar),
        ("a.cif", &cif),
    ] {
        let with_mark = format!("\u{feff}{text}");
        let expected = one(name, text);
        assert_eq!(expected.structure.as_ref().unwrap().atomic_number, [11], "{name}");
        let found = one(name, &with_mark);
        assert_eq!((&found.structure, &found.property), (&expected.structure, &expected.property));
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gz, with_mark.as_bytes()).unwrap();
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, gz.finish().unwrap()).unwrap();
        assert_eq!(all(&path).unwrap().0[0].structure, expected.structure, "{name}");
    }
}

#[test]
fn a_structure_has_atoms() {
    refused("a.xyz", "1\n\nH 0 0 0\n0\n\n", "a.xyz:4: a structure with 0 atoms");
}

#[test]
fn reading_stops_when_asked_to() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.xyz");
    fs::write(&path, "1\n\nH 0 0 0\n".repeat(5)).unwrap();
    let mut n = 0;
    read(&path, &mut |_| {
        n += 1;
        let flow = if n == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        Ok::<_, ReadError>(flow)
    })
    .unwrap();
    assert_eq!(n, 2);
    // The visitor's error is returned, and nothing is read after it.
    let fault = read(&path, &mut |entry| {
        n += 1;
        Err(entry.fault(Problem::NoAtoms))
    });
    assert!(fault.unwrap_err().to_string().contains("a.xyz:1: a structure with 0 atoms"));
    assert_eq!(n, 3);
}
