//! What each reader accepts and rejects.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "in a test a failure is a panic, and text is read exactly"
)]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use batchlab_structures::{Entry, Problem, Read, ReadError, cell, limits, read};
use tempfile::TempDir;

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

#[test]
fn entries_of_aflow_say_the_same_in_json_and_out() {
    let (json, _) = all(&data("lib3_example.json")).unwrap();
    let (out, _) = all(&data("lib3_example.out")).unwrap();
    let [json, out] = [&json[0], &out[0]];
    let structure = json.structure.as_ref().unwrap();
    let other = out.structure.as_ref().unwrap();
    assert_eq!(structure.atomic_number, other.atomic_number);
    // One file prints a digit less than the other.
    for (a, b) in structure.position.as_flattened().iter().zip(other.position.as_flattened()) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
    assert_eq!(structure.atomic_number, [24, 8, 8, 8, 44]);
    for entry in [json, out] {
        assert_eq!(entry.text("auid"), Some("aflow:0003b1ab0ca0d60a"));
        assert_eq!(entry.text("dft_type"), Some("PAW_PBE"));
        assert_eq!((entry.number("Egap"), entry.text("Egap_type")), (Ok(Some(0.0)), Some("metal")));
        assert_eq!(entry.number("enthalpy_formation_atom"), Ok(None));
    }
}

/// Grams per mole, for the density stated in the entries.
const WEIGHTS: [(u8, f64); 7] = [
    (8, 15.9994),
    (13, 26.9815),
    (20, 40.08),
    (24, 51.996),
    (44, 101.07),
    (47, 107.8682),
    (56, 137.33),
];

#[test]
fn densities_of_entries_follow_from_cell_and_atoms() {
    let names = ["lib1_example.out", "lib2_example.json", "lib2_example.out", "lib3_example.json"];
    for name in names {
        let (entries, _) = all(&data(name)).unwrap();
        let structure = entries[0].structure.as_ref().unwrap();
        let weight = |z: &u8| WEIGHTS.iter().find(|(known, _)| known == z).unwrap().1;
        let mass: f64 = structure.atomic_number.iter().map(weight).sum();
        let density = mass / cell::volume(&structure.cell.unwrap()) * 1.660_539;
        let stated = entries[0].number("density").unwrap().unwrap();
        assert!((density - stated).abs() < 1e-3 * stated, "{name}: {density} {stated}");
    }
}

const ENTRY: &str = r#""auid":"aflow:1","compound":"Na1Cl1","geometry":[4,"4",4,90,90,90],"positions_fractional":[[0,0,0],["0.5",0.5,0.5]]"#;

#[test]
fn replies_are_lists_or_numbered_objects_of_entries() {
    let list = parse(
        "a.json",
        &format!("[{{{ENTRY},\"Egap\":\"6.8531\"}}, {{\"compound\":\"K1\",\"Egap\":null}}]"),
    )
    .unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(list[0].structure.as_ref().unwrap().position[1], [2.0; 3]);
    assert_eq!((list[0].number("Egap"), list[0].line), (Ok(Some(6.8531)), 1));
    assert_eq!((&list[1].structure, list[1].number("Egap"), list[1].line), (&None, Ok(None), 2));
    let keyed = format!("{{\"1 of 912\":{{{ENTRY}}},\"2 of 912\":{{{ENTRY}}}}}");
    let keyed = parse("a.json", &keyed).unwrap();
    assert_eq!((keyed.len(), &keyed[1].structure), (2, &list[0].structure));
    // An object within an entry does not make it a response.
    assert_eq!(parse("a.json", &format!("{{{ENTRY},\"x\":{{\"y\":1}}}}")).unwrap().len(), 1);
    assert_eq!(parse("a.json", "[]").unwrap(), []);
}

