//! Values that are computed column by column: one thread has one column of some edges.
//!
//! Lookups, sums, products and scalings are computed where they are used, in registers, from the
//! tiles of the steps that have one. A pass does so for one step (its root) and its inputs.

mod gradients;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::parameter::Parameter;
use super::source::Source;
use super::tiling::Tiling;
use crate::Activation;
use crate::message::program::Operation;

/// A step that is computed, or only read from its tile, and the steps from which it is computed.
pub(super) struct Pass<'p> {
    tiling: &'p Tiling<'p>,
    root: usize,
    /// Whether the root is computed.
    computed: bool,
    /// The root, intermediate steps, and those that are read.
    members: BTreeSet<usize>,
}

/// What a thread iterates over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// Four edges.
    FourEdges,
    /// The edges of a tile that one node receives.
    Runs {
        /// Includes the positions beyond the last edge.
        rest: bool,
    },
}

impl<'p> Pass<'p> {
    pub(super) fn new(tiling: &'p Tiling<'p>, root: usize, computed: bool) -> Self {
        let mut pass = Self { tiling, root, computed, members: BTreeSet::from([root]) };
        let mut open = vec![root];
        while let Some(v) = open.pop() {
            if pass.computes(v) {
                for input in tiling.step(v).operation.inputs() {
                    pass.members.insert(input);
                    open.push(input);
                }
            }
        }
        pass
    }

    pub(super) fn root(&self) -> usize {
        self.root
    }

    /// Whether a member is computed from others, rather than read.
    fn computes(&self, v: usize) -> bool {
        let own = if v == self.root { self.computed } else { !self.tiling.staged[v] };
        own && !self.tiling.step(v).operation.is_leaf()
    }

    /// Members that are read from their tiles.
    pub(super) fn tiles(&self) -> impl Iterator<Item = usize> {
        self.members.iter().copied().filter(|&v| self.reads_tile(v))
    }

    fn reads_tile(&self, v: usize) -> bool {
        self.tiling.staged[v] && !(v == self.root && self.computed)
    }

    fn has_vectors(&self) -> bool {
        self.computes(self.root)
            && matches!(self.tiling.step(self.root).operation, Operation::Equivariant { .. })
    }

    /// Number of concatenated parts of a member that are computed together.
    fn parts(&self, v: usize) -> usize {
        match (self.has_vectors(), v == self.root) {
            (true, true) => 4,
            (true, false) => 3,
            _ => 1,
        }
    }

    /// Columns of one part.
    fn width(&self) -> usize {
        self.tiling.step(self.root).width / self.parts(self.root)
    }

    /// Whether the root is the message, so that the gradients of the nodes enter through this pass.
    fn is_message(&self) -> bool {
        self.root == self.tiling.program.message && self.computed != self.tiling.staged[self.root]
    }

    /// The columns of one part that the block has, unless it has all: only the message itself is
    /// split, not what its layers read.
    fn cut(&self) -> Option<usize> {
        self.tiling.lanes.filter(|_| self.is_message())
    }

    fn lanes(&self) -> usize {
        self.cut().unwrap_or_else(|| self.width())
    }

    /// The index of a member's column in its matrix.
    fn column(&self, part: usize) -> String {
        match part * self.width() {
            0 => "column".to_owned(),
            before => format!("column + {before}"),
        }
    }

    /// An element of a member's tile, whose name begins with `kind`.
    fn element(&self, source: &mut Source, kind: &str, v: usize, part: usize, e: &str) -> String {
        let name = format!("{kind}_{v}");
        source.touch(&name);
        let column = if self.tiling.is_cut(v) {
            format!("c + {}", part * self.lanes())
        } else {
            self.column(part)
        };
        format!("{name}[({column}) * {} + {e}]", self.tiling.stride())
    }

    /// The position of a member's row in its matrix.
    fn place(&self, v: usize, part: usize) -> String {
        let row = match self.tiling.step(v).operation {
            Operation::From => "from",
            Operation::To => "to",
            _ => "edge",
        };
        let width = self.tiling.step(v).width;
        format!("(size_t)rows.{row}[e] * {width} + {}", self.column(part))
    }

