"""Graphs: data sets by name, and arrays and objects of other libraries."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from . import _batchlab, _toml
from ._arrays import array, floats, integers

PER = ("graph", "node", "edge")
# Names that batches of some form have already.
RESERVED = {
    "arrays", "batch", "edge_index", "n_edge", "n_graph", "n_node", "origin", "ptr", "real", "shape", "target", "weight",
    "x", "z",
}  # fmt: skip
MOST_CLASSES = 100_000
NUMBERS = {"float32": "f32", "int32": "i32", "int64": "i64", "uint8": "u8"}


class Graphs:
    """Many graphs in memory, for `Loader`, `BatchSampler`, `plan` and `compare`.

    Made by `load`, `from_arrays`, `from_pyg`, `from_jraph` or `from_ase`.
    """

    def __init__(self, store: _batchlab.Store):
        self._store = store
        self.n_node, self.n_edge = (np.frombuffer(sizes, np.int32) for sizes in store.sizes())

    def __len__(self) -> int:
        """Number of graphs."""
        return len(self._store)

    @property
    def fields(self) -> list[str]:
        """Fields that batches can have, besides sizes, edges and targets."""
        return self._store.fields()

    @property
    def target(self) -> np.ndarray | None:
        """Target of each graph in its own unit, float64 [n_graph]; NaN where it is missing."""
        target = self._store.target()
        return None if target is None else np.frombuffer(target, np.float64)

    @property
    def class_names(self) -> list[str]:
        """Name of each class of nodes, for example ``["H", "C", "N", "O", "F"]``."""
        return self._store.class_names()

    @property
    def names(self) -> list[str]:
        """Name of each graph in its source; empty if it has none."""
        return self._store.names()

    @property
    def notes(self) -> dict[str, int]:
        """Counts of the reader, such as graphs that were left out."""
        return dict(self._store.notes())

    def __copy__(self) -> Graphs:
        return self

    def __deepcopy__(self, memo: Any) -> Graphs:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("Graphs cannot be pickled; make them in each process, or start processes by forking")

    def __repr__(self) -> str:
        return f"<Graphs: {len(self):,} graphs, {self.n_node.sum():,} nodes, {self.n_edge.sum(dtype=np.int64):,} edges>"


def load(name: str, /, **options: Any) -> Graphs:
    """A data set by name, as ``batchlab list`` shows them, with its options: ``load("qm9", target="U0_atom")``.

    ``load("qm9")`` and ``load("aflow")`` read samples that come with the package; ``path`` names your own files.
    ``batchlab explain dataset.qm9`` shows the options. Data that take long to read are cached.
    """
    graphs = Graphs(_batchlab.Store.load(_toml.value({"name": name, **options})))
    target = graphs.target
    if "target" in options and target is not None and np.isnan(target).all():
        raise ValueError(f"none of the {len(graphs)} graphs has the target {options['target']!r}")
    return graphs


def from_arrays(
    n_node: Any,
    *,
    n_edge: Any = None,
    sender: Any = None,
    receiver: Any = None,
    node_class: Any = None,
    node_feature: Any = None,
    position: Any = None,
    distance: Any = None,
    displacement: Any = None,
    target: Any = None,
    class_names: Sequence[str] = (),
    fields: Mapping[str, tuple[str, Any]] | None = None,
) -> Graphs:
    """Graphs from concatenated arrays: of NumPy, or of any library that NumPy reads.

    Parameters
    ----------
    n_node
        Nodes of each graph, [n_graph].
    n_edge
        Directed edges of each graph, [n_graph]. Without it, all ordered pairs of distinct nodes are edges.
    sender, receiver
        Nodes at both ends, counted from 0 within their graph, [sum of n_edge], in any order. Without them, edges are
        only counted, which is enough to plan.
    node_class
        For example the element, [sum of n_node], from 0.
    node_feature
        [sum of n_node, width].
    position
        Angstrom, [sum of n_node, 3]; in batches ``pos``. Distances and displacements follow from it unless they are
        given.
    distance, displacement
        [sum of n_edge] and [sum of n_edge, 3], receiver minus sender.
    target
        [n_graph]; NaN where it is missing.
    class_names
        Name of each class; by default its number.
    fields
        Own arrays by name, each with what its rows belong to: ``{"forces": ("node", forces)}``. Types are float32,
        int32, int64 and uint8; other numbers become float32 or int64. NaN is kept.
    """
    sizes = integers("n_node", n_node)
    if sizes.size == 0:
        raise ValueError("n_node: there are no graphs")
    if (sizes == 0).any():
        raise ValueError(f"n_node[{np.flatnonzero(sizes == 0)[0]}] is 0; a graph has at least one node")
    total = int(sizes.sum(dtype=np.int64))
    counts = None if n_edge is None else integers("n_edge", n_edge, (len(sizes),))
    if (sender is None) != (receiver is None):
        raise ValueError("give both sender and receiver, or neither")
    if sender is not None and counts is None:
        raise ValueError("n_edge is missing: it says which graph each edge belongs to")
    if sender is None and (distance is not None or displacement is not None):
        raise ValueError("distance and displacement belong to edges: give sender and receiver, or position instead")
    total_edges = None if counts is None else int(counts.sum(dtype=np.int64))
    ends: list[np.ndarray] = []
    if sender is not None:
        ends = [integers(name, of, (total_edges,)) for name, of in (("sender", sender), ("receiver", receiver))]
    where = None if position is None else floats("position", position, (total, 3))
    vector = None if displacement is None else floats("displacement", displacement, (total_edges, 3))
    length = None if distance is None else floats("distance", distance, (total_edges,))
    if length is not None and (length < 0).any():
        at = np.flatnonzero(length < 0)[0]
        raise ValueError(f"distance[{at}] is {length[at]}")
    if where is not None and counts is not None and ends and vector is None:
        vector = _displacement(where, sizes, counts, *ends)
    if vector is not None and length is None:
        length = np.linalg.norm(vector, axis=1).astype(np.float32)
    classes = None if node_class is None else integers("node_class", node_class, (total,))
    names = list(class_names)
    if classes is not None and not names:
        if classes.max() >= MOST_CLASSES:
            at = np.argmax(classes)
            raise ValueError(f"node_class[{at}] is {classes[at]}; number the classes from 0 without gaps")
        names = [str(i) for i in range(int(classes.max()) + 1)]
    rows = {"graph": len(sizes), "node": total, "edge": total_edges}
    own = [_own(name, per, of, rows) for name, (per, of) in (fields or {}).items()]
    arrays = {
        "n_node": sizes,
        "n_edge": counts,
        "sender": ends[0] if ends else None,
        "receiver": ends[1] if ends else None,
        "distance": _flat(length),
        "displacement": _flat(vector),
        "node_class": classes,
        "class_name": names,
        "node_feature": None if node_feature is None else _flat(floats("node_feature", node_feature, (total, None))),
        "position": _flat(where),
        "target": None if target is None else floats("target", target, (len(sizes),), np.float64, missing=True),
        "own": own,
    }
    return Graphs(_batchlab.Store.of_arrays(arrays))


def _flat(values: np.ndarray | None) -> np.ndarray | None:
    return None if values is None else values.reshape(-1)


def _displacement(
    position: np.ndarray, n_node: np.ndarray, n_edge: np.ndarray, sender: np.ndarray, receiver: np.ndarray
) -> np.ndarray:
    first = np.repeat(np.cumsum(n_node, dtype=np.int64) - n_node, n_edge)
    limit = np.repeat(n_node, n_edge)
    for name, end in (("sender", sender), ("receiver", receiver)):
        if (end >= limit).any():
            at = np.flatnonzero(end >= limit)[0]
            raise ValueError(f"{name}[{at}] is {end[at]}, but its graph has {limit[at]} nodes")
    return position[first + receiver] - position[first + sender]


def _own(name: str, per: str, values: Any, rows: Mapping[str, int | None]) -> tuple[str, str, str, int, np.ndarray]:
    if per not in PER:
        raise ValueError(f"fields[{name!r}] belongs to {per!r}; it must be one of {', '.join(PER)}")
    if rows[per] is None:
        raise ValueError(f"fields[{name!r}] has rows for edges, but n_edge is not given")
    if name in RESERVED or name.startswith("_"):
        raise ValueError(f"fields[{name!r}]: batches have something else of this name; choose another one")
    given = _number(name, array(name, values))
    if given.ndim not in (1, 2) or given.shape[0] != rows[per]:
        raise ValueError(f"fields[{name!r}] has shape {list(given.shape)}; [{rows[per]}] or [{rows[per]}, width] is needed")
    width = 1 if given.ndim == 1 else given.shape[1]
    as_bytes = np.ascontiguousarray(given).reshape(-1).view(np.uint8)
    return name, per, NUMBERS[given.dtype.name], width, as_bytes


def _number(name: str, given: np.ndarray) -> np.ndarray:
    """Numbers of a type that batches can have, in this machine's byte order."""
    given = given.astype(given.dtype.newbyteorder("="), copy=False)
    if given.dtype.name in NUMBERS:
        return given
    if given.dtype.kind not in "fiub":
        raise TypeError(f"fields[{name!r}] has elements of type {given.dtype}; numbers are needed")
    with np.errstate(over="ignore"):
        fitting = given.astype(np.float32 if given.dtype.kind == "f" else np.int64)
    is_beyond = np.isinf(fitting) & ~np.isinf(given) if given.dtype.kind == "f" else np.less(fitting, 0) != np.less(given, 0)
    if is_beyond.any():
        at = tuple(np.argwhere(is_beyond)[0])
        raise ValueError(f"fields[{name!r}]{[int(i) for i in at]} is {given[at]}, too large for {fitting.dtype}")
    return fitting


