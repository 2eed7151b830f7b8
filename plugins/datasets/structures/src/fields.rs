//! Custom fields: per-atom arrays and further properties, collected structure by structure.

use batchlab_core::MemoryBudget;
use batchlab_core::graphs::{Number, OwnField, OwnShape, Per};
use batchlab_core::memory::OverBudget;
use batchlab_structures::{AtomArray, Entry, Numbers, Structure, finite};

use crate::error::StructuresError;

pub(crate) struct Fields {
    fields: Vec<Field>,
    memory: MemoryBudget,
}

struct Field {
    name: String,
    /// The shape in the first structure that has the field.
    shape: Option<OwnShape>,
    bytes: Vec<u8>,
    /// Preceding structures, as their numbers of atoms.
    n_atom_before: Vec<usize>,
}

/// The field values of one structure.
pub(crate) struct Found {
    shape: OwnShape,
    bytes: Vec<u8>,
}

impl Fields {
    pub(crate) fn new(names: &[String], memory: &MemoryBudget) -> Self {
        let field = |name: &String| Field {
            name: name.clone(),
            shape: None,
            bytes: Vec::new(),
            n_atom_before: Vec::new(),
        };
        Self { fields: names.iter().map(field).collect(), memory: memory.clone() }
    }

    /// The fields of a structure. If they are optional, a missing one is `None`.
    ///
    /// # Errors
    /// If a field is missing, is not numeric, or has a different row shape than before.
    pub(crate) fn of(
        &self,
        entry: &Entry,
        structure: &Structure,
        are_needed: bool,
    ) -> Result<Vec<Option<Found>>, StructuresError> {
        self.fields.iter().map(|field| field.of(entry, structure, are_needed)).collect()
    }

    /// Stores the result of [`Fields::of`].
    ///
    /// # Errors
    /// If the memory budget is exceeded.
    pub(crate) fn push(
        &mut self,
        found: Vec<Option<Found>>,
        n_atom: usize,
    ) -> Result<(), OverBudget> {
        for (field, found) in self.fields.iter_mut().zip(found) {
            let n_byte = found.as_ref().map_or(0, |found| found.bytes.len());
            // Twice, because columns grow.
            self.memory.take(2 * n_byte as u64, "the fields")?;
            field.push(found, n_atom);
        }
        Ok(())
    }

    /// The fields that any structure has.
    pub(crate) fn finish(self) -> Vec<OwnField> {
        let own = |field: Field| Some(OwnField::from_bytes(field.shape?, field.bytes));
        self.fields.into_iter().filter_map(own).collect()
    }
}

impl Field {
    fn of(
        &self,
        entry: &Entry,
        structure: &Structure,
        is_needed: bool,
    ) -> Result<Option<Found>, StructuresError> {
        let (path, line, field) = (entry.path.clone(), entry.line, self.name.clone());
        let found = match (structure.array.get(&self.name), entry.text(&self.name)) {
            (Some(array), _) => of_atoms(&self.name, array),
            (None, Some(value)) => of_structure(&self.name, value).ok_or_else(|| {
                let (path, field, value) = (path.clone(), field.clone(), value.to_owned());
                StructuresError::NoNumbers { path, line, field, value }
            })?,
            (None, None) => {
                let is_float = self.shape.as_ref().is_none_or(|of| of.number == Number::F32);
                if !is_needed && is_float {
                    return Ok(None);
                }
                let known = structure.known.iter().chain(entry.property.keys()).cloned().collect();
                return Err(StructuresError::NoField { path, line, field, known });
            }
        };
        match &self.shape {
            Some(before) if *before != found.shape => {
                let [before, found] = [before, &found.shape].map(row);
                Err(StructuresError::OtherField { path, line, field, before, found })
            }
            _ => Ok(Some(found)),
        }
    }

    fn push(&mut self, found: Option<Found>, n_atom: usize) {
        match (found, &self.shape) {
            (Some(found), known) => {
                if known.is_none() {
                    let before = self.n_atom_before.iter();
                    self.bytes = before.flat_map(|&n_atom| absent(&found.shape, n_atom)).collect();
                    self.shape = Some(found.shape);
                }
                self.bytes.extend(found.bytes);
            }
            (None, Some(shape)) => self.bytes.extend(absent(shape, n_atom)),
            (None, None) => self.n_atom_before.push(n_atom),
        }
    }
}

/// The rows of a structure that lacks a field of floats.
fn absent(shape: &OwnShape, n_atom: usize) -> Vec<u8> {
    let n_row = if shape.per == Per::Node { n_atom } else { 1 };
    f32::NAN.to_le_bytes().repeat(n_row * shape.width)
}

fn of_atoms(name: &str, array: &AtomArray) -> Found {
    let (number, bytes) = match &array.numbers {
        Numbers::Float(values) => (Number::F32, single(values)),
        Numbers::Integer(values) => {
            (Number::I32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
        Numbers::Flag(values) => (Number::U8, values.iter().map(|&flag| flag.into()).collect()),
    };
    let shape = OwnShape { name: name.to_owned(), per: Per::Node, number, width: array.width };
    Found { shape, bytes }
}

/// A property that is a number or a list of numbers.
fn of_structure(name: &str, value: &str) -> Option<Found> {
    let words =
        value.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
    let values: Vec<f64> = words.map(|word| finite(word, "").ok()).collect::<Option<_>>()?;
    let (width, number) = (values.len(), Number::F32);
    let shape = OwnShape { name: name.to_owned(), per: Per::Graph, number, width };
    (width > 0).then(|| Found { shape, bytes: single(&values) })
}

fn single(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect()
}

/// Describes the shape of a field in words.
fn row(shape: &OwnShape) -> String {
    let per = if shape.per == Per::Node { "atom" } else { "structure" };
    format!("{} numbers of type {} per {per}", shape.width, shape.number)
}
