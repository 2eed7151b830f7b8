//! XYZ, plain, extended and as in QM9.

use super::*;

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
