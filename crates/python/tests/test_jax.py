"""An epoch in JAX is the same with our batches and with jraph's own, and compiles as often as forecast."""

import numpy as np
import pytest

import batchlab

jax = pytest.importorskip("jax")
jraph = pytest.importorskip("jraph")


def loss(weights, graphs):
    """A message-passing layer and a sum over each graph."""
    nodes = weights["embedding"][graphs.nodes["node_class"]]
    messages = nodes[graphs.senders] * jax.numpy.exp(-graphs.edges["distance"])[:, None]
    nodes = jax.numpy.tanh((nodes + jraph.segment_sum(messages, graphs.receivers, len(nodes))) @ weights["update"])
    graph_of = jax.numpy.repeat(jax.numpy.arange(len(graphs.n_node)), graphs.n_node, total_repeat_length=len(nodes))
    output = jraph.segment_sum(nodes @ weights["output"], graph_of, len(graphs.n_node))
    weight = graphs.globals["weight"]
    return (weight * (output - graphs.globals["target"]) ** 2).sum() / weight.sum()


def train(batches):
    rng = np.random.default_rng(0)
    weights = {"embedding": rng.normal(size=(5, 8)), "update": rng.normal(size=(8, 8)), "output": rng.normal(size=8)}
    weights = {name: jax.numpy.float32(0.1 * of) for name, of in weights.items()}

    @jax.jit
    def step(weights, graphs):
        value, gradient = jax.value_and_grad(loss)(weights, graphs)
        return value, jax.tree.map(lambda of, slope: of - 1e-5 * slope, weights, gradient)

    losses = []
    for graphs in batches:
        value, weights = step(weights, graphs)
        losses.append(float(value))
    return losses, step._cache_size()


def by_jraph(data, sampler):
    """The same graphs, concatenated and padded by jraph."""
    alone = [
        jraph.unbatch_np(of)[0]
        for of in batchlab.Loader(data, "exact", 2, shuffle=False, as_="jraph", fields=["node_class", "distance"])
    ]
    for shape, ids in zip(sampler.shapes().tolist(), sampler):
        graphs = jraph.batch_np([alone[i] for i in ids])
        yield jraph.pad_with_graphs(graphs, *shape)


@pytest.mark.parametrize(
    "batcher", [{"name": "dynamic"}, {"name": "static", "padding": {"power": 2}}], ids=["dynamic", "static-2^N"]
)
def test_losses_and_compilations(batcher):
    batcher = {**batcher, "epoch_boundary": "emit-partial"}
    data = batchlab.load("qm9")
    loader = batchlab.Loader(data, batcher, 32, seed=4, as_="jraph", fields=["node_class", "distance"])
    ours, n_compiled = train(loader)
    theirs, _ = train(by_jraph(data, batchlab.BatchSampler(data, batcher, 32, seed=4)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    assert ours[-1] < ours[0]
    loader.set_epoch(0)
    assert n_compiled == len(np.unique(loader.shapes(), axis=0))
    polars = pytest.importorskip("polars")
    plan = polars.DataFrame(batchlab.plan(data, [batcher], [32], steps=len(loader), seed=4))
    assert plan["shapes"].item() == n_compiled
