//! Databases of ASE.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use batchlab_structures::{AtomArray, Entry, Numbers, ReadError, Source};
use tempfile::TempDir;

use crate::formats::all;

/// An ASE database with a row for each mask of directions.
pub(crate) fn database(masks: &[i64]) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    database
        .execute_batch(
            "PRAGMA page_size = 512; VACUUM;
             CREATE TABLE systems (id INTEGER PRIMARY KEY, numbers BLOB, positions BLOB, cell BLOB, pbc INTEGER,
                                   energy REAL, key_value_pairs TEXT, data BLOB);",
        )
        .unwrap();
    let numbers: Vec<u8> = [6_i32, 8].iter().flat_map(|n| n.to_le_bytes()).collect();
    let floats = |n: usize| (0..n).flat_map(|i| (i as f64).to_le_bytes()).collect::<Vec<u8>>();
    let data =
        packed(&[("pull", &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), ("U0", &[1], &[-7.5])], "");
    for pbc in masks {
        database
            .execute(
                "INSERT INTO systems (numbers, positions, cell, pbc, key_value_pairs, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                (&numbers, floats(6), floats(9), pbc, r#"{"gap": 0.5, "tag": "x"}"#, &data),
            )
            .unwrap();
    }
    drop(database);
    fs::read(path).unwrap()
}

/// Arrays of 64-bit floats as ASE packs them into `data`, and further JSON.
fn packed(arrays: &[(&str, &[usize], &[f64])], more: &str) -> Vec<u8> {
    let (mut bytes, mut json) = (vec![0; 8], Vec::new());
    for (name, shape, numbers) in arrays {
        json.push(format!(
            "\"{name}\":{{\"__ndarray__\":[{shape:?},\"float64\",{}]}}",
            bytes.len()
        ));
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }
    let offset = (bytes.len() as u64).to_le_bytes();
    bytes[..8].copy_from_slice(&offset);
    bytes.extend(format!("{{{}{more}}}", json.join(",")).bytes());
    bytes
}

fn entries(path: &Path, arrays: &[&str]) -> Result<Vec<Entry>, String> {
    let arrays: Vec<String> = arrays.iter().map(|&name| name.to_owned()).collect();
    let mut entries = Vec::new();
    let memory = &batchlab_core::MemoryBudget::default();
    let source = Source { path, bytes: None, wanted: None, arrays: &arrays, memory };
    let read = source.read::<ReadError>(&mut |entry| {
        entries.push(entry);
        Ok(ControlFlow::Continue(()))
    });
    read.map(|_| entries).map_err(|error| error.to_string())
}

#[test]
fn rows_of_ase_repeat_along_the_directions_of_their_masks() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.db");
    fs::write(&path, database(&[0, 7, 3, 4])).unwrap();
    let (a, b, c, zero) = ([0., 1., 2.], [3., 4., 5.], [6., 7., 8.], [0.; 3]);
    let (entries, _) = all(&path).unwrap();
    let cells = entries.iter().map(|entry| entry.structure.as_ref().unwrap().cell);
    let expected = [None, Some([a, b, c]), Some([a, b, zero]), Some([zero, zero, c])];
    assert_eq!(cells.collect::<Vec<_>>(), expected);
}

#[test]
fn arrays_of_ase_are_read_where_they_are_asked_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.db");
    fs::write(&path, database(&[0, 0])).unwrap();
    let floats = |n: u8| (0..n).flat_map(|i| f64::from(i).to_le_bytes()).collect::<Vec<u8>>();
    let tags: Vec<u8> = [7_i32, -1].iter().flat_map(|tag| tag.to_le_bytes()).collect();
    let database = rusqlite::Connection::open(&path).unwrap();
    for column in ["forces", "tags", "dipole"] {
        database.execute(&format!("ALTER TABLE systems ADD COLUMN {column} BLOB"), ()).unwrap();
    }
    let set = "UPDATE systems SET forces = ?1, tags = ?2, dipole = ?3 WHERE id = 1";
    database.execute(set, (floats(6), &tags, floats(3))).unwrap();
    let arrays = ["forces", "tags", "dipole"];
    let read = |arrays: &[&str]| entries(&path, arrays);
    let entries = read(&arrays).unwrap();
    let [first, second] = [&entries[0], &entries[1]].map(|entry| entry.structure.as_ref().unwrap());
    let forces = Numbers::Float(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(first.array["forces"], AtomArray { width: 3, numbers: forces });
    assert_eq!(first.array["tags"], AtomArray { width: 1, numbers: Numbers::Integer(vec![7, -1]) });
    assert_eq!(entries[0].text("dipole"), Some("0,1,2"));
    assert!(second.array.is_empty() && entries[1].text("dipole").is_none());
    assert!(second.known.contains(&"momenta".to_owned()));
    assert!(read(&[]).unwrap()[0].structure.as_ref().unwrap().array.is_empty());

    database.execute(set, (floats(5), &tags, floats(3))).unwrap();
    let error = read(&arrays).unwrap_err();
    assert!(error.contains("a.db:1: 2 atoms by `numbers`, but 1 by forces"), "{error}");
}

