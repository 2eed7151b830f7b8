use std::io::{Cursor, Write as _};

use batchlab_npz::encode;

use super::*;
use crate::properties::{ELECTRONVOLT_PER_HARTREE, Target};

/// The arrays of water and methane, by name.
pub(crate) struct File(Vec<(&'static str, Vec<u8>)>);

fn doubles(values: &[f64]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    encode("<f8", &format!("({},)", values.len()), &bytes)
}

impl File {
    fn geometries() -> Self {
        let position: Vec<u8> = (0_u8..24).flat_map(|i| f32::from(i).to_le_bytes()).collect();
        Self(vec![
            ("N", encode("|u1", "(2,)", &[3, 5])),
            ("Z", encode("|u1", "(8,)", &[8, 1, 1, 6, 1, 1, 1, 1])),
            ("R", encode("<f4", "(8, 3)", &position)),
            ("id", encode("<i4", "(2,)", &[3, 0, 0, 0, 1, 0, 0, 0])),
        ])
    }

    /// With every property; `energies` are U0, U, H and G of both.
    pub(crate) fn with_properties(energies: [[f64; 2]; 4], orbital: f64) -> Self {
        let mut file = Self::geometries();
        for (at, property) in PROPERTIES.iter().enumerate() {
            let column = match at {
                U0..14 => energies[at - U0],
                5..10 if property.unit == "hartree" => [orbital, 2.0 * orbital],
                _ => [at as f64, 0.5],
            };
            file.0.push((property.name, doubles(&column)));
        }
        file
    }

    fn with(mut self, array: &'static str, bytes: Vec<u8>) -> Self {
        self.0.retain(|(name, _)| *name != array);
        self.0.push((array, bytes));
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in &self.0 {
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(format!("{name}.npy"), options).expect("memory");
            zip.write_all(bytes).expect("memory");
        }
        zip.finish().expect("memory").into_inner()
    }

    fn read(&self) -> Result<Vec<Molecule>, NpzError> {
        Ok(read(Path::new("test.npz"), Cursor::new(self.bytes()), &MemoryBudget::default())?
            .collect())
    }

    fn broken(&self, part: &str) {
        let message = self.read().expect_err(part).to_string();
        assert!(message.contains("test.npz") && message.contains(part), "{message}");
    }
}

/// U0, U, H and G of water and methane in hartree, as in QM9.
const ENERGIES: [[f64; 2]; 4] = [
    [-76.404_702, -40.478_93],
    [-76.401_867, -40.476_062],
    [-76.400_922, -40.475_117],
    [-76.422_349, -40.498_597],
];

#[test]
fn geometries_are_given_out_in_order() {
    let molecules = File::geometries().read().expect("a good file");
    assert_eq!(molecules.len(), 2);
    assert_eq!((molecules[0].gdb_index, molecules[1].gdb_index), (Some(3), Some(1)));
    assert_eq!(molecules[1].atomic_number, [6, 1, 1, 1, 1]);
    assert_eq!(molecules[1].position[0].map(f64::to_bits), [9.0, 10.0, 11.0].map(f64::to_bits));
    assert!(molecules.iter().all(|molecule| molecule.property.is_none()));
}

/// Whatever the unit and zero of a file's energies, the molecules are the same.
#[test]
fn the_unit_of_energies_is_told_from_the_values() {
    let hartree = File::with_properties(ENERGIES, -0.25);
    let expected = hartree.read().expect("a good file");
    let target = Target::named("U0_atom").expect("a target");
    assert!((target.of(&expected[1]).expect("properties") + 17.172_182).abs() < 1e-5);

    let ev = |energy: f64| energy * ELECTRONVOLT_PER_HARTREE;
    let total = File::with_properties(ENERGIES.map(|row| row.map(ev)), ev(-0.25));
    let free = [
        [-76.065_125, -39.847_864],
        [-76.060_877, -39.840_783],
        [-76.058_043, -39.836_059],
        [-76.101_386, -39.905_025],
    ];
    let mut bound = ENERGIES;
    for (row, free) in bound.iter_mut().zip(free) {
        for (energy, free) in row.iter_mut().zip(free) {
            *energy = ev(*energy - free);
        }
    }
    let atomisation = File::with_properties(bound, ev(-0.25));
    for file in [total, atomisation] {
        for (found, expected) in file.read().expect("a good file").iter().zip(&expected) {
            let both = found.property.iter().flatten().zip(expected.property.iter().flatten());
            for (found, expected) in both {
                assert!(
                    (found - expected).abs() < 1e-9 * expected.abs().max(1.0),
                    "{found} {expected}"
                );
            }
        }
    }
}

#[test]
fn every_mistake_names_its_array() {
    let good = File::geometries;
    good().with("N", encode("|u1", "(2,)", &[3, 0])).broken("entry 1 is 0");
    good()
        .with("N", encode("|u1", "(2,)", &[3, 4]))
        .broken("it has 8 entries, expected 7, the sum");
    good().with("Z", encode("|u1", "(8,)", &[8, 1, 1, 6, 1, 1, 1, 2])).broken("entry 7 is 2");
    good().with("R", encode("<f4", "(24,)", &[0; 96])).broken("rows of three numbers");
    let nan: Vec<u8> = [f32::NAN; 24].iter().flat_map(|value| value.to_le_bytes()).collect();
    good().with("R", encode("<f4", "(8, 3)", &nan)).broken("entry 0 is [NaN, NaN, NaN]");
    good().with("id", encode("<i4", "(1,)", &[3, 0, 0, 0])).broken("\"id\": it has 1 entries");
    good().with("U0", doubles(&[-76.4, -40.5])).broken("no array \"A\"");
    let odd = ENERGIES.map(|[water, _]| [water, -40.5 * 27.2]);
    File::with_properties(odd, -0.25).broken("\"U0\": entry 1 is -1101.6");
    File::with_properties([[5.0; 2]; 4], -0.25).broken("entry 0 is 5");
}

#[test]
fn arrays_that_unpack_to_too_much_are_refused() {
    let file =
        File::geometries().with("R", encode("<f4", "(8, 3)", &vec![0; (MAX_BYTE + 1) as usize]));
    file.broken("unpacks to more than 268435456 bytes");
}
