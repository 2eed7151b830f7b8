//! Damaged files: every reader ends with entries or with a message, and never with a panic.
//! `PROPTEST_CASES` sets how many to try.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use batchlab_structures::{ReadError, limits, read};
use batchlab_testkit::damage::{damaged, damages};
use proptest::prelude::*;
use tempfile::TempDir;

const XYZ: &[u8] = b"2\nLattice=\"4 0 0 0 4 0 0 0 4\" Properties=species:S:1:pos:R:3 energy=-1.5 name=\"a b\" pbc=\"T T T\"\nFe 1 2 3\nNi 0 0 0\n1\nplain\nH 0 0 0\n";
const QM9: &[u8] = b"3\ngdb 3\t799.58812\t437.90386\t282.94545\t1.8511\t6.31\t-0.2928\t0.0687\t0.3615\t19.0002\t0.021375\t-76.404702\t-76.401867\t-76.400922\t-76.422349\t6.002\t\nO\t-0.03\t0.97\t0.007\t-0.58\nH\t0.06\t0.02\t0.001\t0.29\nH\t0.87\t1.30\t0.0006\t0.29\n1671.4222\t3803.6305\t3907.698\nO\tO\t\nInChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2\n";
const POSCAR: &[u8] = b"rock salt\n2.0\n2 0 0\n0 2 0\n0 0 2\nNa Cl\n1 1\nSelective\nDirect\n0 0 0 T T T\n0.5 0.5 0.5 T F T\n";
const CIF: &[u8] = b"data_NaCl\n_symmetry_space_group_name_H-M 'P 1'\n_cell_length_a 4.0(1)\n_cell_length_b 4\n_cell_length_c 4\n_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n_note\n;text\n;\nloop_\n _atom_site_type_symbol\n _atom_site_fract_x\n _atom_site_fract_y\n _atom_site_fract_z\n Na 0 0 0\n Cl 0.5 0.5 0.5\n";
const TABLE: &[u8] = b",compound,Egap,dft_type,geometry,positions_fractional\n0,Na1Cl1,0.5,['PAW_PBE'],\"[4.0, 4, 4, 90, 90, 90]\",\"[[0, 0, 0], [0.5, 0.5, 0.5]]\"\n1,K1,nan,['GGA'],,\n";
const CIF_TABLE: &[u8] = b",id,cif,heat\n7,5,\"data_Na\n_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\n_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\nloop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nNa1 0 0 0\n\",-2.5\n";
const REPLY: &[u8] = b"{\"1 of 2\":{\"auid\":\"aflow:1\",\"compound\":\"Na1Cl1\",\"geometry\":[4,\"4\",4,90,90,90],\"positions_fractional\":[[0,0,0],[\"0.5\",0.5,0.5]]},\"2 of 2\":{\"species\":[\"Na\"],\"composition\":[1],\"geometry\":[4,4,4,90,90,90],\"positions_fractional\":[[0,0,0]]}}";

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let entry = |name| {
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/aflow").join(name)).unwrap()
    };
    let mut seeds: Vec<(&str, Vec<u8>)> = [
        ("a.xyz", XYZ),
        ("b.xyz", QM9),
        ("POSCAR", POSCAR),
        ("a.cif", CIF),
        ("a.csv", TABLE),
        ("b.csv", CIF_TABLE),
        ("a.json", REPLY),
    ]
    .map(|(name, bytes)| (name, bytes.to_vec()))
    .into();
    seeds.extend([
        ("aflowlib.json", entry("lib2_example.json")),
        ("aflowlib.out", entry("lib2_example.out")),
    ]);
    seeds.push(("a.db", crate::ase::database(&[0, 7])));
    let mut archive = tar::Builder::new(Vec::new());
    let folder = TempDir::new().unwrap();
    for (name, bytes) in &seeds[..4] {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    archive.append_dir_all("a", folder.path()).unwrap();
    let tar = archive.into_inner().unwrap();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("a.xyz", zip::write::SimpleFileOptions::default()).unwrap();
    std::io::Write::write_all(&mut zip, XYZ).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, &tar).unwrap();
    seeds.extend([
        ("a.tar", tar),
        ("a.zip", zip.finish().unwrap().into_inner()),
        ("a.tar.gz", gz.finish().unwrap()),
    ]);
    seeds
}

fn check(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), TestCaseError> {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    let mut n_entry = 0;
    let result = read(&path, &mut |entry| {
        n_entry += 1;
        if let Some(structure) = entry.structure {
            assert_eq!(structure.atomic_number.len(), structure.position.len());
            assert!(structure.atomic_number.len() <= limits::MAX_ATOM);
            assert!(structure.atomic_number.iter().all(|z| (1..=118).contains(z)));
            assert!(structure.position.as_flattened().iter().all(|x| x.is_finite()));
            assert!(structure.cell.iter().flatten().flatten().all(|x| x.is_finite()));
        }
        let is_last = n_entry == 10_000;
        Ok::<_, ReadError>(if is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    if let Err(error) = result {
        let message = error.to_string();
        prop_assert!(
            message.len() < 2000 && !message.contains(['\n', '\0', '\u{1b}']),
            "{:?}",
            message
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_end_with_a_message(
        which in any::<prop::sample::Index>(), damages in damages()
    ) {
        thread_local! {
            static SEEDS: (Vec<(&'static str, Vec<u8>)>, TempDir) = (seeds(), TempDir::new().unwrap());
        }
        SEEDS.with(|(seeds, folder)| {
            let (name, bytes) = which.get(seeds);
            check(folder.path(), name, &damaged(bytes, &damages))
        })?;
    }

    #[test]
    fn any_bytes_end_with_a_message(bytes in prop::collection::vec(any::<u8>(), 0..400), start in 0..4_usize) {
        thread_local! {
            static FOLDER: TempDir = TempDir::new().unwrap();
        }
        let name = ["a", "POSCAR", "a.cif", "a.csv"][start];
        let head: &[u8] = [&b"1\n"[..], b"", b"data_", b",cif\n"][start];
        FOLDER.with(|folder| check(folder.path(), name, &[head, &bytes].concat()))?;
    }
}

#[test]
fn undamaged_seeds_are_read() {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in seeds() {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let mut n_structure = 0;
        let result = read(&path, &mut |entry| {
            n_structure += usize::from(entry.structure.is_some());
            Ok::<_, ReadError>(ControlFlow::Continue(()))
        });
        assert!(result.is_ok() && n_structure > 0, "{name}: {result:?}");
    }
}
