//! Backpropagates the gradient of a pass's root to its inputs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::super::parameter::Parameter;
use super::super::source::Source;
use super::{Over, Pass, direction, name, sum_of};
use crate::Activation;
use crate::message::program::Operation;

impl Pass<'_> {
    /// Members whose values are needed for the gradients.
    pub(in crate::cuda::message) fn needed_for_gradients(&self) -> BTreeSet<usize> {
        let mut needed = BTreeSet::new();
        let tracked = |v: usize| self.tiling.step(v).tracked;
        for &v in self.members.iter().filter(|&&v| self.computes(v) && tracked(v)) {
            match &self.tiling.step(v).operation {
                Operation::Product([a, b]) | Operation::Equivariant { input: a, vector: b } => {
                    needed.extend(tracked(*a).then_some(*b));
                    needed.extend(tracked(*b).then_some(*a));
                }
                Operation::Sum { terms, activation }
                    if *activation != Activation::Identity && !self.tiling.staged[v] =>
                {
                    needed.extend(terms);
                }
                _ => {}
            }
        }
        for &v in self.members.iter().rev() {
            if needed.contains(&v) && self.computes(v) {
                needed.extend(self.tiling.step(v).operation.inputs());
            }
        }
        needed
    }

    /// Backpropagates the gradient of the root to its inputs. `written` are the gradients that
    /// already have a value, by step.
    pub(in crate::cuda::message) fn spread(
        &self,
        source: &mut Source,
        written: &mut BTreeSet<usize>,
    ) -> String {
        let tiling = self.tiling;
        let tracked = |v: &usize| tiling.step(*v).tracked;
        let sums = self.members.iter().copied().filter(tracked).any(|v| self.sums_at_node(v));
        let over = if sums { Over::Runs { rest: true } } else { Over::FourEdges };
        let indent = "                ";
        let mut text = self.values(source, &self.needed_for_gradients(), indent);
        let (mut before, mut after) = (String::new(), String::new());
        let mut first = FirstOr::default();
        for part in 0..self.parts(self.root) {
            let gradient = self.root_gradient(source, part);
            first.add(&mut text, self.root, part, &gradient);
        }
        for &v in self.members.iter().rev().filter(|&v| tracked(v)) {
            if self.computes(v) {
                self.spread_step(source, v, &mut first, &mut text);
                continue;
            }
            for part in (0..self.parts(v)).filter(|&part| first.has(v, part)) {
                let gradient = format!("g{v}_{part}");
                if self.reads_tile(v) {
                    self.give_to_tile(
                        source,
                        v,
                        part,
                        over,
                        written,
                        &mut text,
                        &mut before,
                        &mut after,
                    );
                } else if self.sums_at_node(v) {
                    let [of_rows, parts, n_tile] =
                        [Parameter::OfRows(v), Parameter::Parts(v), Parameter::NTile]
                            .map(|parameter| source.parameter(parameter));
                    let is_written = written.contains(&v);
                    let adds = if is_written {
                        "1".to_owned()
                    } else {
                        source.parameter(Parameter::AddsRows(v))
                    };
                    let (width, column) = (tiling.step(v).width, self.column(part));
                    let _ = writeln!(before, "            float sum{v}_{part} = 0.0f;");
                    let _ = writeln!(text, "{indent}sum{v}_{part} += {gradient};");
                    let _ = writeln!(
                        after,
                        "            if (run < rows.n_run) give_to_node<{width}, \
                         {is_written}>({of_rows}, {parts}, {adds}, rows, run, {n_tile}, {column}, \
                         sum{v}_{part}, 1.0f);"
                    );
                } else {
                    let is_sent = tiling.step(v).operation == Operation::From;
                    let parameter = if is_sent { Parameter::Sent(v) } else { Parameter::OfRows(v) };
                    let matrix = source.parameter(parameter);
                    let adds = match (written.contains(&v), is_sent) {
                        (true, _) => "1".to_owned(),
                        (false, true) => "0".to_owned(),
                        (false, false) => source.parameter(Parameter::Adds),
                    };
                    let place = match parameter {
                        Parameter::Sent(_) => format!(
                            "(size_t)rows.edge[e] * {} + {}",
                            tiling.step(v).width,
                            self.column(part)
                        ),
                        _ => self.place(v, part),
                    };
                    let _ = writeln!(
                        text,
                        "{indent}if (rows.share[e] > 0.0f) sum_up({matrix}, {place}, {adds}, \
                         {gradient});"
                    );
                }
            }
            if first.has(v, 0) {
                written.insert(v);
            }
        }
        self.over(over, &before, &text, &after)
    }

    fn sums_at_node(&self, v: usize) -> bool {
        matches!(self.tiling.step(v).operation, Operation::To) && !self.reads_tile(v)
    }

    fn root_gradient(&self, source: &mut Source, part: usize) -> String {
        if !self.is_message() {
            return self.element(source, "gradient", self.root, part, "e");
        }
        let received = source.parameter(Parameter::OfReceived);
        let width = self.tiling.step(self.root).width;
        let column = self.column(part);
        format!(
            "rows.share[e] > 0.0f ? rows.share[e] * __ldg({received} + (size_t)rows.to[e] * {width} + \
             {column}) : 0.0f"
        )
    }

    /// Adds to the gradient of a tile, or writes it if it has none.
    #[allow(clippy::too_many_arguments, reason = "the parts of a loop")]
    fn give_to_tile(
        &self,
        source: &mut Source,
        v: usize,
        part: usize,
        over: Over,
        written: &BTreeSet<usize>,
        text: &mut String,
        before: &mut String,
        after: &mut String,
    ) {
        let element = self.element(source, "gradient", v, part, "e");
        let indent = "                ";
        if written.contains(&v) {
            let _ = writeln!(text, "{indent}{element} += g{v}_{part};");
        } else if over == Over::FourEdges {
            let _ = writeln!(before, "            float out{v}_{part}[4];");
            let _ = writeln!(text, "{indent}out{v}_{part}[e - start] = g{v}_{part};");
            *after += &self.put_four(source, "gradient", v, part);
        } else {
            let _ = writeln!(text, "{indent}{element} = g{v}_{part};");
        }
    }

    /// The gradients of a step's inputs, from its own.
    fn spread_step(&self, source: &mut Source, v: usize, first: &mut FirstOr, text: &mut String) {
        let tiling = self.tiling;
        let tracked = |v: usize| tiling.step(v).tracked;
        match &tiling.step(v).operation {
            Operation::Sum { terms, activation } => {
                for part in 0..self.parts(v) {
                    if *activation != Activation::Identity && !tiling.staged[v] {
                        let (sum, name) = (sum_of(terms, part), name(*activation));
                        let _ = writeln!(
                            text,
                            "                g{v}_{part} *= slope_of_sum<{name}>({sum});"
                        );
                    }
                    for &term in terms.iter().filter(|&&term| tracked(term)) {
                        first.add(text, term, part, &format!("g{v}_{part}"));
                    }
                }
            }
            Operation::Product([a, b]) => {
                for part in 0..self.parts(v) {
                    for (factor, other) in [(*a, *b), (*b, *a)] {
                        if tracked(factor) {
                            first.add(
                                text,
                                factor,
                                part,
                                &format!("g{v}_{part} * v{other}_{part}"),
                            );
                        }
                    }
                }
            }
            Operation::Scale { input } => {
                let factor = source.parameter(Parameter::Constant(v));
                for part in 0..self.parts(v) {
                    let gradient = format!("g{v}_{part} * __ldg({factor} + rows.edge[e])");
                    first.add(text, *input, part, &gradient);
                }
            }
            Operation::Equivariant { input, vector } => {
                let (w, x) = (*input, *vector);
                if tracked(w) {
                    first.add(text, w, 0, &format!("g{v}_0"));
                    for component in 0..3 {
                        let along = direction(source, v, component);
                        let g = format!("g{v}_{}", component + 1);
                        first.add(text, w, 1, &format!("{g} * {along}"));
                        first.add(text, w, 2, &format!("{g} * v{x}_{component}"));
                    }
                }
                if tracked(x) {
                    for component in 0..3 {
                        first.add(text, x, component, &format!("g{v}_{} * v{w}_2", component + 1));
                    }
                }
            }
            _ => {}
        }
    }

    /// A tile that the gradient of the root hands over to the gradient of one of its terms: the
    /// first step of the same width without one. Every element is read before it is written.
    pub(in crate::cuda::message) fn tile_to_take_over(
        &self,
        written: &BTreeSet<usize>,
    ) -> Option<usize> {
        let tiling = self.tiling;
        let alike = |v: &usize| {
            *v != self.root
                && self.reads_tile(*v)
                && tiling.step(*v).tracked
                && tiling.local_width(*v) == tiling.local_width(self.root)
                && !written.contains(v)
        };
        if self.has_vectors() || self.is_message() {
            return None;
        }
        self.members.iter().copied().find(alike)
    }
}

/// Declares a gradient the first time, and adds to it afterwards.
#[derive(Default)]
struct FirstOr(BTreeSet<(usize, usize)>);

impl FirstOr {
    fn add(&mut self, text: &mut String, v: usize, part: usize, value: &str) {
        let is_first = self.0.insert((v, part));
        let (start, sign) = if is_first { ("float ", "=") } else { ("", "+=") };
        let _ = writeln!(text, "                {start}g{v}_{part} {sign} {value};");
    }

    fn has(&self, v: usize, part: usize) -> bool {
        self.0.contains(&(v, part))
    }
}