#[test]
fn faults_of_entries_are_named() {
    let with = |from: &str, to: &str| format!("[{{{ENTRY}}},{{{}}}]", ENTRY.replace(from, to));
    refused("a.json", &with("Na1Cl1", "Na1Xx1"), "a.json:2: unknown element `Xx`");
    refused(
        "a.json",
        &with("Na1Cl1", "Na2Cl1"),
        "3 atoms by the formula, but 2 by `positions_fractional`",
    );
    refused("a.json", &with("[0,0,0]", "[0,0]"), "expected positions_fractional, found `[0,0]`");
    refused("a.json", &with("[0,0,0]", "[0,0,\"x\"]"), "should be a finite number, found `x`");
    refused("a.json", &with(",90,90,90", ",90,90,190"), "no cell has the lengths and angles");
    refused("a.json", &with("Na1Cl1", "Na999999999"), "more than 10000000 atoms");
    refused("a.json", &with("\"compound\"", "\"x\""), "`compound` is missing");
    refused("a.json", "[{\"a\":1}, 7]", "a.json:1: invalid type");
    refused(
        "a.json",
        "[{\"a\":1}",
        "the file ends where the rest of the JSON document should follow",
    );
    refused("a.json", &"[".repeat(100_000), "a.json:1: ");
    refused("a.out", "auid=1 | compound", "a.out:1: expected `key=value` joined by ` | `");
    refused(
        "a.out",
        "compound=Na1 | geometry=1,2 | positions_fractional=0,0,0",
        "expected geometry",
    );
}

#[test]
fn tables_hold_lists_as_python_prints_them() {
    let text = ",compound,auid,Egap,dft_type,geometry,positions_fractional\n\
        0,Na1Cl1,aflow:1,0.5,['PAW_PBE'],\"[4.0, 4, 4, 90, 90, 90]\",\"[[0, 0, 0], [0.5, 0.5, 0.5]]\"\n\
        1,K1,aflow:2,nan,['GGA'],,\n";
    let entries = parse("a.csv", text).unwrap();
    assert_eq!(entries[0].structure.as_ref().unwrap().position, [[0.0; 3], [2.0; 3]]);
    assert_eq!((entries[0].text("dft_type"), entries[0].line), (Some("PAW_PBE"), 2));
    assert_eq!((&entries[1].structure, entries[1].number("Egap")), (&None, Ok(None)));
    refused(
        "a.csv",
        &text.replace("[[0, 0, 0],", "[[0, 0, 0"),
        "a.csv:2: expected a list such as `[1, 2]`",
    );
    refused(
        "a.csv",
        &format!("{text}3,4\n"),
        "a.csv:4: expected 7 columns as in the header, found 2",
    );
}

pub(crate) const CIF: &str = "# generated using pymatgen
data_NaCl
_symmetry_space_group_name_H-M   'P 1'
_cell_length_a   4.0(1)
_cell_length_b   4
_cell_length_c   4
_cell_angle_alpha   90
_cell_angle_beta   90
_cell_angle_gamma   90
loop_
 _symmetry_equiv_pos_site_id
 _symmetry_equiv_pos_as_xyz
  1  'x, y, z'
loop_
 _atom_site_type_symbol
 _atom_site_label
 _atom_site_fract_x
 _atom_site_fract_y
 _atom_site_fract_z
 _atom_site_occupancy
  Na+  Na0  -0.0 0 0  1
  Cl-  Cl1  0.5 0.5 0.5  1
";

#[test]
fn cif_is_read_alone_and_in_tables() {
    let entry = one("a.cif", CIF);
    let structure = entry.structure.as_ref().unwrap();
    assert_eq!(structure.atomic_number, [11, 17]);
    assert_eq!((structure.position[1], structure.cell.unwrap()[1]), ([2.0; 3], [0.0, 4.0, 0.0]));
    assert_eq!(entry.text("name"), Some("NaCl"));
    assert_eq!(parse("a.cif", &CIF.repeat(2)).unwrap().len(), 2);
    assert_eq!(
        one("POSCAR_1.cif", &format!("# old\n{CIF}").replace('\n', "\r")).structure,
        entry.structure
    );

    let table = format!(",id,cif,heat\n7,5,\"{CIF}\",-2.5\n8,6,\"{CIF}\",1e-1\n");
    let entries = parse("a.csv", &table).unwrap();
    assert_eq!(entries[1].structure, entry.structure);
    assert_eq!(
        (entries[0].number("heat"), entries[1].number("heat")),
        (Ok(Some(-2.5)), Ok(Some(0.1)))
    );
    assert_eq!((entries[0].line, entries[1].line), (2, 25));
    let broken = table.replacen("_cell_angle_beta   90", "_cell_angle_beta   x", 1);
    let message = "a.csv:9: _cell_angle_beta should be a finite number, found `x`";
    refused("a.csv", &broken, message);
    refused("a.csv", &broken.replace('\n', "\r\n"), message);
}

