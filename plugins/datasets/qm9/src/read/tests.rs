//! Small complete files, built around lines of QM9, and every way of breaking them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use batchlab_testkit::fixture;

use super::*;
use crate::properties::{ELECTRONVOLT_PER_HARTREE, N_PROPERTY, PROPERTIES, Target};

pub(super) mod archive;

/// Water as in `dsgdb9nsd_000003.xyz`, with its trailing tabs.
pub(super) const WATER: &str = "3\n\
    gdb 3\t799.58812\t437.90386\t282.94545\t1.8511\t6.31\t-0.2928\t0.0687\t0.3615\t19.0002\t0.021375\t-76.404702\t\
    -76.401867\t-76.400922\t-76.422349\t6.002\t\n\
    O\t-0.0343604951\t 0.9775395708\t 0.0076015923\t-0.589706\n\
    H\t 0.0647664923\t 0.0205721989\t 0.0015346341\t 0.294853\n\
    H\t 0.8717903737\t 1.3007924048\t 0.0069312336\t 0.294853\n\
    1671.4222\t3803.6305\t3907.698\n\
    O\tO\t\n\
    InChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2\n";

/// The same in extended XYZ.
pub(super) const EXTENDED: &str = "3\n\
    Properties=species:S:1:pos:R:3 gdb=3 A=799.58812 B=437.90386 C=282.94545 mu=1.8511 alpha=6.31 homo=-0.2928 \
    lumo=0.0687 gap=0.3615 r2=19.0002 zpve=0.021375 U0=-76.404702 U=-76.401867 H=-76.400922 G=-76.422349 Cv=6.002 \
    smiles=\"O\" pbc=\"F F F\"\n\
    O -0.0343604951 0.9775395708 0.0076015923\n\
    H 0.0647664923 0.0205721989 0.0015346341\n\
    H 0.8717903737 1.3007924048 0.0069312336\n";

