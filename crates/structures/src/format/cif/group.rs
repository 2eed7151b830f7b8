//! The symmetry stated by a block.

use super::{At, Block, Token};
use crate::error::{Problem, shown};
use crate::symmetry::{Operation, Statement, is_group, misfit};

impl Block<'_> {
    /// The symmetry operations: those listed, or those of the stated group. They must agree with
    /// each other and with the cell.
    pub(super) fn group(&self, cell: &[[f64; 3]; 3]) -> Result<Vec<Operation>, At> {
        let statement = Statement {
            numbers: self.texts(&["it_number", "int_tables_number"]),
            symbols: self.texts(&["group_name_h-m"]),
            hall_symbols: self.texts(&["name_hall"]),
            choices: self.texts(&["coordinate_system_code"]),
        };
        let line = self.stated(&["_"]).iter().map(|token| token.line).min().unwrap_or(self.line);
        let operations = match self.listed()? {
            Some(listed) if is_group(&listed) => {
                statement.check(&listed).map_err(|problem| (line, problem))?;
                listed
            }
            Some(listed) => {
                let value = format!("of {} listed operations", listed.len());
                let why = "is no group: the identity or a product of two operations is missing";
                return Err((line, Problem::Symmetry { value, why }));
            }
            None => {
                self.check_statements(&statement)?;
                statement.operations(cell).map_err(|problem| (line, problem))?
            }
        };
        match misfit(&operations, cell) {
            Some(operation) => {
                let why = "does not fit the lengths and angles of the cell";
                Err((line, Problem::Symmetry { value: operation.to_string(), why }))
            }
            None => Ok(operations),
        }
    }

    /// The values of symmetry items whose names contain one of some parts.
    fn stated(&self, parts: &[&str]) -> Vec<&Token<'_>> {
        let is_meant = |key: &str| {
            // `_ref` names the same group in another setting.
            (key.starts_with("_space_group_") || key.starts_with("_symmetry_"))
                && !key.ends_with("_ref")
                && parts.iter().any(|part| key.contains(part))
        };
        let tokens =
            self.column.iter().filter(|(key, _)| is_meant(key)).flat_map(|(_, tokens)| tokens);
        tokens.filter(|token| !token.is_absent()).collect()
    }

    fn texts(&self, parts: &[&str]) -> Vec<&str> {
        self.stated(parts).into_iter().map(|token| token.text.trim()).collect()
    }

    /// The operations of a list; for magnetic groups, combined with each of their translations.
    fn listed(&self) -> Result<Option<Vec<Operation>>, At> {
        let list = |parts: &[&str]| -> Result<Vec<Operation>, At> {
            let tokens = self.stated(parts).into_iter();
            tokens
                .map(|token| {
                    let expected = "a symmetry operation such as `-x, y+1/2, -z`";
                    let problem = || Problem::Expected { expected, value: shown(token.text) };
                    Operation::parse(token.text).ok_or_else(|| (token.line, problem()))
                })
                .collect()
        };
        let mut operations = list(&["symop_operation_xyz", "equiv_pos_as_xyz"])?;
        if operations.is_empty() {
            operations = list(&["symop_magn_operation_xyz"])?;
            let centering = list(&["symop_magn_centering_xyz"])?;
            if !centering.is_empty() {
                let with_all = |first| centering.iter().map(move |shift| shift.after(first));
                operations = operations.iter().flat_map(with_all).collect();
            }
        }
        Ok((!operations.is_empty()).then_some(operations))
    }

    /// Rejects statements of groups that are not in the tables.
    fn check_statements(&self, statement: &Statement) -> Result<(), At> {
        let is_known = !(statement.symbols.is_empty()
            && statement.numbers.is_empty()
            && statement.hall_symbols.is_empty());
        let unknown = [
            ("_ssg_", "is that of a modulated structure"),
            ("_magn_n", "is that of a magnetic group"),
            ("schoenflies", "is a Schoenflies symbol alone"),
        ];
        for (part, why) in unknown {
            let token = self.stated(&[part]).into_iter().next();
            if let Some(token) = token.filter(|_| !(is_known && part == "schoenflies")) {
                return Err((token.line, Problem::Symmetry { value: shown(token.text), why }));
            }
        }
        Ok(())
    }
}