#[test]
fn symmetry_is_expanded_from_operations_symbols_and_numbers() {
    let with = |from: &str, to: &str| CIF.replace(from, to);
    let operations =
        "loop_\n _symmetry_equiv_pos_site_id\n _symmetry_equiv_pos_as_xyz\n  1  'x, y, z'\n";
    let group = "_symmetry_space_group_name_H-M   'P 1'\n";
    let n_atom = |text: &str| one("a.cif", text).structure.unwrap().atomic_number.len();
    assert_eq!(n_atom(&with(operations, "")), 2);
    for stated in [
        "_symmetry_space_group_name_H-M 'F m -3 m'",
        "_space_group_name_H-M_alt 'Fm-3m'",
        "_space_group.name_H-M_full 'F 4/m -3 2/m'",
        "_space_group_IT_number 225",
        "_symmetry_Int_Tables_number 225",
        "_space_group.IT_number '225 '",
        "_space_group_IT_number\n;\n225\n;",
        "_space_group_name_Hall '-F 4 2 3'",
        "_symmetry_space_group_name_Hall '-F 4 2 3'\n_space_group_name_H-M_ref 'P 1'",
    ] {
        let text = with(operations, "").replace(group, &format!("{stated}\n"));
        let structure = one("a.cif", &text).structure.unwrap();
        assert_eq!(structure.atomic_number, [[11; 4], [17; 4]].concat(), "{stated}");
        assert!(structure.position.as_flattened().iter().all(|x| [0.0, 2.0].contains(x)));
    }
    // The names of lists: old, CIF 1.1, CIF 2, magnetic.
    for name in [
        "_symmetry_equiv_pos_as_xyz",
        "_space_group_symop_operation_xyz",
        "_space_group_symop.operation_xyz",
    ] {
        let list = format!("loop_\n{name}\nx,y,z\n-x,-y,-z\nx+1/2,y+1/2,z\n'1/2-x, 1/2-y, -z'\n");
        assert_eq!(n_atom(&with(operations, &list).replace(group, "")), 4, "{name}");
    }
    let magnetic = "loop_\n_space_group_symop_magn_operation.xyz\nx,y,z,+1\n-x,-y,-z,-1\n\
                    loop_\n_space_group_symop_magn_centering.xyz\nx,y,z,+1\nx,y+1/2,z+1/2,-1\n";
    assert_eq!(n_atom(&with(operations, magnetic).replace(group, "")), 4);
}