def from_pyg(data: Iterable[Any]) -> Graphs:
    """Graphs of PyTorch Geometric: any iterable of ``Data`` with the same attributes.

    ``z`` becomes `node_class`, ``x`` `node_feature`, ``pos`` `position` (in batches ``pos`` again), and ``y`` `target` if
    it is one number per graph. Every other tensor with one row per node, edge or graph becomes a field of that name.
    """
    if hasattr(data, "num_nodes") and not isinstance(data, (list, tuple)):
        raise TypeError("data is one object; give a list of Data, for example batch.to_data_list()")
    parts = list(data)
    if not parts:
        raise ValueError("there are no graphs")
    n_node = [_pyg_n_node(i, of) for i, of in enumerate(parts)]
    keys = [key for key in parts[0].keys() if key not in ("batch", "ptr")]
    for i, of in enumerate(parts):
        for key in {*keys, *of.keys()} - {"batch", "ptr"}:
            if (key in keys) != (key in of.keys()):
                with_, without = (0, i) if key in keys else (i, 0)
                raise ValueError(f"data[{without}] has no {key!r}, which data[{with_}] has")
    n_edge = [int(of.edge_index.shape[1]) for of in parts] if "edge_index" in keys else None
    arrays: dict[str, Any] = {}
    fields: dict[str, tuple[str, Any]] = {}
    if n_edge is not None:
        index = np.concatenate([array("edge_index", of.edge_index) for of in parts], axis=1)
        arrays.update(n_edge=n_edge, sender=index[0], receiver=index[1])
    known = {"z": "node_class", "x": "node_feature", "pos": "position"}
    rows = {"node": n_node, "edge": n_edge or [], "graph": [1] * len(parts)}
    for key in keys:
        if key in ("edge_index", "num_nodes"):
            continue
        values = [np.atleast_1d(array(f"data[{i}].{key}", of[key])) for i, of in enumerate(parts)]
        lengths = [len(of) for of in values]
        fits = [per for per, expected in rows.items() if lengths == expected]
        if key in known and "node" in fits:
            joined = np.concatenate(values)
            # A class may be a column, and features a vector.
            shape = {"z": (-1,), "x": (len(joined), -1), "pos": joined.shape}[key]
            arrays[known[key]] = joined.reshape(shape)
        elif key == "y" and all(of.size == 1 for of in values) and "graph" in fits:
            arrays["target"] = [of.item() for of in values]
        elif not fits:
            raise ValueError(
                f"data[0].{key} has {lengths[0]} rows, but its graph has {n_node[0]} nodes and "
                f"{n_edge[0] if n_edge else 'no'} edges; remove it, or give one row per node, edge or graph"
            )
        else:
            per = "edge" if "edge" in fits and "edge" in key else fits[0]
            fields[key] = (per, np.concatenate([of.reshape(len(of), -1) if of.ndim > 2 else of for of in values]))
    return from_arrays(n_node, **arrays, fields=fields)


