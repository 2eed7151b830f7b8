//! The source of a message's backward kernels, which compute the gradients of all matrices from
//! that of the aggregated messages.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::forward::{compute, tile};
use super::kernel::{self, Kernel};
use super::parameter::Parameter;
use super::pass::{Pass, name};
use super::source::Source;
use super::tiling::Tiling;
use crate::Activation;
use crate::message::program::{EdgeLayer, Operation};

/// Edges per tile when rows are summed at their source nodes.
pub(super) const FROM_TILE: usize = 32;
/// Columns that a block sums in that case.
pub(super) const FROM_LANES: usize = 128;

#[derive(Debug, Clone, Copy)]
struct LayerSums {
    step: usize,
    start: usize,
    /// Elements of the weight's gradient, which precede those of the bias.
    n_weight: usize,
    n_bias: usize,
}

/// Positions of a block's sums, layer by layer.
fn layer_sums(tiling: &Tiling<'_>) -> (Vec<LayerSums>, usize) {
    let mut start = 0;
    let mut sums = Vec::new();
    for step in (0..tiling.program.live.len()).filter(|&v| tiling.program.live[v]) {
        let Some(linear) = tiling.linear(step) else { continue };
        let width = tiling.local_width(step);
        let n_weight = if linear.of_weight { linear.n_in * width } else { 0 };
        let n_bias = if linear.of_bias { width } else { 0 };
        if n_weight + n_bias > 0 {
            sums.push(LayerSums { step, start, n_weight, n_bias });
            start += n_weight + n_bias;
        }
    }
    (sums, start)
}

/// Number of values that each block sums, see [`Parameter::BlockSums`].
pub(super) fn n_block_sum(tiling: &Tiling<'_>) -> usize {
    layer_sums(tiling).1
}

/// Tracked steps that are looked up at the sending nodes.
pub(super) fn sent(tiling: &Tiling<'_>) -> Vec<usize> {
    gradients_of(tiling, |operation| matches!(operation, Operation::From))
}

/// Tracked steps that are looked up at the receiving nodes.
pub(super) fn looked_up_there(tiling: &Tiling<'_>) -> Vec<usize> {
    gradients_of(tiling, |operation| matches!(operation, Operation::To))
}

fn gradients_of(tiling: &Tiling<'_>, is: impl Fn(&Operation) -> bool) -> Vec<usize> {
    (0..tiling.program.live.len())
        .filter(|&v| {
            tiling.program.live[v] && tiling.step(v).tracked && is(&tiling.step(v).operation)
        })
        .collect()
}

/// Everything per edge: gradients through layers, per block, and by rows. The sums of weights'
/// gradients are in shared memory if `shared_sums`, otherwise in device memory.
pub(super) fn backward(tiling: &Tiling<'_>, shared_sums: bool) -> Kernel {
    let mut source = Source::default();
    let mut backward = Backward { tiling, source: &mut source, written: BTreeSet::new() };
    backward.run();
    let (sums, n_sum) = layer_sums(tiling);
    let find_rows = kernel::find_rows(tiling, &mut source);
    if n_sum > 0 {
        source.parameter(Parameter::BlockSums);
    }
    let (declarations, actions, n_tile) = source.finish();
    let numbers = n_tile + if shared_sums { n_sum } else { 0 };
    let (tile, first_column) = (tiling.tile, kernel::first_column(tiling));
    let place = format!("block_sums + ((size_t)blockIdx.x * gridDim.y + blockIdx.y) * {n_sum}");
    let (mut before, mut after) = (String::new(), String::new());
    if n_sum > 0 {
        let sums_at = if shared_sums { format!("tiles + {n_tile}") } else { place.clone() };
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
        if shared_sums {
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
         {find_rows}{actions}    }}\n{after}",
        kernel::TILES,
    );
    Kernel::new("message_backward", "THREADS, BLOCKS", source.parameters(), &body, numbers)
}

/// Gradients of rows, summed at the nodes from which they were looked up. `None` if there are none.
pub(super) fn sum_sent(tiling: &Tiling<'_>) -> Option<Kernel> {
    let steps = sent(tiling);
    if steps.is_empty() {
        return None;
    }
    let mut parameters = vec![
        Parameter::NEdge,
        Parameter::NFromTile,
        Parameter::FromOrder,
        Parameter::FromOf,
        Parameter::FromOffset,
    ];
    let mut body = format!(
        "    __shared__ Rows<{FROM_TILE}> rows;\n    find_rows<{FROM_TILE}, false>(rows, \
         blockIdx.x, n_edge, from_order, (const word *)0, from_of, from_offset, (const float \
         *)0);\n"
    );
    for v in steps {
        let width = tiling.step(v).width;
        let lanes = width.min(FROM_LANES);
        let _ = writeln!(
            body,
            "    sum_runs<{FROM_TILE}, {width}, {lanes}>(of_rows_{v}, sent_parts_{v}, adds_rows_{v}, \
             sent_{v}, rows, n_from_tile);"
        );
        parameters.extend([
            Parameter::OfRows(v),
            Parameter::AddsRows(v),
            Parameter::Sent(v),
            Parameter::SentParts(v),
        ]);
    }
    Some(Kernel::new("sum_sent", "THREADS", parameters, &body, 0))
}

