//! Validates a published split.

/// A problem of a split into training, validation and test.
#[derive(Debug, PartialEq)]
pub(crate) enum Fault {
    /// A subset without nodes: there would be nothing to train on, or nothing to evaluate.
    Empty { part: usize },
    /// The node at position `at` of a subset is invalid.
    Node { part: usize, at: usize, expected: &'static str },
}

pub(crate) const NOT_EMPTY: &str = "at least one node; without a published split, use none of the \
    three, and a random one is drawn";

/// Checks that no subset is empty, and that every node is in at most one subset and has a label.
pub(crate) fn check(parts: [&[u32]; 3], label: &[i64]) -> Result<(), Fault> {
    let mut taken = vec![false; label.len()];
    for (part, nodes) in parts.into_iter().enumerate() {
        if nodes.is_empty() {
            return Err(Fault::Empty { part });
        }
        for (at, &node) in nodes.iter().enumerate() {
            let expected = if std::mem::replace(&mut taken[node as usize], true) {
                "each node once, in one of training, validation and test"
            } else if label[node as usize] < 0 {
                "nodes that have a label"
            } else {
                continue;
            };
            return Err(Fault::Node { part, at, expected });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_missing_labels_and_empty_parts_are_found() {
        let label = [0, 1, -1, 0];
        let check = |train: &[u32], validation: &[u32], test: &[u32]| {
            super::check([train, validation, test], &label)
        };
        assert_eq!(check(&[0], &[3], &[1]), Ok(()));
        assert_eq!(check(&[0], &[], &[1]), Err(Fault::Empty { part: 1 }));
        let fault = |part, at, expected| Err(Fault::Node { part, at, expected });
        let twice = "each node once, in one of training, validation and test";
        assert_eq!(check(&[0], &[3], &[1, 0]), fault(2, 1, twice));
        assert_eq!(check(&[0, 0], &[3], &[1]), fault(0, 1, twice));
        assert_eq!(check(&[0], &[2], &[1]), fault(1, 0, "nodes that have a label"));
    }
}
