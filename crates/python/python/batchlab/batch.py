"""One padded batch."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from . import _batchlab

# Index, element type, and values per row (0 for one dimension) of each field that a batch has.
Layout = dict[str, tuple[int, np.dtype, int]]

_DTYPES = {"f32": np.float32, "i32": np.int32, "i64": np.int64, "u8": np.uint8}
_ALWAYS = (
    "n_node_of", "n_edge_of", "graph_offset", "origin", "output_weight", "graph_of", "sender",
    "receiver", "receiver_offset",
)  # fmt: skip


class Sizes(NamedTuple):
    """Nodes, edges and graphs of a batch."""

    n_node: int
    n_edge: int
    n_graph: int


class Batch:
    """One padded batch: NumPy arrays by name, read-only views of memory that is shared with Rust.

    Shapes include padding; real members come first. Integers are `int32`. `n_node`, `n_edge`, `n_graph` are the padded
    sizes, `real.n_node` etc. the others, `shape` the three padded ones, under which XLA compiles.

    ==================  ===================  ==========================================================================
    field               shape                meaning
    ==================  ===================  ==========================================================================
    sender, receiver    [n_edge]             nodes of the batch; sorted by receiver; padding edges are self-loops of the
                                             first padding node
    receiver_offset     [n_node + 1]         first incoming edge of each node
    graph_of            [n_node]             graph of each node
    n_node_of,          [n_graph]            size of each graph
    n_edge_of
    graph_offset        [n_graph + 1]        first node of each graph
    origin              [n_graph]            index in the data; -1 for padding
    output_target       [n_graph]            target of each graph in its own unit, as float32, if there is one
    output_weight       [n_graph]            1; 0 for padding and where the target is missing
    node_class          [n_node]             class, for example element
    node_feature        [n_node, width]
    distance            [n_edge]             angstrom; 0 for padding
    displacement        [n_edge, 3]          receiver minus sender, periodic image included
    pos                 [n_node, 3]          position in angstrom
    your own fields     [n, width] or [n]    0 for padding
    ==================  ===================  ==========================================================================
    """

    n_node: int
    n_edge: int
    n_graph: int
    shape: Sizes
    real: Sizes

    def __init__(self, arena: _batchlab.Arena, layout: Layout):
        self._arena, self._layout = arena, layout
        self._spans = arena.spans()
        shape, real = arena.sizes()
        self.n_node, self.n_edge, self.n_graph = shape
        self.shape, self.real = Sizes(*shape), Sizes(*real)

    def __getattr__(self, name: str) -> np.ndarray:
        field = self.__dict__.get("_layout", {}).get(name)
        if field is None:
            known = ", ".join(self.__dict__.get("_layout", {}))
            raise AttributeError(f"this batch has no {name!r}; it has {known}; the loader's `fields` may leave fields out")
        index, dtype, width = field
        start, count = self._spans[2 * index : 2 * index + 2]
        array: np.ndarray = np.frombuffer(self._arena, dtype, count, start)  # type: ignore[call-overload]
        if width:
            array = array.reshape(-1, width)
        self.__dict__[name] = array
        return array

    def arrays(self) -> dict[str, np.ndarray]:
        """Every field that this batch has."""
        return {name: getattr(self, name) for name in self._layout}

    def __repr__(self) -> str:
        real, padded = self.real, self.shape
        return (
            f"<Batch: {real.n_graph} graphs, {real.n_node} nodes, {real.n_edge} edges; "
            f"padded to {padded.n_graph}, {padded.n_node}, {padded.n_edge}>"
        )


def layout(arena: _batchlab.Arena, fields: Iterable[str]) -> Layout:
    """Where the fields are that every batch has, and those that were asked for."""
    wanted = {*_ALWAYS, *fields}
    if "sender_order" in wanted:
        wanted.add("sender_offset")
    matrices = ("node_feature", "displacement")
    return {
        name: (i, np.dtype(_DTYPES[number]), width if width > 1 or name in matrices else 0)
        for i, (name, number, width) in enumerate(arena.layout())
        if name in wanted
    }