#[test]
fn cif_that_is_unclear_is_refused() {
    let with = |from: &str, to: &str| CIF.replace(from, to);
    let operations =
        "loop_\n _symmetry_equiv_pos_site_id\n _symmetry_equiv_pos_as_xyz\n  1  'x, y, z'\n";
    let group = "_symmetry_space_group_name_H-M   'P 1'\n";
    let stated = |text: &str| with(operations, "").replace(group, &format!("{text}\n"));
    refused(
        "a.cif",
        &with("'x, y, z'", "'x, y, z'\n 2 '-x, -y, -z'"),
        "a.cif:3: the symmetry `P 1` contradicts",
    );
    refused("a.cif", &with("'P 1'", "'F m -3 m'"), "a.cif:3: the symmetry `F m -3 m` contradicts");
    refused("a.cif", &with("'x, y, z'", "'-x, y, z'"), "of 1 listed operations` is no group");
    refused("a.cif", &with("'x, y, z'", "'x, y'"), "a.cif:13: expected a symmetry operation");
    refused(
        "a.cif",
        &stated("_space_group_IT_number 227"),
        "a.cif:3: the symmetry `227` has several settings",
    );
    refused("a.cif", &stated("_space_group_IT_number 194"), "does not fit the lengths and angles");
    refused("a.cif", &stated("_space_group_name_H-M_alt 'F x'"), "the symmetry `F x` is not known");
    refused(
        "a.cif",
        &stated("_space_group_name_Schoenflies 'O_h^5'"),
        "`O_h^5` is a Schoenflies symbol",
    );
    refused(
        "a.cif",
        &stated("_space_group_magn.name_BNS \"P 1' \""),
        "is that of a magnetic group",
    );
    refused(
        "a.cif",
        &with("0.5 0.5 0.5  1", "0.5 0.5 0.5  0.5"),
        "a.cif:22: `_atom_site_occupancy` is `0.5`",
    );
    refused("a.cif", &with("_occupancy", "_disorder_group"), "`_atom_site_disorder_group` is `1`");
    refused(
        "a.cif",
        &with("_occupancy", "_attached_hydrogens"),
        "`_atom_site_attached_hydrogens` is `1`",
    );
    let mirrored = stated("_space_group_IT_number 2").replace("0.5 0.5 0.5", "0.5 0.5 0.46");
    refused("a.cif", &mirrored, "a.cif:18: `Cl1` and `Cl1` are 0.32 angstrom apart");
    refused("a.cif", &with("_cell_length_b   4\n", ""), "a.cif:2: `_cell_length_b` is missing");
    refused(
        "a.cif",
        &with("_cell_length_b   4", "_cell_length_a   5"),
        "a.cif:5: the key `_cell_length_a` occurs twice",
    );
    refused(
        "a.cif",
        &with("  Cl-  Cl1  0.5 0.5 0.5  1", "  Cl-  Cl1"),
        "found `8 values for 6 names`",
    );
    refused("a.cif", &with("'P 1'", "'P 1"), "a.cif:3: expected the end of a quoted text");
    refused("a.cif", &with("data_NaCl", "data_NaCl\n;endless"), "the semicolon that ends a text");
    refused("a.cif", &with("Cl-", "Q"), "a.cif:22: unknown element `Q`");
    refused(
        "a.cif",
        &with("0.5 0.5 0.5", "0.5 ? 0.5"),
        "a.cif:22: y should be a finite number, found `?`",
    );
    refused(
        "a.cif",
        &with("-0.0 0 0", ". 0 0"),
        "a.cif:21: x should be a finite number, found `.`",
    );
    refused("a.cif", &with("90\nloop_", "?\nloop_"), "a.cif:9: _cell_angle_gamma should be");
    // Two elements share a site without stated partial occupancy.
    let shared = "a.cif:22: `Na0` and `Cl1` are 0.40 angstrom apart";
    refused("a.cif", &with("0.5 0.5 0.5", "1.0 0.1 0.0"), shared);
    refused("a.cif", "# nothing\n", "a.cif:1: `data_` is missing");
}

#[test]
fn blocks_without_atoms_are_passed_over_and_counted() {
    let global = "data_global\n_journal_name_full 'Acta M\u{fc}ller'\n_cell_length_a ?\n";
    let template = "data_t\nloop_\n_atom_site_label\n_atom_site_fract_x\n? ?\n";
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.cif");
    let bytes: Vec<u8> = format!("{global}{CIF}{template}").chars().map(|c| c as u8).collect();
    fs::write(&path, bytes).unwrap();
    let (entries, counts) = all(&path).unwrap();
    assert_eq!((entries.len(), counts.n_block, entries[0].line), (1, 2, 5));
    refused("a.cif", global, "a.cif:1: `_atom_site_fract_x` is missing");
}

#[test]
fn elements_of_cif_come_from_symbols_or_labels() {
    let found = |symbol: &str, label: &str| {
        let text = CIF.replace("Cl-  Cl1", &format!("{symbol}  {label}"));
        let text = if symbol.is_empty() {
            text.replace(" _atom_site_type_symbol\n", "").replace("Na+  Na0", "Na0")
        } else {
            text
        };
        parse("a.cif", &text)
            .map_or(0, |entries| entries[0].structure.as_ref().unwrap().atomic_number[1])
    };
    for (symbol, z) in [("Fe3+", 26), ("CL1-", 17), ("D", 1), ("ca", 20), ("Qx", 0), ("Wat", 0)] {
        assert_eq!(found(symbol, "X1"), z, "{symbol}");
    }
    for (label, z) in [
        ("Fe1A", 26),
        ("O12", 8),
        ("MgM1", 12),
        ("OW1", 8),
        ("CA1", 0),
        ("OH", 0),
        ("Wat1", 0),
        ("Q1", 0),
        ("T1", 0),
        ("Vac1", 0),
        ("D2", 1),
    ] {
        assert_eq!(found("", label), z, "{label}");
    }
}

