"""Data-parallel training: ranks share every epoch, and learn what one process would."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import batchlab
from batchlab import BatchSampler, Loader

SIZES = (np.arange(200) * 7 % 23 + 3, (np.arange(200) * 7 % 23 + 3) * 6)
ASSIGNMENTS = ["fixed", "lpt", "lpt-equal", "sorted-rotated"]
STRATEGIES = ["dynamic", "static-64", "static-2^N", "exact", "packed-balanced"]


def ranks(batcher="static-64", world_size=3, sizes=SIZES, **options):
    return [BatchSampler(sizes, batcher, 16, seed=3, rank=rank, world_size=world_size, **options) for rank in range(world_size)]


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize("batcher", STRATEGIES)
@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_ranks_keep_their_promises(batcher, assignment, world_size):
    alone = BatchSampler(SIZES, batcher, 16, seed=3)
    samplers = ranks(batcher, world_size, assignment=assignment)
    for _ in range(2):
        planned = alone.shapes()
        list(alone)
        shapes = [sampler.shapes() for sampler in samplers]
        real = np.array([sampler.real_shapes() for sampler in samplers])
        n_graph = [sampler.graphs_per_step() for sampler in samplers]
        batches = [list(sampler) for sampler in samplers]
        # Equally many steps, and every graph once.
        n_step = -(-len(planned) // world_size)
        assert {len(of) for of in batches} == {n_step}
        assert sorted(sum(sum(batches, []), [])) == list(range(200))
        # Sizes are those of the graphs, and within the largest batch as planned.
        for rank, step in np.ndindex(world_size, n_step):
            ids = batches[rank][step]
            assert real[rank, step].tolist() == [SIZES[0][ids].sum(), SIZES[1][ids].sum(), len(ids)]
        assert (real[:, :, :2] <= planned[:, :2].max(axis=0)).all()
        assert (real <= shapes).all()
        # All ranks know the number of graphs of a step, and with padding they agree on its shape.
        assert all((of == real[:, :, 2].sum(axis=0)).all() for of in n_graph)
        if batcher != "exact":
            assert all((of == shapes[0]).all() for of in shapes)
            assert {tuple(of[:2]) for of in shapes[0]} <= {tuple(np.max(of, axis=0)) for of in _pairs(planned[:, :2])}
        else:
            assert (real == shapes).all()
        if assignment == "lpt-equal" and batcher != "packed-balanced":
            assert np.ptp(real[:, :, 2], axis=0).max() <= 1


def _pairs(shapes):
    """Maxima of any of the planned shapes: of one dimension each, at most."""
    return [(one, other) for one in np.unique(shapes, axis=0) for other in np.unique(shapes, axis=0)]


def test_longest_processing_time_first_balances():
    edges = {
        of: np.array([sampler.real_shapes()[:-1, 1] for sampler in ranks("exact", 4, assignment=of)]) for of in ASSIGNMENTS
    }
    efficiency = {of: cost.mean(axis=0).sum() / cost.max(axis=0).sum() for of, cost in edges.items()}
    assert efficiency["fixed"] < 0.95 < min(efficiency["lpt"], efficiency["lpt-equal"])
    # Only who trains on what differs, and not what a step consists of.
    steps = lambda of: [sorted(sum(parts, [])) for parts in zip(*ranks("exact", 4, assignment=of))]
    assert steps("fixed") == steps("lpt") == steps("lpt-equal")


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize("boundary", ["emit-partial", "carry-over"])
def test_each_rank_goes_on_exactly_with_the_state_of_any(assignment, boundary):
    make = lambda: ranks("dynamic", 3, assignment=assignment, epoch_boundary=boundary)
    samplers = make()
    epochs = [[list(sampler) for sampler in samplers] for _ in range(3)]
    begun = make()
    for sampler in begun:
        list(sampler)
        iterator = iter(sampler)
        next(iterator), next(iterator)
    state = pickle.loads(pickle.dumps(begun[1].state_dict()))
    assert all(sampler.state_dict() == state for sampler in begun)
    for rank, resumed in enumerate(make()):
        resumed.load_state_dict(state)
        full = resumed.graphs_per_step().tolist()
        assert full == [sum(len(of[step]) for of in epochs[1]) for step in range(2, len(epochs[1][0]))]
        assert list(resumed) == epochs[1][rank][2:]
        assert list(pickle.loads(pickle.dumps(resumed))) == epochs[2][rank]
    with pytest.raises(ValueError, match="world_size = 3; here it is 2"):
        ranks("dynamic", 2, epoch_boundary=boundary, assignment=assignment)[0].load_state_dict(state)


def test_a_rank_without_graphs_takes_part():
    # Four batches of two graphs on three ranks: in the second step, there are two graphs.
    sizes = ([5] * 8, [20] * 8)
    batches = [list(BatchSampler(sizes, "static-64", 3, rank=rank, world_size=3)) for rank in range(3)]
    assert [len(of[1]) for of in batches] == [1, 1, 0]
    data = batchlab.from_arrays(sizes[0], target=np.arange(8.0))
    for batcher, nodes in (("static-64", 64), ("exact", 0)):
        loader = Loader(data, batcher, 3, rank=2, world_size=3)
        *_, last = loader
        assert last.real == (0, 0, 0) and last.n_node == nodes and last.output_weight.sum() == 0
        assert loader.sampler.graphs_per_step().tolist() == [6, 2]


def test_loaders_share_an_epoch():
    data = batchlab.load("qm9")
    loaders = [Loader(data, "dynamic", 32, rank=rank, world_size=2, fields=["node_class"]) for rank in range(2)]
    seen = []
    for batches in zip(*loaders):
        assert batches[0].shape == batches[1].shape
        seen += [batch.origin[: batch.real.n_graph] for batch in batches]
    assert sorted(np.concatenate(seen).tolist()) == list(range(len(data)))


def test_a_batcher_in_python_is_shared():
    def in_order(graphs):
        graphs = list(graphs)
        return [graphs[i : i + 7] for i in range(0, len(graphs), 7)]

    batches = [list(BatchSampler(SIZES, in_order, 8, rank=rank, world_size=4)) for rank in range(4)]
    assert sorted(sum(sum(batches, []), [])) == list(range(200))


def test_one_rank_is_the_plan():
    assert list(BatchSampler(SIZES, "dynamic", 16, seed=3, world_size=1)) == list(BatchSampler(SIZES, "dynamic", 16, seed=3))


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(rank=3), "rank is 3; it must be from 0 to 2"),
        (dict(rank=-1), "rank is -1"),
        (dict(world_size=0, rank=0), "world_size is 0"),
        (dict(world_size=201), "world_size is 201, but there are 200 graphs"),
        (dict(assignment="lpt_equal"), "assignment is 'lpt_equal'; it must be one of fixed, lpt, lpt-equal, sorted-rotated"),
    ],
)
def test_what_is_no_rank_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        BatchSampler(SIZES, **{"rank": 0, "world_size": 3, **change})


TRAIN = """
import sys
import batchlab, torch
import torch.distributed as dist

