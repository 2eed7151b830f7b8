"""Batches have the right content, in every form, and their memory lives as long as they do."""

import gc
import os
import resource
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import batchlab
from batchlab import Loader, from_arrays

N_NODE = [3, 1, 2, 4]
N_EDGE = [2, 0, 1, 3]
SENDER = [0, 2, 1, 3, 0, 2]
RECEIVER = [2, 0, 0, 1, 1, 0]


def graphs(**more):
    position = np.random.default_rng(0).normal(size=(10, 3))
    fields = {
        "forces": ("node", np.arange(30.0).reshape(10, 3)),
        "kind": ("edge", np.array([10, 11, 12, 13, 14, 15], np.uint8)),
        "charge": ("graph", np.array([0.5, 1.5, 2.5, 3.5])),
    }
    return from_arrays(
        N_NODE,
        n_edge=N_EDGE,
        sender=SENDER,
        receiver=RECEIVER,
        position=position,
        node_class=[0, 1, 2, 0, 1, 1, 2, 2, 2, 0],
        target=[1.0, 2.0, 3.0, 4.0],
        fields=fields,
        **more,
    )


def test_a_batch_is_what_numpy_makes_of_it():
    data = graphs()
    position = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    (batch,) = Loader(data, "static-64", 5, shuffle=False)
    assert batch.shape == (64, 64, 5) and batch.real.n_node == 10
    first = np.repeat(np.cumsum([0, 3, 1, 2])[: len(N_NODE)], N_EDGE)
    sender, receiver = np.array(SENDER) + first, np.array(RECEIVER) + first
    order = np.argsort(receiver, kind="stable")
    np.testing.assert_array_equal(batch.sender[:6], sender[order])
    np.testing.assert_array_equal(batch.receiver[:6], receiver[order])
    np.testing.assert_array_equal(batch.kind[:6], np.array([10, 11, 12, 13, 14, 15])[order])
    np.testing.assert_allclose(batch.displacement[:6], (position[receiver] - position[sender])[order], rtol=1e-6)
    np.testing.assert_allclose(batch.distance[:6], np.linalg.norm(batch.displacement[:6], axis=1), rtol=1e-6)
    np.testing.assert_array_equal(batch.forces[:10], np.arange(30).reshape(10, 3))
    np.testing.assert_allclose(batch.charge, [0.5, 1.5, 2.5, 3.5, 0.0])
    np.testing.assert_allclose(batch.output_target[:4], [1, 2, 3, 4])
    np.testing.assert_array_equal(batch.output_weight, [1, 1, 1, 1, 0])
    np.testing.assert_array_equal(batch.graph_of[:10], np.repeat(range(4), N_NODE))
    # Padding: self-loops of the first padding node, in the first padding graph.
    assert (batch.sender[6:] == 10).all() and (batch.receiver[6:] == 10).all()
    assert (batch.graph_of[10:] == 4).all() and (batch.forces[10:] == 0).all()
    assert "10 nodes, 6 edges" in repr(batch)


def test_arrays_are_read_only_and_live_as_long_as_they_are_held():
    data = batchlab.load("qm9")
    loader = Loader(data, "static-64", 16, seed=1)
    held = [(batch.distance, batch.distance.copy(), batch.origin, batch.origin.copy()) for batch in loader]
    assert len(held) > 50
    for distance, distance_then, origin, origin_then in held:
        np.testing.assert_array_equal(distance, distance_then)
        np.testing.assert_array_equal(origin, origin_then)
    with pytest.raises(ValueError, match="read-only"):
        held[0][0][0] = 1.0


def test_the_batches_are_those_of_the_sampler_and_go_on_exactly():
    data = batchlab.load("qm9")
    make = lambda: Loader(data, "dynamic", 16, seed=2, fields=["node_class"])
    origin = lambda batch: batch.origin[: batch.real.n_graph].tolist()
    loader, sampler = make(), batchlab.BatchSampler(data, "dynamic", 16, seed=2)
    expected = [list(sampler) for _ in range(2)]
    assert len(loader) == len(expected[0])
    for epoch in expected:
        assert [origin(batch) for batch in loader] == epoch
    begun = make()
    iterator = iter(begun)
    for _ in range(7):
        next(iterator)
    resumed = make()
    resumed.load_state_dict(begun.state_dict())
    assert [origin(batch) for batch in resumed] == expected[0][7:]