/// All molecules of a path, or of bytes in memory.
pub(super) fn molecules(path: &Path, bytes: Option<&[u8]>) -> Result<Vec<Molecule>, Qm9Error> {
    let mut molecules = Vec::new();
    super::read(path, bytes, &MemoryBudget::default(), &mut |molecule| {
        molecules.push(molecule);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(molecules)
}

fn read(text: impl AsRef<[u8]>) -> Result<Vec<Molecule>, Qm9Error> {
    molecules(Path::new("test.xyz"), Some(text.as_ref()))
}

fn one(text: &str) -> Molecule {
    let mut molecules = read(text).expect("a good file");
    assert_eq!(molecules.len(), 1);
    molecules.remove(0)
}

/// Breaks `text` by one replacement and expects a line number and parts of the message.
fn broken(text: &str, from: &str, to: &str, line: usize, parts: &[&str]) {
    assert!(text.contains(from), "the test replaces `{from}`, which is not there");
    let error = read(text.replacen(from, to, 1)).expect_err(to).to_string();
    assert!(error.starts_with(&format!("test.xyz:{line}: ")), "{error}");
    for part in parts {
        assert!(error.contains(part), "`{part}` is missing: {error}");
    }
}

/// Asserts bit-identical positions.
fn exactly(position: [f64; 3], expected: [f64; 3]) {
    assert_eq!(
        position.map(f64::to_bits),
        expected.map(f64::to_bits),
        "{position:?} is not {expected:?}"
    );
}

fn properties(molecule: &Molecule) -> [f64; N_PROPERTY] {
    molecule.property.expect("15 properties")
}

pub(super) fn pack(text: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

#[test]
fn water_reads_alike_in_both_formats() {
    let water = one(WATER);
    assert_eq!(water.gdb_index, Some(3));
    assert_eq!(water.atomic_number, [8, 1, 1]);
    exactly(water.position[2], [0.871_790_373_7, 1.300_792_404_8, 0.006_931_233_6]);
    assert_eq!(properties(&water)[0].to_bits(), 799.588_12_f64.to_bits());
    assert_eq!(properties(&water)[14].to_bits(), 6.002_f64.to_bits());
    assert_eq!(one(EXTENDED), water);
    assert_eq!(one(&EXTENDED.replace('\n', "\r\n")), water);
}

#[test]
fn both_spellings_of_the_keys_are_understood() {
    let other = EXTENDED
        .replace("homo=", "epsHOMO=")
        .replace("lumo=", "epsLUMO=")
        .replace("gap=", "epsgap=");
    assert_eq!(one(&other.replace("r2=", "<R2>=")), one(WATER));
    let nameless = one(&EXTENDED.replace("gdb=3 ", ""));
    assert_eq!(nameless.gdb_index, None);
}

#[test]
fn columns_are_found_by_their_names() {
    let mut text = EXTENDED.replace("species:S:1:pos:R:3", "charge:R:1:pos:R:3:species:S:1");
    for (from, to) in [("O -0.03", "-0.5 -0.03"), ("H 0.06", "0.2 0.06"), ("H 0.87", "0.2 0.87")] {
        text = text.replace(from, to);
    }
    for (line, symbol) in [("0.0076015923", "O"), ("0.0015346341", "H"), ("0.0069312336", "H")] {
        text = text.replace(line, &format!("{line} {symbol}"));
    }
    assert_eq!(one(&text), one(WATER));
}

#[test]
fn exponents_of_mathematica_are_read() {
    // Verbatim lines of molecules 61269, 73686, 130806 and 2693, as a molecule of four atoms.
    let atoms = "C\t-0.0584138466\t-0.0635984652\t-8.4813*^-6\t 0.091212\n\
        C\t 8.3963*^-6\t 1.5082640218\t 0.0003678516\t-0.475108\n\
        O\t-0.1291031546\t-0.0109973917\t 2.2194*^-6\t-0.233172\n\
        C\t-8.7796*^-6\t 0.047293172\t 0.0000633051\t-0.170491\n";
    let comment = WATER.lines().nth(1).expect("the second line");
    let molecule =
        one(&format!("4\n{comment}\n{atoms}100.5\t200.5\nCC\tCC\nInChI=1S/x\tInChI=1S/x\n"));
    assert_eq!(molecule.atomic_number, [6, 6, 8, 6]);
    exactly(molecule.position[0], [-0.058_413_846_6, -0.063_598_465_2, -8.4813e-6]);
    exactly(molecule.position[1], [8.3963e-6, 1.508_264_021_8, 0.000_367_851_6]);
    assert_eq!(molecule.position[2][2].to_bits(), 2.2194e-6_f64.to_bits());
    assert_eq!(molecule.position[3][0].to_bits(), (-8.7796e-6_f64).to_bits());
    // Charges may use this notation, too.
    assert_eq!(one(&WATER.replace("-0.589706", "-5.89706*^-1")), one(WATER));
}

#[test]
fn any_number_of_frequencies_is_accepted() {
    let frequencies = "1671.4222\t3803.6305\t3907.698";
    for other in
        [format!("{frequencies}\t{frequencies}"), "-12.5\t1.*^3".to_owned(), "0.".to_owned()]
    {
        assert_eq!(one(&WATER.replace(frequencies, &other)), one(WATER));
    }
}

#[test]
fn files_may_follow_one_another_and_be_packed() {
    let many = format!("{WATER}{}\n\n{WATER}\n\n", WATER.replace("gdb 3", "gdb 4"));
    let expected = read(&many).expect("three molecules");
    assert_eq!(
        expected.iter().map(|m| m.gdb_index).collect::<Vec<_>>(),
        [Some(3), Some(4), Some(3)]
    );
    assert_eq!(read(pack(many.as_bytes())).expect("packed"), expected);
    assert_eq!(read(pack(EXTENDED.as_bytes())).expect("packed"), [one(WATER)]);
    let two_streams = [pack(WATER.as_bytes()), pack(EXTENDED.as_bytes())].concat();
    assert_eq!(read(two_streams).expect("packed").len(), 2);
}

#[test]
fn a_file_that_ends_early_is_refused() {
    for (text, n_line) in [(WATER, 8), (EXTENDED, 5)] {
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), n_line);
        for kept in 1..n_line {
            let error = read(lines[..kept].join("\n") + "\n").expect_err("too short").to_string();
            assert!(
                error.starts_with(&format!("test.xyz:{}: the file ends where", kept + 1)),
                "{error}"
            );
        }
    }
    // In the middle of a line.
    let cut = &EXTENDED[..EXTENDED.len() - 15];
    assert!(
        read(cut)
            .expect_err("too short")
            .to_string()
            .contains("expected 4 columns for an atom, found 3")
    );
}

#[test]
fn faults_of_atoms_are_named() {
    broken(WATER, "0.9775395708", "nan", 3, &["y should be a finite number, found `nan`"]);
    broken(EXTENDED, "0.9775395708", "-inf", 3, &["y should be a finite number, found `-inf`"]);
    broken(WATER, "0.9775395708", "0,97", 3, &["y should be a finite number, found `0,97`"]);
    broken(EXTENDED, "0.9775395708", "zero", 3, &["y should be a finite number, found `zero`"]);
    broken(WATER, "-0.589706", "q", 3, &["Mulliken charge should be a finite number, found `q`"]);
    // Known, but not in QM9: the message names the molecule's line and the atom.
    let known = ["unknown element `Si` (atom 2 of the molecule)", "H, C, N, O and F"];
    broken(WATER, "H\t 0.06", "Si\t 0.06", 1, &known);
    let second = format!("{WATER}{}", WATER.replace("gdb 3", "gdb 4").replacen('H', "Si", 1));
    broken(&second, "1671.4222", "1671.5", 9, &known);
    broken(WATER, "O\t-0.03", "Xx\t-0.03", 3, &["unknown element `Xx`"]);
    broken(EXTENDED, "O -0.03", "Xx -0.03", 3, &["unknown element `Xx`"]);
    assert_eq!(one(&EXTENDED.replace("O -0.03", "o -0.03")), one(WATER));
    assert_eq!(one(&EXTENDED.replace("O -0.03", "8 -0.03")), one(WATER));
    broken(WATER, "\t-0.589706", "", 3, &["expected 5 columns for an atom, found 4 in `O"]);
    broken(WATER, "-0.589706", "-0.589706\t1", 3, &["expected 5 columns for an atom, found 6"]);
    broken(EXTENDED, " 0.0076015923", "", 3, &["expected 4 columns for an atom, found 3"]);
    // As in ASE, there may be more columns than named in `Properties`.
    assert_eq!(one(&EXTENDED.replace("0.0076015923", "0.0076015923 1")), one(WATER));
}

#[test]
fn a_wrong_count_is_named() {
    broken(WATER, "3\n", "4\n", 6, &["4 atoms are stated, but after 3 this follows: `1671.4222"]);
    broken(WATER, "3\n", "2\n", 5, &["2 atoms are stated, but one more follows: `H"]);
    let twice = format!("{EXTENDED}{EXTENDED}");
    broken(&twice, "3\n", "4\n", 6, &["4 atoms are stated, but after 3 this follows: `3`"]);
    broken(&twice, "3\n", "2\n", 5, &["2 atoms are stated, but one more follows: `H 0.87"]);
    broken(WATER, "3\n", "\u{1b}[31m\n", 1, &["found `\\u{1b}[31m`"]);
    for count in ["-3", "3.0", "three", "99999999999999999999", "3 4"] {
        let found = format!("found `{count}`");
        broken(WATER, "3\n", &format!("{count}\n"), 1, &["expected the number of atoms", &found]);
    }
    broken(WATER, "3\n", "0\n", 3, &["0 atoms are stated, but one more follows: `O"]);
    broken(EXTENDED, "3\n", "1001\n", 6, &["the file ends where an atom should follow"]);
    broken(EXTENDED, "3\n", "10000001\n", 1, &["more than 10000000 atoms"]);
    assert!(read(WATER.replacen('3', "{\"a\": 1}", 1)).is_err());
}

#[test]
fn every_missing_property_is_named() {
    for (at, property) in PROPERTIES.iter().enumerate() {
        let key = format!(" {}=", property.name);
        let name = format!("the property {} is missing", property.name);
        broken(EXTENDED, &key, &format!(" not{}=", property.name), 1, &[&name]);
        let comment = WATER.lines().nth(1).expect("the second line");
        let short: Vec<&str> = comment.split_whitespace().take(2 + at).collect();
        let key = format!("`{}` is missing", property.name);
        broken(WATER, comment, &short.join(" "), 2, &[&key, "15 properties"]);
    }
}

#[test]
fn faults_of_the_second_line_are_named() {
    broken(WATER, "gdb 3", "gdb x", 1, &["index should be a whole number", "found `x`"]);
    broken(EXTENDED, "gdb=3", "gdb=0", 1, &["index should be a whole number", "found `0`"]);
    broken(WATER, "1.8511", "1.8.5", 1, &["mu should be a finite number, found `1.8.5`"]);
    broken(WATER, "6.002", "NaN", 1, &["Cv should be a finite number, found `NaN`"]);
    broken(EXTENDED, "U0=-76.404702", "U0=inf", 1, &["U0 should be a finite number, found `inf`"]);
    broken(WATER, "6.002", "6.002 7", 2, &["expected nothing after 15 properties, found `7`"]);
    broken(EXTENDED, "alpha=", "homo=1 alpha=", 2, &["the key `homo` occurs twice", "remove one"]);
    broken(EXTENDED, "alpha=", "epsHOMO=1 alpha=", 1, &["the key `epsHOMO` gives `homo`"]);
    for layout in [
        "species:S:1",
        "pos:R:3",
        "species:S:1:pos:R:2",
        "species:S:1:pos:R",
        "species:S:x:pos:R:3",
    ] {
        let found = format!("found `{layout}`");
        broken(EXTENDED, "species:S:1:pos:R:3", layout, 2, &["`species:S:1`", &found]);
    }
    assert_eq!(one(&EXTENDED.replace("Properties=species:S:1:pos:R:3 ", "")), one(WATER));
    broken(EXTENDED, "\"F F F\"", "\"T T F\"", 2, &["`pbc`"]);
    let lattice = "\"T T T\" Lattice=\"9 0 0 0 9 0 0 0 9\"";
    broken(EXTENDED, "\"F F F\"", lattice, 1, &["the molecule is periodic", "set `pbc`"]);
    let comment = WATER.lines().nth(1).expect("the second line");
    broken(WATER, comment, "water", 6, &["expected the number of atoms", "found `1671.4222"]);
    let comment = EXTENDED.lines().nth(1).expect("the second line");
    let plain = one(&EXTENDED.replace(comment, "water"));
    assert_eq!((plain.property, plain.atomic_number), (None, vec![8, 1, 1]));
}

#[test]
fn a_smiles_without_quotes_is_one_value() {
    for smiles in ["[H]C=O", "[O-]C=1", "[NH4+]", "{H}=1"] {
        assert_eq!(one(&EXTENDED.replace("\"O\"", smiles)), one(WATER), "{smiles}");
    }
}

#[test]
fn lines_after_the_atoms_of_a_raw_file_are_checked() {
    broken(WATER, "1671.4222", "x", 6, &["a frequency should be a finite number, found `x`"]);
    broken(
        WATER,
        "1671.4222\t3803.6305\t3907.698\n",
        "\n",
        6,
        &["expected the line of frequencies"],
    );
    broken(WATER, "O\tO\t\n", "", 7, &["expected the line of SMILES, found `InChI="]);
    broken(
        WATER,
        "InChI=1S/H2O/h1H2\tInChI",
        "1S/H2O/h1H2\tInChI",
        8,
        &["expected the line of InChI, found `1S"],
    );
    let garbage = format!("{WATER}-- end --\n");
    broken(&garbage, "-- end --", "-- END --", 9, &["expected the number of atoms", "`-- END --`"]);
}

#[test]
fn what_is_no_text_is_refused() {
    let mut bytes = WATER.as_bytes().to_vec();
    bytes[WATER.find("0.0205").expect("the fourth line")] = 0xff;
    let error = read(bytes).expect_err("no text").to_string();
    assert!(error.starts_with("test.xyz:4: not UTF-8"), "{error}");
}

#[test]
fn an_empty_file_is_refused() {
    for text in ["", "\n", " \n\r\n"] {
        let says = if text.is_empty() { "test.xyz is empty" } else { "the file ends where" };
        for error in [read(text), read(pack(text.as_bytes()))] {
            let error = error.expect_err("no molecule").to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}

#[test]
fn a_damaged_package_is_refused() {
    let good = pack(format!("{WATER}{WATER}").as_bytes());
    for kept in [7, good.len() / 2, good.len() - 1] {
        let error = read(&good[..kept]).expect_err("cut off");
        assert!(matches!(error, Qm9Error::Read(ReadError::Damaged { .. })), "{kept}: {error}");
    }
    let error = read([good.as_slice(), b"garbage"].concat()).expect_err("more than a package");
    assert!(matches!(error, Qm9Error::Read(ReadError::Damaged { .. })), "{error}");
}

#[test]
fn other_formats_are_recognised() {
    for (magic, name) in [(&b"\x28\xb5\x2f\xfd"[..], "a zstd file"), (b"\x89HDF", "an HDF5 file")] {
        let error = read(magic).expect_err(name).to_string();
        assert!(error.starts_with(&format!("test.xyz is {name}")), "{error}");
    }
}

#[test]
fn nothing_follows_an_error() {
    let (text, mut n) = (format!("{WATER}x\n{WATER}"), 0);
    let memory = MemoryBudget::default();
    let read = super::read(Path::new("x.xyz"), Some(text.as_bytes()), &memory, &mut |_| {
        n += 1;
        Ok(ControlFlow::Continue(()))
    });
    assert!(read.is_err() && n == 1, "{n}");
}

#[test]
fn a_folder_is_read_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let error = molecules(path, None).expect_err("an empty folder").to_string();
    assert!(error.contains("holds no file named `dsgdb9nsd_*.xyz`, 0 other files"), "{error}");
    let error = molecules(&path.join("none"), None).expect_err("no file").to_string();
    assert!(error.contains("none cannot be read: No such file"), "{error}");
    for index in [12, 3, 100] {
        let text = WATER.replace("gdb 3", &format!("gdb {index}"));
        let name = format!("dsgdb9nsd_{index:06}.xyz");
        // Content decides, not the name.
        let bytes = if index == 12 { pack(text.as_bytes()) } else { text.into_bytes() };
        std::fs::write(path.join(name), bytes).expect("a file");
    }
    std::fs::write(path.join("readme.txt"), "not a molecule").expect("a file");
    let read = molecules(path, None).expect("three files");
    let indices: Vec<_> = read.iter().map(|m| m.gdb_index).collect();
    assert_eq!(indices, [Some(3), Some(12), Some(100)]);

    std::fs::write(path.join("dsgdb9nsd_000050.xyz"), "").expect("a file");
    let error = molecules(path, None).expect_err("an empty file").to_string();
    assert!(error.contains("dsgdb9nsd_000050.xyz is empty"), "{error}");
    // A file that should be a molecule is never skipped.
    std::fs::write(path.join("dsgdb9nsd_000050.xyz"), "hello\n").expect("a file");
    let error = molecules(path, None).expect_err("no molecule").to_string();
    assert!(error.contains("dsgdb9nsd_000050.xyz:1: expected the number of atoms"), "{error}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn sample() -> PathBuf {
    root().join("data/qm9_sample.extxyz.xz")
}

fn all(path: &Path) -> Vec<Molecule> {
    molecules(path, None).expect("real files")
}

#[test]
fn real_raw_files_are_read() {
    let folder = fixture("qm9_raw");
    let molecules = all(&folder);
    let indices: Vec<_> = molecules.iter().filter_map(|m| m.gdb_index).collect();
    assert_eq!(indices, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 5000, 5001, 5002, 5003, 5004]);
    let methane = &molecules[0];
    assert_eq!(methane.atomic_number, [6, 1, 1, 1, 1]);
    assert_eq!(properties(methane)[10].to_bits(), (-40.478_93_f64).to_bits());

    // All of them in one file give the same result.
    let mut text = String::new();
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).expect("a folder").map(|e| e.expect("a file").path()).collect();
    files.sort();
    for file in files {
        write!(text, "{}", std::fs::read_to_string(file).expect("a file")).expect("memory");
    }
    assert_eq!(read(text).expect("a concatenation"), molecules);
}

#[test]
fn real_extended_files_are_read() {
    let molecules = all(&fixture("qm9_metatrain_100.xyz.xz"));
    assert_eq!(molecules.len(), 100);
    assert!(molecules.iter().all(|m| m.gdb_index.is_none()));
    assert_eq!(properties(&molecules[0])[10].to_bits(), (-40.478_93_f64).to_bits());
    check_extended(&sample(), 2000);
}

fn check_extended(path: &Path, n: usize) {
    let molecules = all(path);
    assert_eq!(molecules.len(), n);
    for molecule in &molecules {
        let [.., gap] = properties(molecule)[5..8] else { panic!("three columns") };
        assert!(
            (gap - (properties(molecule)[6] - properties(molecule)[5])).abs() < 1.01e-4,
            "{:?}",
            molecule.gdb_index
        );
    }
}

#[test]
fn atomisation_energies_agree_with_the_published_ones() {
    assert_eq!(check_atomisation(&sample(), &fixture("qm9_atomisation_400.csv")), 400);
}

/// Returns the number of molecules that both have.
fn check_atomisation(molecules: &Path, table: &Path) -> usize {
    let text = std::fs::read_to_string(table).expect("a table");
    // From the right, because SMILES on the left could contain anything; kcal/mol.
    let published: std::collections::BTreeMap<u32, [f64; 4]> = text
        .lines()
        .skip(1)
        .map(|line| {
            let index = line.split(',').find_map(|id| id.strip_prefix("gdb_")).expect("an id");
            let mut last = line.rsplit(',').map(|number| number.parse().expect("a number"));
            let mut energies: [f64; 4] =
                std::array::from_fn(|_| last.next().expect("four columns"));
            energies.reverse();
            (index.parse().expect("an index"), energies)
        })
        .collect();
    let electronvolt_per_kcal = ELECTRONVOLT_PER_HARTREE / 627.509_474;
    let mut n_compared = 0;
    for molecule in all(molecules) {
        let Some(energies) = molecule.gdb_index.and_then(|index| published.get(&index)) else {
            continue;
        };
        for (name, expected) in ["U0_atom", "U_atom", "H_atom", "G_atom"].iter().zip(energies) {
            let value = Target::named(name).expect("a target").of(&molecule).expect("properties")
                / electronvolt_per_kcal;
            assert!(
                (value - expected).abs() < 0.002,
                "{:?} {name}: {value} is not {expected}",
                molecule.gdb_index
            );
        }
        n_compared += 1;
    }
    n_compared
}

/// The study's own format: energies in eV, relative to free atoms.
#[test]
fn a_real_database_holds_the_same_molecules() {
    assert_eq!(check_database(&fixture("qm9_ase_20.db"), 20, &sample()), 20);
}

/// Returns the number of molecules that both have.
fn check_database(database: &Path, n: usize, extended: &Path) -> usize {
    let molecules = all(database);
    assert_eq!(molecules.len(), n);
    let by_index: std::collections::BTreeMap<_, _> =
        all(extended).into_iter().map(|molecule| (molecule.gdb_index, molecule)).collect();
    let mut n_compared = 0;
    for molecule in &molecules {
        let Some(same) = by_index.get(&molecule.gdb_index) else { continue };
        assert_eq!(molecule.atomic_number, same.atomic_number);
        let both = properties(molecule).into_iter().zip(properties(same));
        for ((found, expected), named) in both.zip(&PROPERTIES) {
            let close = (found - expected).abs() < 1e-6 * expected.abs().max(1.0);
            assert!(close, "{:?} {}: {found} {expected}", molecule.gdb_index, named.name);
        }
        n_compared += 1;
    }
    n_compared
}

#[test]
#[ignore = "reads whole collections, which are not part of the project, in ../shared/data"]
fn whole_collections() {
    let shared = |name: &str| root().join("../shared/data/qm9").join(name);
    let joined = shared("qm9_joined.extxyz.xz");
    check_extended(&joined, 14_170);
    assert!(check_atomisation(&joined, &shared("molproppred_qm9_small.csv")) > 10_000);
    assert!(check_database(&shared("qm9_ase_first1000.db"), 1000, &joined) > 100);
}

/// Opening a pipe without a writer would block forever, and a name must not control a terminal.
#[cfg(unix)]
#[test]
fn a_pipe_is_refused_and_its_name_written_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("dsgdb9nsd_\u{1b}[31m.xyz");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    for path in [folder.path(), &pipe] {
        let fault = molecules(path, None).expect_err("a pipe").to_string();
        assert!(
            fault.contains("dsgdb9nsd_\\u{1b}[31m.xyz is neither a file nor a folder"),
            "{fault}"
        );
    }
}