pub(crate) const POSCAR: &str =
    "rock salt\n2.0\n2 0 0\n0 2 0\n0 0 2\nNa Cl_h\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5 T F T\n";

#[test]
fn poscar_of_both_versions_direct_and_cartesian() {
    let structure = one("POSCAR", POSCAR).structure.unwrap();
    assert_eq!(structure.atomic_number, [11, 17]);
    assert_eq!((structure.cell.unwrap()[0], structure.position[1]), ([4.0, 0.0, 0.0], [2.0; 3]));
    let same =
        |text: &str| assert_eq!(one("x.vasp", text).structure.as_ref(), Some(&structure), "{text}");
    let four = POSCAR.replace("Na Cl_h\n", "").replace("0 0 0\n0.5", "0 0 0 Na\n0.5");
    same(&four.replace("T F T", "Cl ! chlorine"));
    let selective = four.replace("Direct", "Selective\nDirect").replace("Na\n0.5", "T T T Na\n0.5");
    same(&selective.replace("T F T", ".TRUE. .FALSE. F Cl"));
    same(&POSCAR.replace("Direct", "Selective dynamics\nC").replace("0.5 0.5 0.5", "1 1 1"));
    same(&POSCAR.replace("2.0\n", "-64.0\n"));
    same(&POSCAR.replace("2.0\n", "2 2 2 ! comment\n"));
    same(&POSCAR.replace("Direct", "Fractional"));
    same(&POSCAR.replace("Na Cl_h\n1 1", "Na\nCl\n1\n1"));
    // Recognised by content alone, whatever the comment, or else by name.
    for comment in ["rock salt", "[Na Cl]", "{\"a\": 1}", "data_x", "a,cif", "x | y=1", "2"] {
        let text = POSCAR.replace("rock salt", comment);
        assert_eq!(one("unnamed", &text).structure.as_ref(), Some(&structure), "{comment}");
        refused("POSCAR", &text.replace("2.0\n", "a\n"), "POSCAR:2: expected one scale or three");
    }
    // Fluorine is not a flag.
    let fluoride = four.replace("0 0 0 Na", "0 0 0 Li").replace("T F T", "F");
    assert_eq!(one("POSCAR", &fluoride).structure.unwrap().atomic_number, [3, 9]);
    let fluoride = selective.replace("T F T", "T T F F");
    assert_eq!(one("POSCAR", &fluoride).structure.unwrap().atomic_number, [11, 9]);

    let nameless = POSCAR.replace("Na Cl_h\n", "");
    refused("POSCAR", &nameless, "POSCAR:9: `symbol` is missing");
    refused("POSCAR", &four.replace("Na\n", "Q\n"), "POSCAR:8: unknown element `Q`");
    refused("POSCAR", &POSCAR.replace("1 1\n", "1 1 1\n"), "as many symbols as numbers of atoms");
    refused("POSCAR", &POSCAR.replace("1 1\n", "1 99999999999\n"), "more than 10000000 atoms");
    refused(
        "POSCAR",
        &POSCAR.replace("1 1\n", "1 2\n"),
        "POSCAR:11: the file ends where a position",
    );
    refused("POSCAR", &POSCAR.replace("Direct\n", ""), "`Direct` or `Cartesian`, found `0 0 0`");
    refused("POSCAR", &POSCAR.replace("2.0\n", "0\n"), "a scale other than 0");
    refused(
        "POSCAR",
        &POSCAR.replace("0 0 2", "0 0 0"),
        "POSCAR:5: expected a vector of the cell with",
    );
    refused(
        "POSCAR",
        &POSCAR.replace("1 1\n", "1 1.0\n"),
        "POSCAR:7: expected the numbers of atoms",
    );
}

#[test]
fn elements_of_a_poscar_that_are_guessed_are_told() {
    let guessed = |text: &str| {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("POSCAR");
        fs::write(&path, text).unwrap();
        let (entries, counts) = all(&path).unwrap();
        let notes = counts.notes();
        assert!(notes.len() == 1 && notes[0].starts_with("warning: "), "{notes:?}");
        (entries[0].structure.as_ref().unwrap().atomic_number.clone(), notes[0].clone())
    };
    let nameless = POSCAR.replace("Na Cl_h\n", "");
    for comment in ["Na Cl", "NaCl bulk", "Na1Cl1", "relaxed Na1 Cl1"] {
        let (elements, note) = guessed(&nameless.replace("rock salt", comment));
        assert_eq!(elements, [11, 17], "{comment}");
        assert!(
            note.contains(&format!("POSCAR: the elements are taken from the comment `{comment}`"))
        );
    }
    let (elements, note) = guessed(&POSCAR.replace("1 1\n", "2\n"));
    assert_eq!(elements, [11, 11]);
    assert!(
        note.ends_with("2 symbols, but 1 numbers of atoms; the first symbols are taken"),
        "{note}"
    );
}

