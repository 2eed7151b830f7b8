"""Ideas in Python: batches are checked, padded in Rust, and compared with everything else."""

import itertools

import pytest

import batchlab
from batchlab import BatchSampler, Loader, check_batcher


def sorted_windows(graphs):
    """Windows of 28 graphs, sorted by size, in batches of 7."""
    while window := sorted(itertools.islice(graphs, 28), key=lambda of: of.n_node):
        while window:
            yield [of.id for of in window[:7]]
            del window[:7]


def test_it_passes_the_kit():
    check_batcher(sorted_windows, batch_size=8)
    check_batcher(sorted_windows, batch_size=8, padding={"shapes": 4})


def loses_the_last(graphs):
    for group in sorted_windows(graphs):
        if len(group) == 7:
            yield group


def repeats(graphs):
    for group in sorted_windows(graphs):
        yield group
        yield group[:1]


def too_large(graphs):
    yield list(graphs)


def invents(graphs):
    yield [of.id + 5000 for of in graphs][:7]


def remembers(graphs, calls=[]):
    calls.append(0)
    groups = list(sorted_windows(graphs))
    yield from groups if len(calls) % 2 else reversed(groups)


@pytest.mark.parametrize(
    "batcher, words",
    [
        (loses_the_last, "are in no batch, for example graph"),
        (repeats, "in a batch of this epoch already"),
        (too_large, "more than batch_size - 1 = 7"),
        (invents, "there is no graph"),
        (remembers, "differs when it is planned again"),
    ],
)
def test_faulty_ones_do_not(batcher, words):
    with pytest.raises(AssertionError, match=words):
        check_batcher(batcher, batch_size=8)


def test_it_samples_loads_and_goes_on():
    data = batchlab.load("qm9")
    sampler = BatchSampler(data, sorted_windows, 8, seed=1, padding={"multiple": 64})
    epochs = [list(sampler) for _ in range(2)]
    assert sorted(sum(epochs[0], [])) == sorted(sum(epochs[1], [])) == list(range(len(data)))
    assert sampler.label == "python:sorted_windows"
    assert (sampler.shapes()[:, :2] % 64 == 0).all()
    loader = Loader(data, sorted_windows, 8, seed=1, padding={"multiple": 64}, fields=[])
    iterator = iter(loader)
    assert [next(iterator).origin[:7].tolist() for _ in range(3)] == epochs[0][:3]
    resumed = Loader(data, sorted_windows, 8, seed=1, padding={"multiple": 64}, fields=[])
    resumed.load_state_dict(loader.state_dict())
    assert next(iter(resumed)).origin[:7].tolist() == epochs[0][3]


def test_it_is_compared():
    found = batchlab.compare(
        batchlab.load("qm9"), lambda batch: 0.0, [sorted_windows, "static-64"], [8], pairs=2, steps_per_block=5, progress=None
    )
    assert {row["strategy"] for row in found.times} == {"python:sorted_windows", "static-64"}


def test_its_exceptions_arrive():
    def fails(graphs):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(BatchSampler(([3], [6]), fails))
    with pytest.raises(ValueError, match="padding"):
        list(BatchSampler(([3], [6]), sorted_windows, padding={"multipl": 3}))


@pytest.mark.parametrize(
    "batcher, words",
    [
        (lambda graphs: None, "has to yield lists"),
        (lambda graphs: list(graphs), "yield lists of graphs"),
        (lambda graphs: [[of.id + 0.7 for of in graphs]], "neither a Size nor an id"),
        (lambda graphs: [[-1]], "there is no graph -1"),
    ],
)
def test_what_is_no_batch_is_named(batcher, words):
    with pytest.raises(AssertionError, match=words):
        check_batcher(batcher)
    with pytest.raises((TypeError, ValueError), match=words):
        list(BatchSampler(([3], [6]), batcher))
    with pytest.raises(TypeError, match="only the option 'padding'"):
        BatchSampler(([3], [6]), batcher, oversize="error")
