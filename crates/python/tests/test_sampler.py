"""Batches are those of Rust, every graph comes once, and a sampler goes on exactly."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

import batchlab
from batchlab import BatchSampler

SIZES = (np.arange(200) % 23 + 3, (np.arange(200) % 23 + 3) * 6)
STRATEGIES = ["dynamic", "static-64", "static-2^N", "static-constant", "exact", "packed-balanced", "quantile", "bucketed-64"]


@pytest.mark.parametrize("batcher", STRATEGIES)
def test_every_epoch_yields_every_graph_once_and_fits_its_shape(batcher):
    sampler = BatchSampler(SIZES, batcher, batch_size=16, seed=3)
    seen = []
    for epoch in range(3):
        shapes, real = sampler.shapes(), sampler.real_shapes()
        assert len(sampler) == len(shapes)
        batches = list(sampler)
        assert len(batches) == len(shapes)
        assert sorted(sum(batches, [])) == list(range(200))
        for ids, padded, own in zip(batches, shapes, real):
            assert own.tolist() == [SIZES[0][ids].sum(), SIZES[1][ids].sum(), len(ids)]
            assert (padded >= own).all()
        seen.append(batches)
        assert sampler.epoch == epoch + 1
    assert seen[0] != seen[1] != seen[2]


@pytest.mark.parametrize("batcher", STRATEGIES)
@pytest.mark.parametrize("boundary", ["emit-partial", "carry-over"])
def test_a_state_in_the_middle_of_an_epoch_goes_on_exactly(batcher, boundary):
    make = lambda: BatchSampler(SIZES, batcher, batch_size=16, seed=3, epoch_boundary=boundary)
    whole = make()
    epochs = [list(whole) for _ in range(4)]

    first = make()
    list(first)
    iterator = iter(first)
    begun = [next(iterator) for _ in range(5)]
    state = pickle.loads(pickle.dumps(first.state_dict()))
    assert begun == epochs[1][:5]

    resumed = make()
    resumed.load_state_dict(state)
    assert resumed.epoch == 1
    assert list(resumed) == epochs[1][5:]
    assert list(resumed) == epochs[2]

    # A loader with workers has asked for more batches than were trained.
    ahead = make()
    ahead.load_state_dict(first.state_dict(batch=2))
    assert list(ahead) == epochs[1][2:]

    # An epoch can be chosen, forwards and backwards.
    chosen = make()
    for epoch in (3, 1, 2, 0):
        chosen.set_epoch(epoch)
        assert list(chosen) == epochs[epoch]


# Trains nothing and writes down what it gets.
ENGINE = """
import json
import numpy as np

def open(context):
    return Engine()

class Engine:
    name, version, n_parameter = "ids", "1", 0

    def step(self, batch, learning_rate):
        with __builtins__["open"]("batches.jsonl", "a") as file:
            shape = [batch.n_node, batch.n_edge, batch.n_graph]
            print(json.dumps([batch.origin[: batch.real.n_graph].tolist(), shape]), file=file)
        return 0.0

    def predict(self, batch):
        return np.zeros((batch.n_output, 1), np.float32)

    def state(self):
        return b""

    def restore(self, data):
        pass
"""


@pytest.mark.parametrize("batcher", ["dynamic", "static-64"])
def test_batches_are_those_of_a_run(tmp_path, batcher):
    """Graphs and padded shapes of every step of a run, over several epochs."""
    (tmp_path / "ids.py").write_text(ENGINE)
    words = f"run --dataset qm9 batcher={batcher} batcher.batch_size=16 training.steps=300 training.seeds.order=7 "
    words += "split.validation=0 split.test=0 evaluation.subsets=[] study=whole --quiet"
    model = f"model={{ name = 'python', file = 'ids.py', python = '{sys.executable}' }}"
    command = [sys.executable, "-m", "batchlab", *words.split(), model]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    recorded = [json.loads(line) for line in (tmp_path / "batches.jsonl").read_text().splitlines()]
    assert len(recorded) == 300

    data = batchlab.load("qm9")
    order = batchlab._batchlab.permutation(42, "split", 0, len(data))
    sampler = BatchSampler(data, batcher, 16, seed=7, members=order, epoch_boundary="carry-over")
    planned = []
    while len(planned) < len(recorded):
        shapes = sampler.shapes().tolist()
        planned += [[ids, shape] for ids, shape in zip(sampler, shapes)]
    assert sampler.epoch > 1
    assert planned[: len(recorded)] == recorded


def test_evaluation_is_one_pass_in_order():
    sampler = BatchSampler(SIZES, "dynamic", 16, shuffle=False)
    first = list(sampler)
    assert sum(first, []) == list(range(200))
    assert list(sampler) == first


def test_members_are_the_graphs_to_use():
    members = np.array([5, 199, 17, 3, 42, 8])
    sampler = BatchSampler(SIZES, "static-64", 4, shuffle=False, members=members)
    assert sum(sampler, []) == members.tolist()
    with pytest.raises(ValueError, match=r"members\[1\] is 200, but there are 200 graphs"):
        BatchSampler(SIZES, members=[0, 200])


def test_a_state_of_another_sampler_is_refused():
    state = BatchSampler(SIZES, "dynamic", 16).state_dict()
    with pytest.raises(ValueError, match="batch_size = 16; here it is 32"):
        BatchSampler(SIZES, "dynamic", 32).load_state_dict(state)


@pytest.mark.parametrize(
    "arguments, options, error, words",
    [
        ((([3, 4], [6]),), {}, ValueError, r"n_edge: has shape \[1\]; \[2\] is needed"),
        ((([3, -4], [6, 1]),), {}, ValueError, r"n_node\[1\] is -4"),
        ((([3, 0], [6, 1]),), {}, ValueError, r"n_node\[1\] is 0"),
        ((([3.5, 4.0], [6, 1]),), {}, TypeError, "float64; whole numbers"),
        ((([3, 2**31], [6, 1]),), {}, ValueError, r"n_node\[1\] is 2147483648"),
        ((([[3], [4]], [6, 1]),), {}, ValueError, r"has shape \[2, 1\]"),
        ((([], []),), {}, ValueError, "no graphs"),
        (([],), {}, ValueError, "no graphs"),
        (([object()],), {}, TypeError, "object"),
        ((SIZES, "dynamc"), {}, ValueError, "dynamic"),
        ((SIZES, 7), {}, TypeError, "a name or a dictionary, not int"),
        ((SIZES, {"nam": "static"}), {}, ValueError, "name"),
        ((SIZES, "dynamic"), {"paddin": "none"}, ValueError, "padding"),
        ((SIZES, "dynamic"), {"padding": None}, TypeError, "None"),
        ((SIZES, "ibmb"), {}, ValueError, "one graph"),
        ((SIZES, "dynamic", 1), {}, ValueError, "2"),
        ((([500], [6]), "dynamic", 2), {"budget": {"n_node": 10}, "oversize": "error"}, ValueError, "500"),
    ],
)
def test_bad_input_is_named(arguments, options, error, words):
    with pytest.raises(error, match=words):
        list(BatchSampler(*arguments, **options))


def test_read_only_and_strided_arrays_are_read():
    n_node = np.arange(3, 203)[::2]
    n_node.flags.writeable = False
    sampler = BatchSampler((n_node, n_node.astype(np.int16)), "exact", 8, shuffle=False)
    assert sum(sampler, []) == list(range(100))


FORK = """
import os
import batchlab
sampler = batchlab.BatchSampler(([3, 4, 5] * 50, [6, 12, 20] * 50), "dynamic", 16)
expected = list(sampler)
sampler.set_epoch(0)
if os.fork() == 0:
    print(list(sampler) == expected, flush=True)
    os._exit(0)