def _pyg_n_node(i: int, of: Any) -> int:
    for key in ("z", "pos", "x"):
        if getattr(of, key, None) is not None:
            return len(getattr(of, key))
    if getattr(of, "num_nodes", None) is None:
        raise ValueError(f"data[{i}] does not say how many nodes it has; set num_nodes")
    return int(of.num_nodes)


def from_jraph(graphs: Iterable[Any]) -> Graphs:
    """Graphs of jraph: ``GraphsTuple`` with one graph each.

    ``nodes``, ``edges`` and ``globals`` are dictionaries of arrays, or one array each, which becomes the field
    ``nodes``, ``edges`` or ``globals``. The names of `from_arrays` (``node_class``, ``node_feature``, ``pos``,
    ``distance``, ``displacement``, ``target``) are what they are there; ``weight`` and ``origin`` are left out.
    """
    parts = list(graphs)
    if not parts:
        raise ValueError("there are no graphs")
    for i, of in enumerate(parts):
        if len(of.n_node) != 1:
            raise ValueError(f"graphs[{i}] holds {len(of.n_node)} graphs; unbatch it first")
    known = {"pos": "position"} | {of: of for of in ("node_class", "node_feature", "distance", "displacement", "target")}
    arrays: dict[str, Any] = {}
    fields: dict[str, tuple[str, Any]] = {}
    for per, key in (("node", "nodes"), ("edge", "edges"), ("graph", "globals")):
        first = getattr(parts[0], key)
        names = first if isinstance(first, Mapping) else [key] if first is not None else []
        for name in names:
            if name in ("weight", "origin"):
                continue
            of_part = lambda of: getattr(of, key)[name] if isinstance(first, Mapping) else getattr(of, key)
            joined = np.concatenate([np.atleast_1d(array(name, of_part(of))) for of in parts])
            if name in fields or known.get(name) in arrays:
                raise ValueError(f"nodes, edges and globals have two arrays of the name {name!r}; rename one")
            if name in known:
                arrays[known[name]] = joined
            else:
                fields[name] = (per, joined)
    return from_arrays(
        [int(of.n_node[0]) for of in parts],
        n_edge=[int(of.n_edge[0]) for of in parts],
        sender=np.concatenate([array("senders", of.senders) for of in parts]),
        receiver=np.concatenate([array("receivers", of.receivers) for of in parts]),
        **arrays,
        fields=fields,
    )


