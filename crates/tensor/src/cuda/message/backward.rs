//! The source of a message's kernels, from the gradient of what the nodes have received to those of
//! all matrices.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::argument::Argument;
use super::forward::{compute, tile};
use super::kernel::{self, Kernel};
use super::pass::{Pass, name};
use super::plan::Plan;
use super::program::{Linear, Operation};
use super::source::Source;
use crate::{Activation, Aggregate};

/// Edges of a tile when rows are summed at the nodes that they came from.
pub(super) const FROM_TILE: usize = 32;
/// Columns that a block sums then.
pub(super) const FROM_LANES: usize = 128;

#[derive(Debug, Clone, Copy)]
struct LayerSums {
    step: usize,
    start: usize,
    /// Numbers of the weight's gradient, which lie before those of the bias.
    n_weight: usize,
    n_bias: usize,
}

/// Where the sums of a block lie, layer by layer.
fn layer_sums(plan: &Plan<'_>) -> (Vec<LayerSums>, usize) {
    let mut start = 0;
    let mut sums = Vec::new();
    for step in (0..plan.live.len()).filter(|&v| plan.live[v]) {
        let Some(linear) = plan.linear(step) else { continue };
        let width = plan.local_width(step);
        let n_weight = if linear.of_weight { linear.n_in * width } else { 0 };
        let n_bias = if linear.of_bias { width } else { 0 };
        if n_weight + n_bias > 0 {
            sums.push(LayerSums { step, start, n_weight, n_bias });
            start += n_weight + n_bias;
        }
    }
    (sums, start)
}

/// Numbers that each block sums, see [`Argument::BlockSums`].
pub(super) fn n_block_sum(plan: &Plan<'_>) -> usize {
    layer_sums(plan).1
}

/// Tracked steps that are looked up at the nodes that send.
pub(super) fn sent(plan: &Plan<'_>) -> Vec<usize> {
    gradients_of(plan, |operation| matches!(operation, Operation::From))
}

/// Tracked steps that are looked up at the nodes that receive.
pub(super) fn looked_up_there(plan: &Plan<'_>) -> Vec<usize> {
    gradients_of(plan, |operation| matches!(operation, Operation::To))
}

fn gradients_of(plan: &Plan<'_>, is: impl Fn(&Operation) -> bool) -> Vec<usize> {
    (0..plan.live.len())
        .filter(|&v| plan.live[v] && plan.step(v).tracked && is(&plan.step(v).operation))
        .collect()
}

/// Everything of the edges: gradients by layers, block by block, and by rows.
pub(super) fn backward(plan: &Plan<'_>, memory: kernel::Memory) -> Kernel {
    let mut source = Source::default();
    let mut backward = Backward { plan, source: &mut source, written: BTreeSet::new() };
    backward.run();
    let (sums, n_sum) = layer_sums(plan);
    let rows = [Argument::NEdge, Argument::ToOrder, Argument::FromOf, Argument::ToOf];
    for argument in rows.into_iter().chain([Argument::ToOffset, Argument::NTile]) {
        source.argument(argument);
    }
    if n_sum > 0 {
        source.argument(Argument::BlockSums);
    }
    if !memory.shared {
        source.argument(Argument::Tiles);
    }
    let (declarations, actions, n_tile) = source.finish();
    let numbers = n_tile + if memory.shared_sums { n_sum } else { 0 };
    let mean = plan.program.aggregate == Aggregate::Mean;
    let (tile, first_column) = (plan.tile, kernel::first_column(plan));
    let place = format!("block_sums + ((size_t)blockIdx.x * gridDim.y + blockIdx.y) * {n_sum}");
    let (mut before, mut after) = (String::new(), String::new());
    if n_sum > 0 {
        let sums_at = if memory.shared_sums { format!("tiles + {n_tile}") } else { place.clone() };
        let _ = write!(
            before,
            "    // What this block adds to the gradients of weights and biases.\n    \
             float *const sums = {sums_at};\n    \
             for (int i = threadIdx.x; i < {n_sum}; i += THREADS) sums[i] = 0.0f;\n"
        );
        for LayerSums { step, start, n_weight, n_bias } in sums {
            if n_weight > 0 {
                let _ = writeln!(before, "    float *const weight_sums_{step} = sums + {start};");
            }
            if n_bias > 0 {
                let start = start + n_weight;
                let _ = writeln!(before, "    float *const bias_sums_{step} = sums + {start};");
            }
        }
        if memory.shared_sums {
            let _ = write!(
                after,
                "    __syncthreads();\n    float *const out = {place};\n    \
                 for (int i = threadIdx.x; i < {n_sum}; i += THREADS) out[i] = sums[i];\n"
            );
        }
    }
    let body = format!(
        "    __shared__ Rows<{tile}> rows;\n{first_column}{}{declarations}{before}    \
         for (int tile = blockIdx.x; tile < n_tile; tile += gridDim.x) {{\n    \
         find_rows<{tile}, {mean}>(rows, tile, n_edge, to_order, from_of, to_of, to_offset);\n\
         {actions}    }}\n{after}",
        kernel::tiles(numbers, memory),
    );
    Kernel::new("message_backward", "THREADS, BLOCKS", source.arguments(), &body, numbers, memory)
}

