"""The peers: each batches the molecules that batchlab exports, in the same order."""

import itertools

import jraph
import numpy as np


class Molecules:
    """Fully connected molecules, with the in-memory objects of each peer."""

    def __init__(self, folder):
        load = lambda name: np.load(folder / f"{name}.npy")
        self.n_node = load("n_node").astype(np.int64)
        self.n_edge = self.n_node * (self.n_node - 1)
        self.order = load("order")
        self.node_class = np.split(load("class").astype(np.int32), np.cumsum(self.n_node)[:-1])
        position = np.split(load("position").reshape(-1, 3), np.cumsum(self.n_node)[:-1])
        self.target = load("target")
        self.sender, self.receiver, self.distance = [], [], []
        for xyz in position:
            n = len(xyz)
            receiver, sender = np.nonzero(~np.eye(n, dtype=bool))
            d = xyz[receiver] - xyz[sender]
            # In float32 and in this order, as in batchlab.
            square = d[:, 0] * d[:, 0] + d[:, 1] * d[:, 1] + d[:, 2] * d[:, 2]
            self.sender.append(sender.astype(np.int32))
            self.receiver.append(receiver.astype(np.int32))
            self.distance.append(np.sqrt(square))
        self.graphs = [
            jraph.GraphsTuple(
                nodes=self.node_class[i], edges=self.distance[i], senders=self.sender[i],
                receivers=self.receiver[i], n_node=np.array([self.n_node[i]], np.int32),
                n_edge=np.array([self.n_edge[i]], np.int32), globals=self.target[i:i + 1])
            for i in range(len(self.n_node))
        ]

    def stream(self):
        """The molecules in training order, epoch after epoch."""
        for i in self.order:
            yield self.graphs[i]
        raise RuntimeError("more epochs were drawn than are exported")