#[test]
fn arrays_in_data_belong_to_atoms_or_to_the_structure() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.db");
    fs::write(&path, database(&[0, 0, 0])).unwrap();
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute("ALTER TABLE systems ADD COLUMN forces BLOB", ()).unwrap();
    let set = |id: i64, numbers: &[i32], data: &dyn rusqlite::ToSql| {
        let numbers: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let positions = vec![0_u8; 6 * numbers.len()];
        let set = "UPDATE systems SET numbers = ?2, positions = ?3, data = ?4 WHERE id = ?1";
        database.execute(set, (id, &numbers, &positions, data)).unwrap();
    };
    let (forces, one, dipole) = ([1., 2., 3., 4., 5., 6.], [7., 8., 9.], [0.5, 1.0, 1.5]);
    let pair =
        [("forces", &[2, 3][..], &forces[..]), ("dipole", &[3], &dipole), ("U0", &[1], &[-7.5])];
    set(1, &[6, 8], &packed(&pair, ",\"source\":\"made\",\"odd\":{\"a\":1}"));
    let single =
        [("forces", &[1, 3][..], &one[..]), ("dipole", &[3], &dipole), ("U0", &[1], &[f64::NAN])];
    set(2, &[6], &packed(&single, ""));
    // Three atoms, and a dipole with three components; as text, from earlier versions of ASE.
    let text = "{\"forces\":{\"__ndarray__\":[[3,3],\"float64\",[0,0,0,0,0,0,0,0,-1.5]]},
                 \"dipole\":{\"__ndarray__\":[[3],\"float64\",[1,2,3]]},
                 \"bonds\":{\"__ndarray__\":[[3],\"int64\",[1,2,1]]}}";
    set(3, &[8, 1, 1], &text);
    let found = entries(&path, &["forces", "bonds"]).unwrap();
    let arrays = |place: usize| &found[place].structure.as_ref().unwrap().array;
    let of = |width, numbers: &[f64]| AtomArray { width, numbers: Numbers::Float(numbers.into()) };
    assert_eq!(arrays(0)["forces"], of(3, &forces));
    assert_eq!(arrays(1)["forces"], of(3, &one));
    assert_eq!(arrays(2)["forces"], of(3, &[0., 0., 0., 0., 0., 0., 0., 0., -1.5]));
    assert_eq!(arrays(2)["bonds"].numbers, Numbers::Integer(vec![1, 2, 1]));
    let texts = |name: &str| found.iter().map(|entry| entry.text(name)).collect::<Vec<_>>();
    assert_eq!(texts("dipole"), [Some("0.5,1,1.5"), Some("0.5,1,1.5"), Some("1,2,3")]);
    assert_eq!(texts("U0"), [Some("-7.5"), Some("NaN"), None]);
    assert_eq!(texts("source"), [Some("made"), None, None]);
    assert!(found[0].structure.as_ref().unwrap().known.contains(&"forces".to_owned()));
    assert!(entries(&path, &[]).unwrap()[0].structure.as_ref().unwrap().array.is_empty());

    let infinite = [("forces", &[2, 3][..], &[1., 2., 3., 4., 5., f64::INFINITY][..])];
    set(1, &[6, 8], &packed(&infinite, ""));
    let error = entries(&path, &["forces"]).unwrap_err();
    assert!(
        error.contains("a.db:1: the column `data.forces` should hold finite numbers, found `inf`"),
        "{error}"
    );
    let far = "{\"forces\":{\"__ndarray__\":[[2,3],\"float64\",[1,2]]}}";
    set(1, &[6, 8], &far);
    let error = entries(&path, &["forces"]).unwrap_err();
    assert!(error.contains("numbers of the stated shape, found `[2, 3] of float64`"), "{error}");
    set(1, &[6, 8], &&b"1234"[..]);
    assert!(entries(&path, &[]).unwrap_err().contains("a.db:1: `data` is cut off"));
}
