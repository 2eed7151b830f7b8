//! The source of a message's forward kernels, from the distances to the aggregated messages.

use std::fmt::Write as _;

use super::kernel::{self, Kernel};
use super::parameter::Parameter;
use super::pass::{Pass, name};
use super::source::Source;
use super::tiling::Tiling;
use crate::Aggregate;
use crate::message::program::Operation;

/// Complete sums of nodes whose edges are in one tile, and partial sums of the rest.
pub(super) fn forward(tiling: &Tiling<'_>, keep: bool) -> Kernel {
    let mut source = Source::default();
    for v in (0..tiling.program.live.len()).filter(|&v| tiling.staged[v]) {
        compute(tiling, &mut source, v, keep && tiling.kept[v], |source, v| {
            source.exists(&tile(v))
        });
        if tiling.program.edge == Some(v) {
            source.begin();
            let text = Pass::new(tiling, v, false).give_out(&mut source);
            source.put(&format!("    // Step {v} is given out edge by edge.\n{text}"));
        }
    }
    let message = tiling.program.message;
    source.begin();
    let text = Pass::new(tiling, message, !tiling.staged[message]).aggregate(&mut source);
    source.put(&format!("    // The nodes receive step {message}.\n{text}"));

    let find_rows = kernel::find_rows(tiling, &mut source);
    let (declarations, actions, numbers) = source.finish();
    let (tile, first_column) = (tiling.tile, kernel::first_column(tiling));
    let body = format!(
        "    __shared__ Rows<{tile}> rows;\n{first_column}{}{declarations}    \
         for (int tile = blockIdx.x; tile < n_tile; tile += gridDim.x) {{\n    \
         {find_rows}{actions}    }}\n",
        kernel::TILES,
    );
    Kernel::new("message_forward", "THREADS, BLOCKS", source.parameters(), &body, numbers)
}

/// The remaining sums: of nodes whose edges are in several tiles, and 0 for nodes without edges.
pub(super) fn finish(tiling: &Tiling<'_>) -> Kernel {
    let v = tiling.program.message;
    let (tile, width) = (tiling.tile, tiling.step(v).width);
    let mean = tiling.program.aggregate == Aggregate::Mean;
    let body = format!(
        "    join_parts<{tile}, {width}, {mean}>(received, parts_{v}, 0, blockIdx.x, n_tile, n_edge, \
         to_order, to_of, to_offset);\n    \
         clear_unreached<{width}>(received, blockIdx.x, n_tile, n_to_node, to_offset);\n"
    );
    let parameters = vec![
        Parameter::NEdge,
        Parameter::NTile,
        Parameter::NToNode,
        Parameter::ToOrder,
        Parameter::ToOf,
        Parameter::ToOffset,
        Parameter::Received,
        Parameter::Parts(v),
    ];
    Kernel::new("finish_forward", "SUM_X * SUM_Y", parameters, &body, 0)
}

/// The name of a step's tile.
pub(super) fn tile(v: usize) -> String {
    format!("value_{v}")
}

/// Computes a staged step from its inputs, and keeps what backward needs.
pub(super) fn compute(
    tiling: &Tiling<'_>,
    source: &mut Source,
    v: usize,
    keep: bool,
    is_there: impl Fn(&Source, usize) -> bool,
) {
    let [t, s] = [tiling.tile, tiling.stride()];
    let step = tiling.step(v);
    let numbers = |width: usize| width.next_multiple_of(4) * s;
    let kept = |source: &mut Source| {
        if !keep {
            return "(float *)0".to_owned();
        }
        let width = step.width;
        format!("{} + (size_t)tile * {}", source.parameter(Parameter::Kept(v)), width * t)
    };
    let keeping = match (keep, tiling.step(v).operation.keeps_sum()) {
        (false, _) => "KEEP_NOTHING",
        (true, true) => "KEEP_SUM",
        (true, false) => "KEEP_OUTPUT",
    };
    let (columns, activation) = (tiling.columns(v), name(step.operation.activation()));
    source.begin();
    if let Operation::Linear(linear) = &step.operation {
        source.create(&tile(v), numbers(tiling.local_width(v)));
        source.touch(&tile(linear.input));
        let weight = source.parameter(Parameter::Weight(v));
        let bias = if linear.bias {
            source.parameter(Parameter::Bias(v))
        } else {
            "(const float *)0".to_owned()
        };
        let (kept, input, n_in) = (kept(source), linear.input, linear.n_in);
        let of_bands = tiling.banded == Some(input);
        let (function, n_row, rows) = if of_bands {
            ("linear_on_bands", String::new(), ", rows")
        } else {
            ("linear", format!("{n_in}, "), "")
        };
        let function = tiling.products(function);
        source.put(&format!(
            "    // Step {v}: a layer on step {input}, {n_in} to {}.\n    \
             {function}{t}, {s}, {n_row}{activation}, {keeping}>(value_{v}, value_{input}, \
             {weight}, {bias}, {kept}, {columns}{rows});\n",
            step.width
        ));
        return;
    }
    let pass = Pass::new(tiling, v, true);
    let mut note = String::new();
    let read_later = |input: usize| {
        (v + 1..tiling.program.live.len())
            .any(|user| tiling.program.live[user] && uses(tiling, user, input))
            || tiling.program.message == input
            || tiling.program.edge == Some(input)
    };
    match pass.place_to_take(|input| is_there(source, input) && !read_later(input)) {
        Some(input) => source.take_place(&tile(v), &tile(input)),
        None => source.create(&tile(v), numbers(tiling.local_width(v))),
    }
    let text = pass.stage(source);
    let _ = write!(note, "    // Step {v}, {} wide.\n{text}", step.width);
    source.put(&note);
    if step.operation.activation() != crate::Activation::Identity {
        source.begin();
        source.touch(&tile(v));
        let kept = kept(source);
        source.put(&format!(
            "    activate_sums<{t}, {s}, {activation}, {keeping}>(value_{v}, {kept}, {columns});\n"
        ));
    }
}

/// Whether a later step may read the tile of `input`: directly, or through steps that are computed
/// where they are used.
fn uses(tiling: &Tiling<'_>, user: usize, input: usize) -> bool {
    tiling
        .step(user)
        .operation
        .inputs()
        .any(|of| of == input || (of < user && !tiling.staged[of] && uses(tiling, of, input)))
}