#[test]
fn xyz_plain_and_extended() {
    let plain = one("a.xyz", "2\nwater, almost\nO 0 0 0\n1 0.96 0 0 0.5\n");
    let structure = plain.structure.as_ref().unwrap();
    assert_eq!((structure.atomic_number.as_slice(), structure.cell), (&[8, 1][..], None));
    assert_eq!(
        (structure.position[1], plain.text("comment")),
        ([0.96, 0.0, 0.0], Some("water, almost"))
    );

    let head = "Lattice=\"4 0 0 0 4 0 0 0 4\" Properties=id:I:1:species:S:1:pos:R:3 energy=-1.5 name='a b' v=[1, 2] flag";
    let text = format!("1\n{head} pbc=\"T T T\"\n7 Fe 1 2 3\n\n1\n{head}\n8 Ni 1 2 3\n");
    let entries = parse("a.xyz", &text).unwrap();
    let cell = Some([[4., 0., 0.], [0., 4., 0.], [0., 0., 4.]]);
    assert_eq!(
        entries.iter().map(|e| e.structure.as_ref().unwrap().cell).collect::<Vec<_>>(),
        [cell, cell]
    );
    assert_eq!((entries[1].line, entries[1].structure.as_ref().unwrap().atomic_number[0]), (5, 28));
    assert_eq!(entries[0].text("energy"), Some("-1.5"));
    assert_eq!(
        ["name", "v", "flag"].map(|key| entries[0].text(key)),
        [Some("a b"), Some("1, 2"), Some("")]
    );
    let open = text.replace("T T T", "F F F");
    assert_eq!(parse("a.xyz", &open).unwrap()[0].structure.as_ref().unwrap().cell, None);

    refused("a.xyz", &text.replace("T T T", "T T"), "a.xyz:2: expected `pbc` such as `T T F`");
    refused(
        "a.xyz",
        "1\nProperties=species:S:1:pos:R:3 pbc=\"F F T\"\nH 0 0 0\n",
        "a.xyz:2: by `pbc` the structure repeats along vector 3 of the cell, but there is none",
    );
    refused(
        "a.xyz",
        &text.replace("7 Fe 1 2 3", "Fe 1 2 3"),
        "a.xyz:3: expected 5 columns for an atom, found 4 in `Fe 1 2 3`",
    );
    refused("a.xyz", "2\n\nH 0 0 0\n", "a.xyz:4: the file ends where an atom should follow");
    refused(
        "a.xyz",
        "1\n\nH 0 0 0\nH 0 0 1\n",
        "a.xyz:4: 1 atoms are stated, but one more follows: `H 0 0 1`",
    );
    refused("a.xyz", "1\n\nH 0 0 0\nend\n", "a.xyz:4: expected the number of atoms, which begins");
    refused(
        "a.xyz",
        "2\n\nH 0 0 0\n1\n",
        "a.xyz:4: 2 atoms are stated, but after 1 this follows: `1`",
    );
    refused("a.xyz", "1\n\nH 0 0\n", "a.xyz:3: expected 4 columns for an atom, found 3 in `H 0 0`");
    refused("a.xyz", "9999999999\n\n", "more than 10000000 atoms");
    refused("a.xyz", "1\n\nH 0 0 nan\n", "z should be a finite number, found `nan`");
}