    fn value(&self, source: &mut Source, v: usize, part: usize) -> String {
        if self.reads_tile(v) {
            return self.element(source, "value", v, part, "e");
        }
        let step = self.tiling.step(v);
        match &step.operation {
            Operation::Gaussians => {
                let distance = source.parameter(Parameter::Rows(v));
                let [first, spacing, coefficient] =
                    [Parameter::First(v), Parameter::Spacing(v), Parameter::Coefficient(v)]
                        .map(|parameter| source.parameter(parameter));
                let column = self.column(part);
                format!(
                    "gaussian(__ldg({distance} + rows.edge[e]), {column}, {first}, {spacing}, \
                     {coefficient})"
                )
            }
            Operation::From | Operation::To | Operation::Stored => {
                let matrix = source.parameter(Parameter::Rows(v));
                format!("__ldg({matrix} + {})", self.place(v, part))
            }
            Operation::Linear(_) => unreachable!("layers have tiles"),
            Operation::Sum { terms, activation } => {
                let sum = sum_of(terms, part);
                match activation {
                    Activation::Identity => sum,
                    // For a sum with a tile, the activation is applied there.
                    _ if self.tiling.staged[v] => sum,
                    activation => format!("activate<{}>({sum})", name(*activation)),
                }
            }
            Operation::Product([a, b]) => format!("v{a}_{part} * v{b}_{part}"),
            Operation::Scale { input } => {
                let factor = source.parameter(Parameter::Constant(v));
                format!("v{input}_{part} * __ldg({factor} + rows.edge[e])")
            }
            Operation::Equivariant { input, .. } if part == 0 => format!("v{input}_0"),
            Operation::Equivariant { input, vector } => {
                let along = direction(source, v, part - 1);
                let component = part - 1;
                format!("v{input}_1 * {along} + v{input}_2 * v{vector}_{component}")
            }
        }
    }

    fn values(&self, source: &mut Source, wanted: &BTreeSet<usize>, indent: &str) -> String {
        let mut text = String::new();
        for &v in wanted {
            for part in 0..self.parts(v) {
                let value = self.value(source, v, part);
                let _ = writeln!(text, "{indent}const float v{v}_{part} = {value};");
            }
        }
        text
    }

    /// The loop around the body, followed by a barrier for all threads.
    fn over(&self, over: Over, before: &str, body: &str, after: &str) -> String {
        let lanes = self.lanes();
        let (n, first, behind) = match over {
            Over::FourEdges => {
                (format!("{}", self.tiling.tile / 4), "task / LANES * 4", "start + 4")
            }
            Over::Runs { rest: false } => {
                ("rows.n_run".into(), "rows.start[run]", "rows.start[run + 1]")
            }
            Over::Runs { rest: true } => {
                ("rows.n_run_with_rest".into(), "rows.start[run]", "rows.start[run + 1]")
            }
        };
        let run = if over == Over::FourEdges { "" } else { "const int run = task / LANES;\n" };
        let unroll = if over == Over::FourEdges { "4" } else { "2" };
        let (step, edge) = if over == Over::FourEdges {
            ("e = start; e < behind; ++e", "")
        } else {
            let edge = "                const int e = rows.at[i];\n";
            ("i = start; i < behind; ++i", edge)
        };
        let column = match self.cut() {
            None => "const int column = task % LANES;".to_owned(),
            Some(_) => format!(
                "const int c = task % LANES, column = first_column + c;\n            \
                 if (column >= {}) continue;",
                self.width()
            ),
        };
        let run = if run.is_empty() { String::new() } else { format!("            {run}") };
        format!(
            "    {{\n        const int LANES = {lanes};\n        \
             for (int task = threadIdx.x; task < LANES * {n}; task += THREADS) {{\n            \
             {column}\n{run}            const int start = {first}, behind = {behind};\n\
             {before}#pragma unroll {unroll}\n            \
             for (int {step}) {{\n{edge}{body}            }}\n{after}        }}\n    \
             }}\n    __syncthreads();\n"
        )
    }