torch.set_num_threads(1)
world_size = int(sys.argv[1])
data = batchlab.load("qm9")
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Embedding(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()

def loss_of(model, batch):
    # Squared errors, summed with the weights of the graphs.
    energy = torch.zeros(len(batch["output_weight"]), dtype=torch.float64)
    energy = energy.index_add(0, batch["graph_of"].long(), model(batch["node_class"]).squeeze(1))
    return (batch["output_weight"] * (energy - batch["output_target"]) ** 2).sum()

if world_size > 1:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    model = torch.nn.parallel.DistributedDataParallel(model)
    loader = batchlab.Loader(data, "dynamic", 32, as_="torch", rank=rank, world_size=2)
    steps = ([batch] for batch in loader)
else:
    rank = 0
    loaders = [batchlab.Loader(data, "dynamic", 32, as_="torch", rank=of, world_size=2) for of in range(2)]
    loader = loaders[0]
    steps = zip(*loaders)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-7)
for batches, n_graph in zip(steps, loader.sampler.graphs_per_step().tolist()):
    # DistributedDataParallel averages the ranks' gradients; the sum over the sum of weights is needed.
    loss = world_size / n_graph * sum(loss_of(model, batch) for batch in batches)
    optimizer.zero_grad(); loss.backward(); optimizer.step()
if rank == 0:
    print([x for parameter in model.parameters() for x in parameter.flatten().tolist()])
if world_size > 1:
    dist.destroy_process_group()
"""


def test_two_processes_learn_what_one_does(tmp_path):
    pytest.importorskip("torch")
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    launch = "-m torch.distributed.run --standalone --nproc-per-node 2".split()
    run = lambda *words: subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=tmp_path, timeout=300
    )
    alone, shared = run(str(script), "1"), run(*launch, str(script), "2")
    assert alone.returncode == 0, alone.stderr
    assert shared.returncode == 0, shared.stderr
    np.testing.assert_allclose(eval(shared.stdout), eval(alone.stdout), rtol=1e-9)
