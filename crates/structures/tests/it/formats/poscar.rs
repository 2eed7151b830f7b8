//! POSCAR and CONTCAR.

use super::*;

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
