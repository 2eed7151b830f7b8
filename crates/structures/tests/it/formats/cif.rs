//! Crystallographic information files.

use super::*;

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