os.wait()
"""


def test_a_forked_process_plans_the_same():
    # In a process of its own: other tests have started threads of JAX.
    run = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "True", run.stderr


def test_torch_takes_it(n_worker=2):
    torch = pytest.importorskip("torch")
    sampler = BatchSampler(SIZES, "static-64", 16)
    expected = list(sampler)
    sampler.set_epoch(0)
    loader = torch.utils.data.DataLoader(range(200), batch_sampler=sampler, num_workers=n_worker, collate_fn=list)
    assert list(loader) == expected
    assert len(loader) == len(sampler)


def test_a_new_pass_begins_at_the_beginning_and_a_broken_one_costs_nothing():
    sampler = BatchSampler(SIZES, "static-64", 16)
    whole = list(sampler)
    sampler.set_epoch(0)
    for number, _ in enumerate(sampler):
        if number == 3:
            break
    assert sampler.epoch == 0 and list(sampler) == whole and sampler.epoch == 1
    # A pass within a pass, and an epoch chosen within one.
    sampler.set_epoch(0)
    for number, batch in enumerate(sampler):
        if number == 0:
            assert list(sampler) == whole
    assert sampler.epoch == 1
    for number, _ in enumerate(sampler):
        if number == 2:
            sampler.set_epoch(5)
    assert sampler.epoch == 5


def test_a_state_counts_what_was_trained_though_more_was_asked_for():
    torch = pytest.importorskip("torch")
    sampler = BatchSampler(SIZES, "static-64", 16)
    epochs = [list(sampler) for _ in range(2)]
    sampler.set_epoch(0)
    loader = torch.utils.data.DataLoader(range(200), batch_sampler=sampler, num_workers=2, collate_fn=list)
    for trained in (len(epochs[0]) - 1, len(epochs[0])):
        for number, _ in enumerate(loader, 1):
            if number == trained:
                state = sampler.state_dict(batch=trained)
                break
        resumed = BatchSampler(SIZES, "static-64", 16)
        resumed.load_state_dict(state)
        assert list(resumed) == (epochs[0][trained:] or epochs[1])
        sampler.set_epoch(0)


def test_samplers_are_copied_and_pickled_where_they_are():
    import copy

    sampler = BatchSampler(SIZES, "dynamic", 16, seed=2, epoch_boundary="carry-over")
    epochs = [list(sampler) for _ in range(3)]
    for batcher in (copy.deepcopy, lambda of: pickle.loads(pickle.dumps(of))):
        sampler.set_epoch(1)
        iterator = iter(sampler)
        begun = [next(iterator) for _ in range(4)]
        copied = batcher(sampler)
        assert begun + list(copied) == epochs[1] and list(copied) == epochs[2]


@pytest.mark.parametrize("change, words", [({"batch": 10**6}, "batch is 1000000"), ({"graphs": 1}, "graphs = 1"), ({"epoch": -1}, "epoch is -1")])
def test_impossible_states_are_refused(change, words):
    sampler = BatchSampler(SIZES, "dynamic", 16)
    with pytest.raises(ValueError, match=words):
        sampler.load_state_dict(sampler.state_dict() | change)
    with pytest.raises(ValueError, match="no 'label'"):
        sampler.load_state_dict({})


def test_labels_are_those_of_results():
    label = lambda **options: BatchSampler(SIZES, "static-64", 16, **options).label
    assert label() == "static-64-emit-partial"
    assert label(epoch_boundary="carry-over") == label(shuffle=False) == "static-64"