/// Gradients of rows, summed at the nodes that they were looked up at. None if there are none.
pub(super) fn sum_sent(plan: &Plan<'_>) -> Option<Kernel> {
    let steps = sent(plan);
    if steps.is_empty() {
        return None;
    }
    let mut arguments = vec![
        Argument::NEdge,
        Argument::NFromTile,
        Argument::FromOrder,
        Argument::FromOf,
        Argument::FromOffset,
    ];
    let mut body = format!(
        "    __shared__ Rows<{FROM_TILE}> rows;\n    find_rows<{FROM_TILE}, false>(rows, \
         blockIdx.x, n_edge, from_order, (const word *)0, from_of, from_offset);\n"
    );
    for v in steps {
        let width = plan.step(v).width;
        let lanes = width.min(FROM_LANES);
        let _ = writeln!(
            body,
            "    sum_runs<{FROM_TILE}, {width}, {lanes}>(of_rows_{v}, sent_parts_{v}, sent_{v}, \
             rows, n_from_tile);"
        );
        arguments.extend([Argument::OfRows(v), Argument::Sent(v), Argument::SentParts(v)]);
    }
    Some(Kernel::new("sum_sent", "THREADS", arguments, &body, 0, kernel::Memory::default()))
}

/// What is left: sums of nodes whose edges lie in several tiles, and of the blocks.
pub(super) fn finish(plan: &Plan<'_>) -> Option<Kernel> {
    let mut arguments = BTreeSet::new();
    let mut body = "    int block = blockIdx.x;\n".to_owned();
    let (there, sent) = (looked_up_there(plan), sent(plan));
    let tile = plan.tile;
    let mut joins = |steps: &[usize], from: bool| {
        if steps.is_empty() {
            return;
        }
        let (n, tile) = if from { ("n_from_tile", FROM_TILE) } else { ("n_tile", tile) };
        let (end, parts) = if from { ("from", "sent_parts") } else { ("to", "parts") };
        let _ = writeln!(body, "    if (block < {n}) {{");
        for &v in steps {
            let width = plan.step(v).width;
            let _ = writeln!(
                body,
                "        join_parts<{tile}, {width}, true, false>(of_rows_{v}, {parts}_{v}, block, \
                 {n}, n_edge, {end}_order, {end}_of, {end}_offset);"
            );
            arguments.insert(Argument::OfRows(v));
            arguments.insert(if from { Argument::SentParts(v) } else { Argument::Parts(v) });
        }
        let _ = writeln!(body, "        return;\n    }}\n    block -= {n};");
        arguments.insert(Argument::NEdge);
        arguments.extend(if from {
            [Argument::NFromTile, Argument::FromOrder, Argument::FromOf, Argument::FromOffset]
        } else {
            [Argument::NTile, Argument::ToOrder, Argument::ToOf, Argument::ToOffset]
        });
    };
    joins(&there, false);
    joins(&sent, true);
    let (sums, n_sum) = layer_sums(plan);
    if n_sum > 0 {
        arguments.extend([Argument::NBlock, Argument::BlockSums]);
        let n = plan.n_column_block() * n_sum;
        let _ = write!(
            body,
            "    const int i = (block * gridDim.y + blockIdx.y) * SUM_X + SUM_COLUMN;\n    \
             const float sum = sum_of_rows(block_sums, n_block, {n}, i, i < {n});\n    \
             if (SUM_RUN > 0 || i >= {n}) return;\n"
        );
        if let Some(lanes) = plan.lanes {
            let _ = writeln!(body, "    const int first_column = i / {n_sum} * {lanes};");
        }
        let _ = writeln!(body, "    const int place = i % {n_sum};");
        for LayerSums { step, start, n_weight, n_bias } in sums {
            let (columns, width) = (plan.columns(step), plan.step(step).width);
            let _ = writeln!(body, "    const auto columns_{step} = {columns};");
            let mut add = |argument: Argument, start: usize, n: usize| {
                if n > 0 {
                    arguments.insert(argument);
                    let local = plan.local_width(step);
                    let _ = writeln!(
                        body,
                        "    if (place >= {start} && place < {}) {{\n        \
                         const int row = (place - {start}) / {local}, j = (place - {start}) % \
                         {local};\n        if (columns_{step}.has(j)) {argument}[row * {width} + \
                         columns_{step}.at(j)] += sum;\n    }}",
                        start + n
                    );
                }
            };
            add(Argument::OfWeight(step), start, n_weight);
            add(Argument::OfBias(step), start + n_weight, n_bias);
        }
    }
    if arguments.is_empty() {
        return None;
    }
    let arguments = arguments.into_iter().collect();
    let memory = kernel::Memory::default();
    Some(Kernel::new("finish_backward", "SUM_X * SUM_Y", arguments, &body, 0, memory))
}