/// The remaining sums: of nodes whose edges are in several tiles, and over blocks; 0 for nodes
/// without edges.
pub(super) fn finish(tiling: &Tiling<'_>) -> Option<Kernel> {
    let mut parameters = BTreeSet::new();
    let mut body = "    int block = blockIdx.x;\n".to_owned();
    let (there, sent) = (looked_up_there(tiling), sent(tiling));
    let tile = tiling.tile;
    let mut joins = |steps: &[usize], from: bool| {
        if steps.is_empty() {
            return;
        }
        let (n, tile) = if from { ("n_from_tile", FROM_TILE) } else { ("n_tile", tile) };
        let (end, parts) = if from { ("from", "sent_parts") } else { ("to", "parts") };
        let _ = writeln!(body, "    if (block < {n}) {{");
        for &v in steps {
            let width = tiling.step(v).width;
            let _ = writeln!(
                body,
                "        join_parts<{tile}, {width}, false>(of_rows_{v}, {parts}_{v}, adds_rows_{v}, \
                 block, {n}, n_edge, {end}_order, {end}_of, {end}_offset);\n        \
                 if (!adds_rows_{v}) clear_unreached<{width}>(of_rows_{v}, block, {n}, n_{end}_node, \
                 {end}_offset);"
            );
            parameters.extend([Parameter::OfRows(v), Parameter::AddsRows(v)]);
            parameters.insert(if from { Parameter::SentParts(v) } else { Parameter::Parts(v) });
        }
        let _ = writeln!(body, "        return;\n    }}\n    block -= {n};");
        parameters.insert(Parameter::NEdge);
        parameters.extend(if from {
            [
                Parameter::NFromTile,
                Parameter::NFromNode,
                Parameter::FromOrder,
                Parameter::FromOf,
                Parameter::FromOffset,
            ]
        } else {
            [
                Parameter::NTile,
                Parameter::NToNode,
                Parameter::ToOrder,
                Parameter::ToOf,
                Parameter::ToOffset,
            ]
        });
    };
    joins(&there, false);
    joins(&sent, true);
    let (sums, n_sum) = layer_sums(tiling);
    if n_sum > 0 {
        parameters.extend([Parameter::NBlock, Parameter::BlockSums]);
        let n = tiling.n_column_block() * n_sum;
        let _ = write!(
            body,
            "    const int i = (block * gridDim.y + blockIdx.y) * SUM_X + SUM_COLUMN;\n    \
             const float sum = sum_of_rows(block_sums, n_block, {n}, i, i < {n});\n    \
             if (SUM_RUN > 0 || i >= {n}) return;\n"
        );
        if let Some(lanes) = tiling.lanes {
            let _ = writeln!(body, "    const int first_column = i / {n_sum} * {lanes};");
        }
        let _ = writeln!(body, "    const int place = i % {n_sum};");
        for LayerSums { step, start, n_weight, n_bias } in sums {
            let (columns, width) = (tiling.columns(step), tiling.step(step).width);
            let _ = writeln!(body, "    const auto columns_{step} = {columns};");
            let mut add = |parameter: Parameter, start: usize, n: usize| {
                if n > 0 {
                    parameters.extend([parameter, Parameter::Adds]);
                    let local = tiling.local_width(step);
                    let _ = writeln!(
                        body,
                        "    if (place >= {start} && place < {}) {{\n        \
                         const int row = (place - {start}) / {local}, j = (place - {start}) % \
                         {local};\n        if (columns_{step}.has(j)) sum_up({parameter}, row * \
                         {width} + columns_{step}.at(j), adds, sum);\n    }}",
                        start + n
                    );
                }
            };
            add(Parameter::OfWeight(step), start, n_weight);
            add(Parameter::OfBias(step), start + n_weight, n_bias);
        }
    }
    if parameters.is_empty() {
        return None;
    }
    let parameters = parameters.into_iter().collect();
    Some(Kernel::new("finish_backward", "SUM_X * SUM_Y", parameters, &body, 0))
}

struct Backward<'a> {
    tiling: &'a Tiling<'a>,
    source: &'a mut Source,
    /// Steps whose gradients already have a value.
    written: BTreeSet<usize>,
}