    /// Computes the root and stores it in its tile.
    pub(super) fn stage(&self, source: &mut Source) -> String {
        let body = self.values(source, &self.members, "                ");
        let root = self.root;
        let (mut before, mut keep, mut after) = (String::new(), String::new(), String::new());
        if self.tiling.banded == Some(root) {
            before += "            if (column < rows.band_start[start / 4] || \
                       column >= rows.band_end[start / 4]) continue;\n";
        }
        for part in 0..self.parts(root) {
            let _ = writeln!(before, "            float out_{part}[4];");
            let _ = writeln!(keep, "                out_{part}[e - start] = v{root}_{part};");
            after += &self.put_four(source, "value", root, part);
        }
        self.over(Over::FourEdges, &before, &(body + &keep), &after)
    }

    fn put_four(&self, source: &mut Source, kind: &str, v: usize, part: usize) -> String {
        let element = self.element(source, kind, v, part, "start");
        let out = if kind == "value" { format!("out_{part}") } else { format!("out{v}_{part}") };
        format!(
            "            put_four(&{element}, make_float4({out}[0], {out}[1], {out}[2], {out}[3]));\n"
        )
    }

    /// Sums the root at the receiving nodes.
    pub(super) fn aggregate(&self, source: &mut Source) -> String {
        let root = self.root;
        let mut body = self.values(source, &self.members, "                ");
        let (mut before, mut after) = (String::new(), String::new());
        let width = self.tiling.step(root).width;
        let [received, parts] = [Parameter::Received, Parameter::Parts(root)]
            .map(|parameter| source.parameter(parameter));
        let n_tile = source.parameter(Parameter::NTile);
        for part in 0..self.parts(root) {
            let _ = writeln!(before, "            float sum_{part} = 0.0f;");
            let _ = writeln!(body, "                sum_{part} += v{root}_{part};");
            let column = self.column(part);
            let _ = writeln!(
                after,
                "            give_to_node<{width}, false>({received}, {parts}, 0, rows, run, \
                 {n_tile}, {column}, sum_{part}, rows.share[rows.at[start]]);"
            );
        }
        self.over(Over::Runs { rest: false }, &before, &body, &after)
    }

    /// Writes the root's tile to memory, edge by edge.
    pub(super) fn give_out(&self, source: &mut Source) -> String {
        let value = self.element(source, "value", self.root, 0, "e");
        let edges = source.parameter(Parameter::Edges);
        let place = self.place_of_edge();
        let body =
            format!("                if (rows.share[e] > 0.0f) {edges}[{place}] = {value};\n");
        self.over(Over::FourEdges, "", &body, "")
    }

    /// Reads the gradients of the returned edge values into the root's tile.
    pub(super) fn take_back(&self, source: &mut Source) -> String {
        let gradient = self.element(source, "gradient", self.root, 0, "e");
        let edges = source.parameter(Parameter::OfEdges);
        let place = self.place_of_edge();
        let body = format!(
            "                {gradient} = rows.share[e] > 0.0f ? __ldg({edges} + {place}) : 0.0f;\n"
        );
        self.over(Over::FourEdges, "", &body, "")
    }

    fn place_of_edge(&self) -> String {
        let width = self.tiling.step(self.root).width;
        format!("(size_t)rows.edge[e] * {width} + {}", self.column(0))
    }

    /// A tile that the root's values may overwrite, if `free` says that nothing else reads it.
    pub(super) fn place_to_take(&self, free: impl Fn(usize) -> bool) -> Option<usize> {
        let tiling = self.tiling;
        let alike = |v: &usize| {
            self.reads_tile(*v)
                && tiling.local_width(*v) == tiling.local_width(self.root)
                && free(*v)
        };
        if self.has_vectors() { None } else { self.members.iter().copied().find(alike) }
    }
}

fn sum_of(terms: &[usize], part: usize) -> String {
    let terms: Vec<String> = terms.iter().map(|term| format!("v{term}_{part}")).collect();
    terms.join(" + ")
}

pub(super) fn name(activation: Activation) -> &'static str {
    match activation {
        Activation::Identity => "IDENTITY",
        Activation::ShiftedSoftplus => "SHIFTED_SOFTPLUS",
        Activation::Silu => "SILU",
        Activation::Relu => "RELU",
        Activation::Elu => "ELU",
        Activation::LeakyRelu => "LEAKY_RELU",
    }
}

fn direction(source: &mut Source, v: usize, component: usize) -> String {
    let direction = source.parameter(Parameter::Constant(v));
    format!("__ldg({direction} + (size_t)rows.edge[e] * 3 + {component})")
}
