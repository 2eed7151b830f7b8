"""Batching strategies for graph neural networks.

    BatchSampler   ids and padded shapes of batches, for any training loop
    Loader         padded batches for NumPy, JAX (jraph), PyTorch and PyTorch Geometric
    load           a data set by name
    from_arrays, from_pyg, from_jraph, from_ase
                   your own graphs
    plan           how strategies would batch a data set: fill, shapes, graphs per step
    check_batcher  whether a batcher written in Python keeps its promises
    compare        which strategy trains fastest, on your own training step
    read           the tables of a study, for pandas, polars, pyarrow and DuckDB
"""

from ._batchlab import Table, __version__
from .batch import Batch
from .comparison import Comparison, compare
from .data import Graphs, from_arrays, from_ase, from_jraph, from_pyg, load
from .loader import Loader
from .python_batcher import Size, check_batcher
from .results import Study, plan, read, strategies
from .sampler import BatchSampler

__all__ = [
    "Batch",
    "BatchSampler",
    "Comparison",
    "Graphs",
    "Loader",
    "Size",
    "Study",
    "Table",
    "__version__",
    "check_batcher",
    "compare",
    "from_arrays",
    "from_ase",
    "from_jraph",
    "from_pyg",
    "load",
    "plan",
    "read",
    "strategies",
]