impl Backward<'_> {
    fn run(&mut self) {
        let tiling = self.tiling;
        let message = tiling.program.message;
        if let Some(edge) = tiling.program.edge.filter(|&edge| tiling.step(edge).tracked) {
            self.source.begin();
            self.create_gradient(edge);
            let text = Pass::new(tiling, edge, false).take_back(self.source);
            self.source.put(&format!("    // The gradient of step {edge}, given out.\n{text}"));
            self.written.insert(edge);
        }
        if tiling.step(message).tracked {
            let pass = Pass::new(tiling, message, !tiling.staged[message]);
            self.spread(&pass, &format!("of step {message}, which nodes have received"));
        }
        for v in (0..tiling.program.live.len()).rev() {
            if tiling.staged[v] && tiling.step(v).tracked && self.written.contains(&v) {
                self.step(v);
            }
        }
    }

    /// Backpropagates the gradient of a staged step to its inputs.
    fn step(&mut self, v: usize) {
        let tiling = self.tiling;
        let operation = &tiling.step(v).operation;
        let activation = operation.activation();
        if activation != Activation::Identity {
            let [t, s] = [tiling.tile, tiling.stride()];
            self.source.begin();
            self.source.touch(&gradient(v));
            let kept = self.kept(v);
            self.source.put(&format!(
                "    multiply_by_slope<{t}, {s}, {}>(gradient_{v}, {kept}, {});\n",
                name(activation),
                tiling.columns(v)
            ));
        }
        if let Operation::Linear(linear) = operation {
            self.layer(v, linear);
        } else {
            // The whole gradient of a leaf with a tile is in the tile: none of it has been written
            // out before.
            self.written.remove(&v);
            let pass = Pass::new(tiling, v, true);
            self.spread(&pass, &format!("of step {v}"));
        }
    }

    fn spread(&mut self, pass: &Pass<'_>, what: &str) {
        for v in pass.needed_for_gradients() {
            if self.tiling.staged[v] {
                self.have_value(v);
            }
        }
        self.source.begin();
        if let Some(next) = pass.tile_to_take_over(&self.written) {
            self.source.take_place(&gradient(next), &gradient(pass.root()));
        }
        for v in pass.tiles().filter(|&v| self.tiling.step(v).tracked).collect::<Vec<_>>() {
            if !self.source.exists(&gradient(v)) {
                self.create_gradient(v);
            }
        }
        let text = pass.spread(self.source, &mut self.written);
        self.source.put(&format!("    // From the gradient {what}.\n{text}"));
    }

    fn layer(&mut self, v: usize, linear: &EdgeLayer) {
        let tiling = self.tiling;
        let [t, s] = [tiling.tile, tiling.stride()];
        let EdgeLayer { input, n_in, .. } = *linear;
        let (width, columns) = (tiling.step(v).width, tiling.columns(v));
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
                "    add_bias_gradient<{t}, {s}>(bias_sums_{v}, gradient_{v}, {columns});"
            );
        }
        if linear.of_weight {
            self.source.touch(&tile(input));
            let (function, rows) = if tiling.banded == Some(input) {
                ("add_weight_gradient_of_bands", ", rows")
            } else {
                ("add_weight_gradient", "")
            };
            let function = tiling.products(function);
            let _ = writeln!(
                text,
                "    {function}{t}, {s}, {n_in}>(weight_sums_{v}, value_{input}, gradient_{v}, \
                 {columns}{rows});"
            );
        }
        if tiling.step(input).tracked {
            let add = !self.written.insert(input);
            if !add {
                self.create_gradient(input);
            }
            self.source.touch(&gradient(input));
            let weight = self.source.parameter(Parameter::Weight(v));
            let function = tiling.products("add_input_gradient");
            let _ = writeln!(
                text,
                "    {function}{t}, {s}, {n_in}, {width}, {add}>(gradient_{input}, \
                 gradient_{v}, {weight});"
            );
        } else {
            text += "    __syncthreads();\n";
        }
        self.source.put(&text);
    }

    /// Loads a value that forward has kept, or recomputes it, unless it is present.
    fn have_value(&mut self, v: usize) {
        let tiling = self.tiling;
        if self.source.exists(&tile(v)) {
            return;
        }
        let [t, s] = [tiling.tile, tiling.stride()];
        if tiling.kept[v] {
            self.source.begin();
            self.source.create(&tile(v), tiling.local_width(v).next_multiple_of(4) * s);
            let kept = self.kept(v);
            let still = if tiling.step(v).operation.keeps_sum() {
                tiling.step(v).operation.activation()
            } else {
                Activation::Identity
            };
            let activation = name(still);
            self.source.put(&format!(
                "    load_kept<{t}, {s}, {activation}>(value_{v}, {kept}, {});\n",
                tiling.columns(v)
            ));
            return;
        }
        if let Some(linear) = tiling.linear(v) {
            self.have_value(linear.input);
        } else {
            let inputs: Vec<usize> = Pass::new(tiling, v, true).tiles().collect();
            for input in inputs {
                self.have_value(input);
            }
        }
        // Values are not overwritten here: they may be read again.
        compute(tiling, self.source, v, false, |_, _| false);
    }

    fn create_gradient(&mut self, v: usize) {
        let numbers = self.tiling.local_width(v).next_multiple_of(4) * self.tiling.stride();
        self.source.create(&gradient(v), numbers);
    }

    fn kept(&mut self, v: usize) -> String {
        let numbers = self.tiling.step(v).width * self.tiling.tile;
        format!("{} + (size_t)tile * {numbers}", self.source.parameter(Parameter::Kept(v)))
    }
}

fn gradient(v: usize) -> String {
    format!("gradient_{v}")
}