#[test]
fn extended_xyz_is_read_in_every_spelling_that_ase_reads() {
    let slab = Some([[4., 0., 0.], [0., 5., 0.], [0.; 3]]);
    let read = |head: &str, atom: &str| {
        let entry = one("a.xyz", &format!("1\n{head} e=-1\n{atom}\n"));
        assert_eq!(entry.number("e"), Ok(Some(-1.0)), "{head}");
        entry.structure.unwrap()
    };
    let lattice = "4 0 0 0 5 0 0 0 6";
    for head in [
        format!("Lattice=\"{lattice}\" pbc=\"T T F\""),
        format!("Lattice='{lattice}' pbc='1 1 0'"),
        format!("Lattice={{{lattice}}} pbc=[T, T, F]"),
        format!("Lattice = \"{lattice}\"\tpbc =\"TRUE TRUE FALSE\""),
        format!("Lattice=\"{}\" pbc=\"T\tT\tF\"", lattice.replace(' ', "\t")),
        "pbc=\".true. .true. .false.\" Lattice=\"4.D0 0 0 0 0.5D+01 0 0 0 6\"".to_owned(),
        "Lattice=\"4 0 0 0 5 0 0 0 0\" pbc=\"T T F\"".to_owned(),
        r#"note="Lattice=\"1 0 0 0 1 0 0 0 1\" e=7" Lattice="4 0 0 0 5 0 0 0 6" pbc="T T F""#
            .to_owned(),
    ] {
        assert_eq!(read(&head, "Fe 1 2 3").cell, slab, "{head}");
    }
    assert_eq!(read(&format!("Lattice=\"{lattice}\" pbc=F"), "Fe 1 2 3").cell, None);
    let columns = "Properties=\"forces:R:3:label:S:1:Z:I:1:species:S:1:pos:R:3:descriptor:R:300\"";
    let atom = format!("0 0 0 x 17 CL 1 2 0.3D1 {}", "0 ".repeat(300));
    let structure = read(columns, &atom);
    assert_eq!((structure.atomic_number[0], structure.position[0]), (17, [1.0, 2.0, 3.0]));
    for (symbol, z) in [("CL", 17), ("BR", 35), ("h", 1), ("D", 1), ("cl", 17), ("26", 26)] {
        assert_eq!(read("", &format!("{symbol} 0 0 0")).atomic_number, [z], "{symbol}");
    }
    // Cells as written by ADF.
    let text = "1\nslab\nC 0 0 0\nVEC1 4 0 0\nVEC2 0 5 0\n\n1\nopen\nC 0 0 0\n";
    let entries = parse("a.xyz", text).unwrap();
    let cells = entries.iter().map(|entry| entry.structure.as_ref().unwrap().cell);
    assert_eq!(cells.collect::<Vec<_>>(), [slab, None]);
    assert_eq!((entries[0].text("comment"), entries[1].line), (Some("slab"), 7));
    // This is how ASE writes an empty text.
    assert_eq!(read(&format!("Lattice=\"{lattice}\" gap= pbc=\"T T F\""), "Fe 1 2 3").cell, slab);
    // Converted from a POSCAR, according to its name.
    assert_eq!(parse("CONTCAR_1.xyz", text).unwrap().len(), 2);
    let twice = "1\nProperties=species:S:1:pos:R:3:pos:R:3\nC 0 0 0 1 1 1\n";
    refused("a.xyz", twice, "a.xyz:2: expected `Properties`");
    refused("a.xyz", &text.replace("VEC2", "VEC3"), "a.xyz:5: expected `VEC1`, `VEC2`, `VEC3`");
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
fn replies_of_aflux_state_lists_as_text_too() {
    let typed = r#"[{"compound":"Na1Cl1","species":["Na","Cl"],"dft_type":["PAW_PBE"],"geometry":[4,4,4,90,90,90],"positions_fractional":[[0,0,0],[0.5,0.5,0.5]]}]"#;
    let expected = one("a.json", typed);
    assert_eq!(expected.text("dft_type"), Some("PAW_PBE"));
    for (geometry, positions) in [
        ("4,4,4,90,90,90", "0,0,0;0.5,0.5,0.5"),
        ("4, 4, 4, 90, 90, 90", "0, 0, 0; 0.5, 0.5, 0.5"),
        ("[4, 4, 4, 90, 90, 90]", "[[0, 0, 0], [0.5, 0.5, 0.5]]"),
        ("(4, 4, 4, 90, 90, 90)", "((0, 0, 0), (0.5, 0.5, 0.5))"),
        ("[ 4.  4.  4. 90. 90. 90.]", "[[0.  0.  0. ] [0.5 0.5 0.5]]"),
        ("4 4 4 90 90 90", "0 0 0;0.5 0.5 0.5;"),
    ] {
        for compound in [r#""compound":"Na1Cl1""#, r#""species":"Na,Cl","composition":"1,1""#] {
            let text = format!(
                r#"[{{{compound},"dft_type":"['PAW_PBE']","geometry":"{geometry}","positions_fractional":"{positions}"}}]"#
            );
            let found = one("a.json", &text);
            assert_eq!(found.structure, expected.structure, "{text}");
            assert_eq!(found.text("dft_type"), Some("PAW_PBE"));
        }
    }
    refused(
        "a.json",
        &typed.replace("[[0,0,0],[0.5,0.5,0.5]]", "\"0,0,0;0.5,0.5\""),
        "a.json:1: expected positions_fractional",
    );
    for absent in ["", "null", "None"] {
        let text = typed.replace("[[0,0,0],[0.5,0.5,0.5]]", &format!("\"{absent}\""));
        assert_eq!(one("a.json", &text).structure, None, "{absent}");
    }
    let counts = r#""species":["Na","Cl"],"composition":"2""#;
    refused(
        "a.json",
        &typed.replace(r#""compound":"Na1Cl1","species":["Na","Cl"]"#, counts),
        "expected as many counts in `composition` as symbols in `species`, found `1 and 2`",
    );
}

#[test]
fn a_key_of_xyz_may_stand_twice_with_one_value_only() {
    let text = "1\nProperties=species:S:1:pos:R:3 e=1 e=1 s=[H]C=O\nH 0 0 0\n";
    let entry = one("a.xyz", text);
    assert_eq!((entry.text("e"), entry.text("s")), (Some("1"), Some("[H]C=O")));
    refused("a.xyz", &text.replace("e=1 s", "e=2 s"), "a.xyz:2: the key `e` occurs twice");
    let many: Vec<String> = (0..=limits::MAX_KEY).map(|n| format!("k{n}=1")).collect();
    refused("a.xyz", &format!("1\n{}\n", many.join(" ")), "a.xyz:2: more than 10000 keys");
    let most = &many[1..].join(" ");
    assert_eq!(one("a.xyz", &format!("1\n{most}\nH 0 0 0\n")).property.len(), limits::MAX_KEY);
}

const METHANE: &str = "5
gdb 1\t157.7118\t157.70997\t157.70699\t0.\t13.21\t-0.3877\t0.1171\t0.5048\t35.3641\t0.044749\t-40.47893\t-40.476062\t-40.475117\t-40.498597\t6.469\t
C\t-0.0126981359\t 1.0858041578\t 0.0080009958\t-0.535689
H\t 0.002150416\t-0.0060313176\t 0.0019761204\t 0.133921
H\t 1.0117308433\t 1.4637511618\t 0.0002765748\t 0.133922
H\t-0.540815069\t 1.4475266138\t-0.8766437152\t 0.133923
H\t-0.5238136345\t 1.4379326443\t 0.9063972942\t 1.33923*^-1
1341.307\t1341.3284\t1341.365\t1562.6731\t1562.7453\t3038.3205\t3151.6034\t3151.6788\t3151.7078
C\tC\t
InChI=1S/CH4/h1H4\tInChI=1S/CH4/h1H4
";

#[test]
fn files_of_qm9_are_xyz_with_more() {
    let entries = parse("a.xyz", &METHANE.repeat(2)).unwrap();
    assert_eq!((entries.len(), entries[1].line), (2, 11));
    let structure = entries[0].structure.as_ref().unwrap();
    assert_eq!((structure.atomic_number[0], structure.position[4][2]), (6, 0.906_397_294_2));
    assert_eq!(entries[0].text("gdb"), Some("1"));
    for (key, value) in [("A", 157.7118), ("mu", 0.0), ("U0", -40.47893), ("Cv", 6.469)] {
        assert_eq!(entries[0].number(key), Ok(Some(value)), "{key}");
    }
    refused("a.xyz", &METHANE.replace("\t6.469", ""), "a.xyz:2: `Cv` is missing");
    refused(
        "a.xyz",
        &METHANE.replace("1.33923*^-1", "q"),
        "a.xyz:7: the Mulliken charge should be",
    );
    refused("a.xyz", &METHANE.replace("C\tC\t\n", ""), "a.xyz:9: expected the line of SMILES");
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
