"""One padded batch."""

from typing import Any

import numpy as np

from . import _batchlab
from .batchlab_worker import DTYPES, Batch as WorkerBatch

Layout = dict[str, tuple[int, np.dtype, int, bool]]
# Fields of nodes of one graph, which a batch of graphs does not have.
_OF_ONE_GRAPH = ("feature_offset", "feature_column", "feature_value", "edge_weight")


class Batch(WorkerBatch):
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
    output_target       [n_graph]            target of each graph in its own unit
    output_weight       [n_graph]            1; 0 for padding
    node_class          [n_node]             class, for example element
    node_feature        [n_node, width]
    distance            [n_edge]             angstrom; 0 for padding
    displacement        [n_edge, 3]          receiver minus sender, periodic image included
    your own fields     [n, width] or [n]    0 for padding
    ==================  ===================  ==========================================================================
    """

    def __init__(self, arena: _batchlab.Arena, layout: Layout):
        shape, real, weight_sum = arena.sizes()
        request = {"level": "graphs", "shape": shape, "real": real, "weight_sum": weight_sum, "lengths": arena.lengths()}
        super().__init__(arena, layout, request)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.n_node, self.n_edge, self.n_graph

    def arrays(self) -> dict[str, np.ndarray]:
        """Every field that this batch has."""
        return {name: getattr(self, name) for name in self._layout if self._has(name)}

    def _has(self, name: str) -> bool:
        index, _, _, is_own = self._layout[name]
        return name not in _OF_ONE_GRAPH and (is_own or self._lengths[index] > 0)

    def __repr__(self) -> str:
        real = self.real
        return (
            f"<Batch: {real.n_graph} graphs, {real.n_node} nodes, {real.n_edge} edges; "
            f"padded to {self.n_graph}, {self.n_node}, {self.n_edge}>"
        )


def layout(arena: _batchlab.Arena, own: set[str]) -> Layout:
    """Index, element type and width of each field, 0 for one dimension, and whether it is one of `own`."""
    matrices = ("node_feature", "displacement")
    return {
        name: (i, np.dtype(DTYPES[number]), width if width > 1 or name in matrices else 0, name in own)
        for i, (name, number, _, width) in enumerate(arena.layout())
    }