def test_only_the_fields_that_are_asked_for():
    (batch,) = Loader(graphs(), "static-64", 5, shuffle=False, fields=["kind"])
    assert "kind" in batch.arrays() and "forces" not in batch.arrays()
    with pytest.raises(AttributeError):
        batch.distance
    with pytest.raises(ValueError, match="no field 'mass'"):
        list(Loader(graphs(), fields=["mass"]))


def test_jraph():
    jraph = pytest.importorskip("jraph")
    (batch,) = Loader(graphs(), "static-64", 5, shuffle=False, as_="jraph")
    (plain,) = Loader(graphs(), "exact", 5, shuffle=False, as_="jraph")
    padded = jraph.pad_with_graphs(plain, 64, 64, 5)
    for name in ("senders", "receivers", "n_node", "n_edge"):
        np.testing.assert_array_equal(getattr(batch, name), getattr(padded, name), name)
    np.testing.assert_array_equal(batch.nodes["forces"], padded.nodes["forces"])
    np.testing.assert_array_equal(jraph.get_graph_padding_mask(batch), batch.globals["weight"] > 0)


def test_torch_and_pyg():
    pytest.importorskip("torch_geometric")
    (batch,) = Loader(graphs(), "static-64", 5, shuffle=False, as_="pyg")
    assert batch.num_graphs == 5 and batch.num_nodes == 64 and batch.edge_index.shape == (2, 64)
    assert batch.z.dtype == batch.edge_index.dtype and str(batch.z.dtype) == "torch.int64"
    assert batch.weight.tolist() == [1, 1, 1, 1, 0] and batch.forces.shape == (64, 3)
    (tensors,) = Loader(graphs(), "static-64", 5, shuffle=False, as_="torch")
    tensors["forces"] += 1.0


def test_graphs_of_pyg_come_back():
    torch = pytest.importorskip("torch")
    data_of = pytest.importorskip("torch_geometric.data").Data
    make = lambda n: data_of(
        z=torch.arange(n),
        pos=torch.randn(n, 3),
        edge_index=torch.tensor([[0, 1], [1, 0]]),
        y=torch.tensor([float(n)]),
        forces=torch.ones(n, 3),
    )
    parts = [make(n) for n in (2, 3, 5)]
    data = batchlab.from_pyg(parts)
    assert data.target.tolist() == [2, 3, 5] and "forces" in data.fields
    (batch,) = Loader(data, "exact", 4, shuffle=False, as_="pyg")
    assert batch.z[:10].tolist() == [0, 1, 0, 1, 2, 0, 1, 2, 3, 4]
    distance = torch.linalg.norm(parts[1].pos[1] - parts[1].pos[0])
    assert torch.isclose(batch.distance[2], distance)
    sampler = batchlab.BatchSampler(parts, "exact", 4, shuffle=False)
    assert list(sampler) == [[0, 1, 2]]


def test_graphs_of_jraph_come_back():
    jraph = pytest.importorskip("jraph")
    one = jraph.GraphsTuple(
        nodes={"h": np.ones((2, 4), np.float32)},
        edges=None,
        globals=np.array([[3.0]], np.float32),
        senders=np.array([0]),
        receivers=np.array([1]),
        n_node=np.array([2]),
        n_edge=np.array([1]),
    )
    (batch,) = Loader(batchlab.from_jraph([one, one]), "exact", 3, shuffle=False)
    assert batch.h[:4].tolist() == np.ones((4, 4)).tolist() and batch.globals[:2].ravel().tolist() == [3, 3]


def test_structures_of_ase_come_back():
    build = pytest.importorskip("ase.build")
    atoms = [build.bulk("Cu"), build.molecule("H2O"), build.molecule("CH4")]
    data = batchlab.from_ase(atoms[1:], edges={"radius": 3.0})
    assert data.n_node.tolist() == [3, 5] and data.n_edge.tolist() == [6, 20]
    assert set(data.class_names) == {"H", "C", "O"}