def from_ase(atoms: Iterable[Any], **options: Any) -> Graphs:
    """Structures of ASE: a sequence of ``ase.Atoms``, periodic or not.

    ``options`` are those of the data set ``structures``: how edges are built (``edges={"radius": 5.0}``), ``target``
    (a key of ``info``, or ``"energy"``) and ``fields``; ``batchlab explain dataset.structures`` shows them.
    """
    try:
        from ase.io import write
    except ImportError as error:
        raise ImportError("from_ase needs ASE: pip install ase") from error
    if hasattr(atoms, "get_chemical_symbols"):
        raise TypeError("atoms is one structure; give a list of ase.Atoms")
    structures = list(atoms)
    if not structures:
        raise ValueError("there are no structures")
    with tempfile.TemporaryDirectory(prefix="batchlab-") as folder:
        path = os.path.join(folder, "structures.extxyz")
        write(path, structures, format="extxyz")
        return load("structures", path=path, **{"target": "none", **options})


def sizes_of(sizes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and edges of each graph, uint32."""
    if isinstance(sizes, Graphs):
        return sizes.n_node.view(np.uint32), sizes.n_edge.view(np.uint32)
    if isinstance(sizes, tuple) and len(sizes) == 2 and not hasattr(sizes[0], "num_nodes"):
        n_node = integers("n_node", sizes[0])
        n_edge = integers("n_edge", sizes[1], n_node.shape)
    else:
        pairs = [_size(i, of) for i, of in enumerate(sizes)]
        n_node, n_edge = (np.array(column, np.uint32) for column in zip(*pairs)) if pairs else (np.empty(0, np.uint32),) * 2
    if n_node.size == 0:
        raise ValueError("there are no graphs")
    if (n_node == 0).any():
        raise ValueError(f"n_node[{np.flatnonzero(n_node == 0)[0]}] is 0; a graph has at least one node")
    return n_node, n_edge


def _size(i: int, of: Any) -> tuple[int, int]:
    if hasattr(of, "num_nodes"):
        n_node = _pyg_n_node(i, of)
        return n_node, int(of.num_edges) if getattr(of, "edge_index", None) is not None else n_node * (n_node - 1)
    if hasattr(of, "senders"):
        return int(np.sum(of.n_node)), int(np.sum(of.n_edge))
    if hasattr(of, "get_chemical_symbols"):
        return len(of), len(of) * (len(of) - 1)
    raise TypeError(
        f"sizes[{i}] is {type(of).__name__}; give a pair of arrays (n_node, n_edge), or objects of PyTorch Geometric, "
        "jraph or ASE"
    )
