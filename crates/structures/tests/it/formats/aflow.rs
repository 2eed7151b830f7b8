//! Entries of AFLOW: replies, files and tables.

use super::*;

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