@pytest.mark.parametrize(
    "change, error, words",
    [
        (dict(sender=[0, 5, 1, 3, 0, 2]), ValueError, r"sender\[1\] is 5, but its graph has 3 nodes"),
        (dict(sender=[0, -2, 1, 3, 0, 2]), ValueError, r"sender\[1\] is -2"),
        (dict(sender=[0, 2, 1]), ValueError, r"sender: has shape \[3\]; \[6\] is needed"),
        (dict(n_edge=[2, 0, 1]), ValueError, r"n_edge: has shape \[3\]; \[4\]"),
        (dict(n_edge=None), ValueError, "n_edge is missing"),
        (dict(position=np.zeros((9, 3))), ValueError, r"position: has shape \[9, 3\]; \[10, 3\]"),
        (dict(position=np.full((10, 3), np.nan)), ValueError, r"position\[0, 0\] is nan"),
        (dict(position=[["a"] * 3] * 10), TypeError, "position"),
        (dict(target=[1, 2, 3, np.inf]), ValueError, r"target\[3\] is inf"),
        (dict(node_class=[0.5] * 10), TypeError, "node_class"),
        (dict(node_class=[7] * 10, class_names=["H"]), ValueError, "node class 7 has no name"),
        (dict(fields={"a": ("node", np.zeros(9))}), ValueError, r"fields\['a'\] has shape \[9\]"),
        (dict(fields={"a": ("atom", np.zeros(10))}), ValueError, "'atom'"),
        (dict(fields={"sender": ("node", np.zeros(10))}), ValueError, "sender"),
        (dict(fields={"a": ("node", np.zeros((10, 2, 2)))}), ValueError, r"\[10, 2, 2\]"),
    ],
)
def test_bad_arrays_are_named(change, error, words):
    arrays = dict(n_node=N_NODE, n_edge=N_EDGE, sender=SENDER, receiver=RECEIVER, position=np.zeros((10, 3))) | change
    with pytest.raises(error, match=words):
        from_arrays(**arrays)


def test_arrays_of_any_layout_are_read():
    position = np.random.default_rng(0).normal(size=(10, 3))
    own = dict(n_edge=N_EDGE, sender=SENDER, receiver=RECEIVER)
    strided = np.zeros((20, 6))
    strided[::2, ::2] = position
    frozen = position.copy()
    frozen.flags.writeable = False
    expected = graphs_of(from_arrays(N_NODE, position=position, **own))
    for of in (np.asfortranarray(position), strided[::2, ::2], frozen, position.astype(">f8"), position.tolist()):
        assert graphs_of(from_arrays(np.array(N_NODE, ">i2"), position=of, **own)) == expected
    torch = pytest.importorskip("torch")
    assert graphs_of(from_arrays(N_NODE, position=torch.tensor(position, requires_grad=True), **own)) == expected
    with pytest.raises(TypeError, match="position: cannot be read as a NumPy array"):
        from_arrays(N_NODE, position=torch.empty((10, 3), device="meta"), **own)


def graphs_of(data):
    (batch,) = Loader(data, "exact", 5, shuffle=False)
    return batch.pos.tolist(), batch.displacement.tolist()


def test_data_of_other_kinds_are_refused():
    with pytest.raises(TypeError, match="from_pyg"):
        Loader([1, 2, 3])
    with pytest.raises(ValueError, match="qm9"):
        batchlab.load("qm8")
    with pytest.raises(ValueError, match="nowhere"):
        batchlab.load("structures", path="nowhere.extxyz")
    with pytest.raises(ValueError, match="one graph"):
        batchlab.load("planted-graph", n_node=1000, n_edge=5000)
    with pytest.raises(ValueError, match="numpy"):
        Loader(graphs(), as_="tensorflow")


def test_a_loop_that_raises_ends_its_thread():
    data = batchlab.load("qm9")
    before = threading.active_count()
    for _ in range(20):
        with pytest.raises(KeyError):
            for _ in Loader(data, "dynamic", 16):
                raise KeyError
    gc.collect()
    assert threading.active_count() == before
    n_thread = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0
    assert n_thread < 100


def test_ctrl_c_ends_a_loop():
    # A shell ignores the signal for what it starts in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    data = batchlab.load("qm9")
    with pytest.raises(KeyboardInterrupt):
        for number, _ in enumerate(Loader(data, "dynamic", 16)):
            if number == 3:
                signal.raise_signal(signal.SIGINT)


