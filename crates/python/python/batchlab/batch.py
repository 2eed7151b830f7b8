"""One padded batch."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from . import _batchlab

Views = dict[str, np.ndarray]


class Layout(NamedTuple):
    """Where the fields of a batch are in its memory."""

    dtypes: list[np.dtype]
    # Name, place among all fields, and place of its type.
    fields: list[tuple[str, int, int]]
    # Values per row of fields with two dimensions.
    width: dict[str, int]


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

    def __init__(self, arena: _batchlab.Arena, views: Views):
        shape, real = arena.sizes()
        self.n_node, self.n_edge, self.n_graph = shape
        self.shape, self.real = Sizes(*shape), Sizes(*real)
        self._views = views

    def __getattr__(self, name: str) -> np.ndarray:
        views: Views = self.__dict__.get("_views", {})
        if name not in views:
            known = ", ".join(views)
            raise AttributeError(f"this batch has no {name!r}; it has {known}; the loader's `fields` may leave fields out")
        return views[name]

    def arrays(self) -> dict[str, np.ndarray]:
        """Every field that this batch has."""
        return dict(self._views)

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
    of_arena = [(name, at, np.dtype(_DTYPES[number]), width) for at, (name, number, width) in enumerate(arena.layout())]
    found = [of for of in of_arena if of[0] in wanted]
    dtypes = list({dtype for _, _, dtype, _ in found})
    matrices = ("node_feature", "displacement")
    return Layout(
        dtypes,
        [(name, at, dtypes.index(dtype)) for name, at, dtype, _ in found],
        {name: width for name, _, _, width in found if width > 1 or name in matrices},
    )


def views(arena: _batchlab.Arena, layout: Layout) -> Views:
    """The fields of a batch. They are slices of one array per type, which NumPy makes faster than arrays of their own."""
    spans = arena.spans()
    whole = [np.frombuffer(arena, dtype) for dtype in layout.dtypes]  # type: ignore[call-overload]
    found: Views = {name: whole[dtype][spans[2 * at] : spans[2 * at + 1]] for name, at, dtype in layout.fields}
    for name, width in layout.width.items():
        found[name] = found[name].reshape(-1, width)
    return found