def dynamic_budget(molecules, batch_size, n_estimate=1000):
    """Node and edge budgets, estimated as in the study: the mean of the first graphs times B, but at
    least the largest of them, rounded up to a strictly larger multiple of 64."""
    def of(size):
        first = size[:n_estimate]
        return 64 * (1 + int(max(first.mean() * batch_size, first.max()) // 64))
    return of(molecules.n_node), of(molecules.n_edge)


def multiple_of_64(n):
    return max(64, -(-n // 64) * 64)


def jraph_dynamic(stream, n_node, n_edge, batch_size):
    return jraph.dynamically_batch(stream, n_node, n_edge, batch_size)


def jraph_static_64(stream, batch_size):
    """The study's static-64: B - 1 graphs are concatenated and padded to multiples of 64 with jraph's
    NumPy functions. (The study's program loses the graph that arrives when a batch is full; this one
    does not, so that its batches match ours.)"""
    while True:
        batch = jraph.batch_np(list(itertools.islice(stream, batch_size - 1)))
        n_node, n_edge = int(batch.n_node.sum()), int(batch.n_edge.sum())
        yield jraph.pad_with_graphs(
            batch, multiple_of_64(n_node + 1), multiple_of_64(n_edge), batch_size)


def dynamic_groups(molecules, n_node, n_edge, batch_size):
    """The members of jraph's dynamic batches, computed from sizes only."""
    group, nodes, edges = [], 0, 0
    for i in molecules.order:
        nodes, edges = nodes + molecules.n_node[i], edges + molecules.n_edge[i]
        if group and (len(group) == batch_size - 1 or nodes >= n_node or edges > n_edge):
            yield group
            group, nodes, edges = [], molecules.n_node[i], molecules.n_edge[i]
        group.append(int(i))


def static_groups(molecules, batch_size):
    order = iter(molecules.order.tolist())
    while True:
        yield list(itertools.islice(order, batch_size - 1))


def pyg_batches(molecules, groups):
    """PyTorch Geometric's collater; it does not support padding."""
    import torch
    from torch_geometric.data import Batch, Data

    torch.set_num_threads(1)
    data = [
        Data(
            z=torch.from_numpy(molecules.node_class[i].astype(np.int64)),
            edge_index=torch.from_numpy(
                np.stack([molecules.sender[i], molecules.receiver[i]]).astype(np.int64)),
            edge_weight=torch.from_numpy(molecules.distance[i]),
            y=torch.from_numpy(molecules.target[i:i + 1]),
            num_nodes=int(molecules.n_node[i]))
        for i in range(len(molecules.n_node))
    ]
    for group in itertools.cycle(groups):
        yield Batch.from_data_list([data[i] for i in group])


def numpy_batches(molecules, groups, batch_size, constant, contiguous):
    """Batching in NumPy with few calls, on arrays instead of objects.

    `contiguous`: all molecules of the groups were copied beforehand into arrays in batch order, so
    that a batch is a slice. Otherwise the molecules are concatenated from one array each. Groups and
    padded shapes are known beforehand in both cases. `constant` is the padded (nodes, edges), or None
    for multiples of 64.
    """
    plans = []
    for group in groups:
        nodes, edges = molecules.n_node[group], molecules.n_edge[group]
        shape = constant or (multiple_of_64(nodes.sum() + 1), multiple_of_64(edges.sum()))
        plans.append((group, nodes, edges, int(nodes.sum()), int(edges.sum()), shape))
    make = _slices(molecules, plans) if contiguous else _concatenations(molecules, plans)
    for plan, fields in itertools.cycle(zip(plans, make)) if contiguous else make:
        group, nodes, edges, n, e, (padded_n, padded_e) = plan
        yield _padded(fields, nodes, edges, n, e, padded_n, padded_e, batch_size)


def _concatenations(molecules, plans):
    names = ("sender", "receiver", "distance", "node_class")
    for plan in itertools.cycle(plans):
        group, nodes, edges = plan[:3]
        sender, receiver, distance, node_class = (
            np.concatenate([getattr(molecules, name)[i] for i in group]) for name in names)
        first = np.repeat(np.cumsum(nodes) - nodes, edges)
        yield plan, (sender + first, receiver + first, distance, node_class,
                     molecules.target[group])


def _slices(molecules, plans):
    """The concatenated arrays of all groups, with indices that count through all of them."""
    ids = list(itertools.chain.from_iterable(plan[0] for plan in plans))
    nodes, edges = molecules.n_node[ids], molecules.n_edge[ids]
    first = np.repeat(np.cumsum(nodes) - nodes, edges).astype(np.int32)
    join = lambda arrays: np.concatenate([arrays[i] for i in ids])
    sender, receiver = join(molecules.sender) + first, join(molecules.receiver) + first
    distance, node_class, target = (
        join(molecules.distance), join(molecules.node_class), molecules.target[ids])
    result, node, edge, graph = [], 0, 0, 0
    for group, _, _, n, e, _ in plans:
        result.append(_Slice((sender, receiver, distance, node_class, target),
                             slice(node, node + n), slice(edge, edge + e),
                             slice(graph, graph + len(group)), np.int32(node)))
        node, edge, graph = node + n, edge + e, graph + len(group)
    return result


class _Slice:
    """A slice that is unpacked when the batch is made, so that this time is measured."""

    def __init__(self, arrays, nodes, edges, graphs, first):
        self.arrays, self.nodes, self.edges, self.graphs, self.first = (
            arrays, nodes, edges, graphs, first)

    def __iter__(self):
        sender, receiver, distance, node_class, target = self.arrays
        yield sender[self.edges] - self.first
        yield receiver[self.edges] - self.first
        yield distance[self.edges]
        yield node_class[self.nodes]
        yield target[self.graphs]


def _padded(fields, nodes, edges, n, e, padded_n, padded_e, batch_size):
    sender, receiver, distance, node_class, target = fields
    n_graph = len(nodes)
    out_sender = np.empty(padded_e, np.int32)
    out_sender[:e], out_sender[e:] = sender, n
    out_receiver = np.empty(padded_e, np.int32)
    out_receiver[:e], out_receiver[e:] = receiver, n
    out_distance = np.empty(padded_e, np.float32)
    out_distance[:e], out_distance[e:] = distance, 0
    out_class = np.empty(padded_n, np.int32)
    out_class[:n], out_class[n:] = node_class, 0
    n_node = np.zeros(batch_size, np.int32)
    n_node[:n_graph], n_node[n_graph] = nodes, padded_n - n
    n_edge = np.zeros(batch_size, np.int32)
    n_edge[:n_graph], n_edge[n_graph] = edges, padded_e - e
    out_target = np.zeros(batch_size, np.float32)
    out_target[:n_graph] = target
    return jraph.GraphsTuple(
        nodes=out_class, edges=out_distance, senders=out_sender, receivers=out_receiver,
        n_node=n_node, n_edge=n_edge, globals=out_target)