FORK = """
import os
import batchlab
iterator = iter(batchlab.Loader(batchlab.load("qm9"), "dynamic", 16))
next(iterator)
if os.fork() == 0:
    try:
        next(iterator)
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""


def test_a_fork_in_the_middle_is_an_error_and_not_a_hang():
    # In a process of its own: other tests have started threads of JAX.
    run = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60)
    assert "another process" in run.stdout, run.stderr


def test_ten_thousand_loaders_do_not_leak():
    data = graphs()

    def use(n):
        for _ in range(n):
            for batch in Loader(data, "static-64", 5, shuffle=False):
                batch.distance
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = use(500)
    assert use(10_000) - before < 20_000  # KiB


@pytest.mark.parametrize("prefetch", [0, 1, 8])
def test_prefetching_changes_nothing(prefetch):
    data = batchlab.load("qm9")
    origin = [batch.origin.tolist() for batch in Loader(data, "dynamic", 32, fields=[], prefetch=prefetch)]
    assert origin == [batch.origin.tolist() for batch in Loader(data, "dynamic", 32, fields=[])]


def test_a_loader_that_is_left_begins_again():
    loader = Loader(batchlab.load("qm9"), "dynamic", 32, shuffle=False, fields=[])
    next(iter(loader))
    assert sum(batch.real.n_graph for batch in loader) == 2000


def test_missing_targets_have_no_weight_and_no_targets_are_none():
    data = from_arrays([2, 2, 2], target=[np.nan, 1.0, 2.0])
    (batch,) = Loader(data, "static-64", 4, shuffle=False)
    assert batch.output_weight.tolist() == [0, 1, 1, 0] and batch.output_target.tolist() == [0, 1, 2, 0]
    (batch,) = Loader(from_arrays([2, 2]), "static-64", 4, shuffle=False)
    with pytest.raises(AttributeError, match="output_target"):
        batch.output_target


@pytest.mark.parametrize(
    "values, expected",
    [
        (np.array([1.0, 2.0], ">f4"), [1, 2]),
        (np.array([1, 2], ">i8"), [1, 2]),
        (np.array([True, False]), [1, 0]),
        (np.array([1.5, 2.5]), [1.5, 2.5]),
        (np.array([2**63 + 5] * 2, np.uint64), None),
        (np.array([1e300] * 2), None),
    ],
)
def test_numbers_of_other_types_keep_their_values(values, expected):
    make = lambda: from_arrays([2], fields={"q": ("node", values)})
    if expected is None:
        with pytest.raises(ValueError, match=r"fields\['q'\]\[0\]"):
            make()
    else:
        (batch,) = Loader(make(), "exact", 4)
        assert batch.q.tolist() == expected


def test_positions_are_in_batches():
    data = batchlab.load("qm9")
    (batch, *_) = Loader(data, "static-64", 16, fields=["pos", "distance"])
    difference = batch.pos[batch.receiver] - batch.pos[batch.sender]
    np.testing.assert_allclose(np.linalg.norm(difference, axis=1), batch.distance, rtol=1e-5)


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(fields={"target": ("graph", [1.0])}), "something else of this name"),
        (dict(node_class=[2**31 - 1] * 2), r"node_class\[0\] is 2147483647"),
        (dict(distance=[1.0]), "give sender and receiver"),
    ],
)
def test_what_cannot_be_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        from_arrays([2], **change)
    with pytest.raises(ValueError, match="prefetch is"):
        Loader(graphs(), prefetch=2**40)


def test_attributes_of_pyg_are_not_lost():
    torch = pytest.importorskip("torch")
    data_of = pytest.importorskip("torch_geometric.data").Data
    make = lambda n: data_of(z=torch.arange(n), y=torch.full((1, 19), float(n)), u=torch.ones(1, 4))
    data = batchlab.from_pyg(make(n) for n in (1, 3, 2))
    (batch,) = Loader(data, "exact", 4, shuffle=False, as_="pyg")
    assert batch.y.shape == (3, 19) and batch.y[:, 0].tolist() == [1, 3, 2] and batch.u.shape == (3, 4)
    one = batchlab.from_pyg([data_of(z=torch.tensor([[6]]), x=torch.ones(1), pos=torch.ones(1, 3))])
    assert one.n_node.tolist() == [1] and {"node_class", "node_feature", "pos"} <= set(one.fields)
    with pytest.raises(ValueError, match=r"data\[1\] has no 'u', which data\[0\] has"):
        batchlab.from_pyg([make(2), data_of(z=torch.arange(2), y=torch.ones(1, 19))])
    with pytest.raises(ValueError, match=r"data\[0\].odd has 7 rows"):
        batchlab.from_pyg([data_of(z=torch.arange(2), odd=torch.ones(7))])
    with pytest.raises(TypeError, match="give a list of Data"):
        batchlab.from_pyg(make(2))


def test_jraph_comes_back_from_a_loader():
    jax, jraph = pytest.importorskip("jax"), pytest.importorskip("jraph")
    data = graphs()
    (batch,) = Loader(data, "exact", 5, shuffle=False, as_="jraph", fields=["node_class", "distance", "forces"])
    parts = jraph.unbatch_np(jax.tree.map(np.array, batch))
    again = batchlab.from_jraph([of._replace(globals={"target": of.globals["target"]}) for of in parts])
    assert again.target.tolist() == [1, 2, 3, 4] and again.n_edge.tolist() == data.n_edge.tolist()
