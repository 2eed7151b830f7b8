//! A kernel as text, with its launch parameters.

use super::parameter::{Parameter, declarations};
use super::source::Source;
use super::tiling::Tiling;
use crate::Aggregate;

/// One function of a source.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    pub(super) name: &'static str,
    pub(super) text: String,
    pub(super) parameters: Vec<Parameter>,
    /// Dynamic shared memory in bytes.
    pub(super) shared_bytes: usize,
}

impl Kernel {
    /// `numbers` is the size of a block's tiles in shared memory.
    pub(super) fn new(
        name: &'static str,
        threads: &str,
        parameters: Vec<Parameter>,
        body: &str,
        numbers: usize,
    ) -> Self {
        let shared_bytes = 4 * numbers;
        let text = format!(
            "// {name}: {shared_bytes} bytes of dynamic shared memory\n\
             extern \"C\" __global__ void __launch_bounds__({threads}) {name}(\n    {})\n\
             {{\n{body}}}\n",
            declarations(&parameters)
        );
        Self { name, text, parameters, shared_bytes }
    }
}

/// The declaration of the start of a block's tiles.
pub(super) const TILES: &str = "    extern __shared__ float4 shared_memory[];\n    \
    float *const tiles = reinterpret_cast<float *>(shared_memory);\n";

/// The declaration of the first column of a block, if it does not compute all of them.
pub(super) fn first_column(tiling: &Tiling<'_>) -> String {
    tiling.lanes.map_or_else(String::new, |lanes| {
        format!("    const int first_column = blockIdx.y * {lanes};\n")
    })
}

/// The statements that find the edges of a tile, and the Gaussians of each.
pub(super) fn find_rows(tiling: &Tiling<'_>, source: &mut Source) -> String {
    let [n_edge, order, from, to, offset] = [
        Parameter::NEdge,
        Parameter::ToOrder,
        Parameter::FromOf,
        Parameter::ToOf,
        Parameter::ToOffset,
    ]
    .map(|parameter| source.parameter(parameter));
    source.parameter(Parameter::NTile);
    let (tile, mean) = (tiling.tile, tiling.program.aggregate == Aggregate::Mean);
    let (distance, bands) = match tiling.banded {
        None => ("(const float *)0".to_owned(), String::new()),
        Some(v) => {
            let [distance, first, spacing, coefficient] = [
                Parameter::Rows(v),
                Parameter::First(v),
                Parameter::Spacing(v),
                Parameter::Coefficient(v),
            ]
            .map(|parameter| source.parameter(parameter));
            let n = tiling.step(v).width;
            let bands =
                format!("    find_bands<{tile}, {n}>(rows, {first}, {spacing}, {coefficient});\n");
            (distance, bands)
        }
    };
    format!(
        "    find_rows<{tile}, {mean}>(rows, tile, {n_edge}, {order}, {from}, {to}, {offset}, \
         {distance});\n{bands}"
    )
}