struct Backward<'a> {
    plan: &'a Plan<'a>,
    source: &'a mut Source,
    /// Steps whose gradients have a value already.
    written: BTreeSet<usize>,
}

impl Backward<'_> {
    fn run(&mut self) {
        let plan = self.plan;
        let message = plan.program.message;
        if let Some(edge) = plan.program.edge.filter(|&edge| plan.step(edge).tracked) {
            self.source.begin();
            self.create_gradient(edge);
            let text = Pass::new(plan, edge, false).take_back(self.source);
            self.source.put(&format!("    // The gradient of step {edge}, given out.\n{text}"));
            self.written.insert(edge);
        }
        if plan.step(message).tracked {
            let pass = Pass::new(plan, message, !plan.staged[message]);
            self.spread(&pass, &format!("of step {message}, which nodes have received"));
        }
        for v in (0..plan.live.len()).rev() {
            if plan.staged[v] && plan.step(v).tracked && self.written.contains(&v) {
                self.step(v);
            }
        }
    }

    /// From the gradient of a staged step to those of its inputs.
    fn step(&mut self, v: usize) {
        let plan = self.plan;
        let operation = &plan.step(v).operation;
        let activation = operation.activation();
        if activation != Activation::Identity {
            let [t, s] = [plan.tile, plan.stride()];
            self.source.begin();
            self.source.touch(&gradient(v));
            let kept = self.kept(v);
            self.source.put(&format!(
                "    multiply_by_slope<{t}, {s}, {}>(gradient_{v}, {kept}, {});\n",
                name(activation),
                plan.columns(v)
            ));
        }
        if let Operation::Linear(linear) = operation {
            self.layer(v, linear);
        } else {
            // All of the gradient of a leaf with a tile is in the tile: nothing has left it before.
            self.written.remove(&v);
            let pass = Pass::new(plan, v, true);
            self.spread(&pass, &format!("of step {v}"));
        }
    }

    fn spread(&mut self, pass: &Pass<'_>, what: &str) {
        for v in pass.needed_for_gradients() {
            if self.plan.staged[v] {
                self.have_value(v);
            }
        }
        self.source.begin();
        if let Some(heir) = pass.heir(&self.written) {
            self.source.take_place(&gradient(heir), &gradient(pass.root()));
        }
        for v in pass.tiles().filter(|&v| self.plan.step(v).tracked).collect::<Vec<_>>() {
            if !self.source.exists(&gradient(v)) {
                self.create_gradient(v);
            }
        }
        let text = pass.spread(self.source, &mut self.written);
        self.source.put(&format!("    // From the gradient {what}.\n{text}"));
    }

    fn layer(&mut self, v: usize, linear: &Linear) {
        let plan = self.plan;
        let [t, s] = [plan.tile, plan.stride()];
        let Linear { input, n_in, .. } = *linear;
        let (width, local) = (plan.step(v).width, plan.local_width(v));
        if linear.of_weight {
            self.have_value(input);
        }
        self.source.begin();
        self.source.touch(&gradient(v));
        let mut text =
            format!("    // The gradients of the layer of step {v}, {n_in} to {width}.\n");
        if linear.of_bias {
            let _ = writeln!(
                text,
                "    add_bias_gradient<{t}, {s}, {local}>(bias_sums_{v}, gradient_{v});"
            );
        }
        if linear.of_weight {
            self.source.touch(&tile(input));
            let _ = writeln!(
                text,
                "    add_weight_gradient<{t}, {s}, {n_in}, {local}>(weight_sums_{v}, \
                 value_{input}, gradient_{v});"
            );
        }
        if plan.step(input).tracked {
            let add = !self.written.insert(input);
            if !add {
                self.create_gradient(input);
            }
            self.source.touch(&gradient(input));
            let weight = self.source.argument(Argument::Weight(v));
            let _ = writeln!(
                text,
                "    add_input_gradient<{t}, {s}, {n_in}, {width}, {add}>(gradient_{input}, \
                 gradient_{v}, {weight});"
            );
        } else {
            text += "    __syncthreads();\n";
        }
        self.source.put(&text);
    }

    /// Loads a value that forward has kept, or computes it again, unless it is there.
    fn have_value(&mut self, v: usize) {
        let plan = self.plan;
        if self.source.exists(&tile(v)) {
            return;
        }
        let [t, s] = [plan.tile, plan.stride()];
        if plan.kept[v] {
            self.source.begin();
            self.source.create(&tile(v), plan.local_width(v).next_multiple_of(4) * s);
            let kept = self.kept(v);
            let still = if plan.keeps_sum(v) {
                plan.step(v).operation.activation()
            } else {
                Activation::Identity
            };
            let activation = name(still);
            self.source.put(&format!(
                "    load_kept<{t}, {s}, {activation}>(value_{v}, {kept}, {});\n",
                plan.columns(v)
            ));
            return;
        }
        if let Some(linear) = plan.linear(v) {
            self.have_value(linear.input);
        } else {
            let inputs: Vec<usize> = Pass::new(plan, v, true).tiles().collect();
            for input in inputs {
                self.have_value(input);
            }
        }
        // Nothing takes the place of values here: they may be read again.
        compute(plan, self.source, v, false, |_, _| false);
    }

    fn create_gradient(&mut self, v: usize) {
        let numbers = self.plan.local_width(v).next_multiple_of(4) * self.plan.stride();
        self.source.create(&gradient(v), numbers);
    }

    fn kept(&mut self, v: usize) -> String {
        let numbers = self.plan.step(v).width * self.plan.tile;
        format!("{} + (size_t)tile * {numbers}", self.source.argument(Argument::Kept(v)))
    }
}

fn gradient(v: usize) -> String {
    format!("gradient_{v}")
}
