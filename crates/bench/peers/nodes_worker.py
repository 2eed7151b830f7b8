"""PyTorch Geometric on the nodes of one graph, in its own process: answers JSON requests line by line,
like `batchlab-bench serve-nodes`.

    nodes_worker.py THREADS

`form` is how edges are stored: "csr", a sparse torch matrix, or "scatter", an edge_index along which
rows are gathered and added. torch-sparse is replaced by SciPy (the matrix of PPR scores), by pymetis
(METIS) and by the one function that setup.sh builds (neighbor sampling); everything else is PyTorch
Geometric's own code.
"""

import json
import os
import pathlib
import sys
import time
import traceback

THREADS = int(sys.argv[1])
# Must be set before the libraries are loaded.
os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = str(THREADS)
os.environ["TQDM_DISABLE"] = "1"

import numpy as np
import scipy.sparse
import torch
import torch_geometric.typing
from torch_geometric.data import Data
from torch_geometric.loader import ClusterData, ClusterLoader, NeighborLoader, ibmb_loader
from torch_geometric.nn import GCNConv
from torch_geometric.utils import get_ppr, subgraph

from golden import norm_difference, read_safetensors

HERE = pathlib.Path(__file__).resolve().parent
HIDDEN, N_LAYER, LEARNING_RATE = 256, 3, 1e-3
ALPHA, EPSILON = 0.25, 2e-4
# Relative to the norm; the order of summation differs.
LIMIT = {"loss": 2e-5, "gradient": 1e-3}


class Gcn(torch.nn.Module):
    """batchlab's `gcn`; PyTorch Geometric always multiplies before it sends."""

    def __init__(self, n_feature, n_class, dropout):
        super().__init__()
        widths = [n_feature] + [HIDDEN] * N_LAYER
        self.convolution = torch.nn.ModuleList(
            GCNConv(*pair, bias=False, normalize=False) for pair in zip(widths, widths[1:]))
        self.norm = torch.nn.ModuleList(torch.nn.LayerNorm(HIDDEN) for _ in range(N_LAYER))
        self.head = torch.nn.Linear(HIDDEN, n_class)
        self.dropout = dropout

    def forward(self, x, edges, weight):
        for convolution, norm in zip(self.convolution, self.norm):
            x = norm(convolution(x, edges, weight)).relu()
            x = torch.nn.functional.dropout(x, self.dropout, self.training)
        return self.head(x)

    def ours(self):
        """batchlab's name of each parameter, the parameter, and whether its matrix is transposed."""
        for layer in range(N_LAYER):
            yield f"convolution.{layer}.weight", self.convolution[layer].lin.weight, True
            yield f"norm.{layer}.scale", self.norm[layer].weight, False
            yield f"norm.{layer}.offset", self.norm[layer].bias, False
        yield "head.weight", self.head.weight, True
        yield "head.bias", self.head.bias, False


def in_form(form, edge_index, weight, n_node):
    """Edges and weights in the form that the model takes."""
    if form == "scatter":
        return edge_index, weight
    matrix = torch.sparse_coo_tensor(edge_index.flip(0), weight, (n_node, n_node))
    return matrix.to_sparse_csr(), None


class ScipyMatrix:
    """The part of torch_sparse.SparseTensor that topk_ppr_matrix uses."""

    def __init__(self, row, col, value, sparse_sizes):
        parts = (value.numpy(), (row.numpy(), col.numpy()))
        self.matrix = scipy.sparse.csr_matrix(parts, shape=sparse_sizes)

    def to_scipy(self, layout):
        return self.matrix


class Clocks:
    """Measures the seconds that PyTorch Geometric spends in some functions of a module."""

    def __init__(self, module, names):
        self.seconds = {}
        for name in names:
            setattr(module, name, self.timed(name, getattr(module, name)))

    def timed(self, name, function):
        def call(*arguments, **options):
            start = time.perf_counter()
            result = function(*arguments, **options)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            return result
        return call


class Nodes:
    def __init__(self):
        torch.set_flush_denormal(True)
        torch.set_num_threads(THREADS)
        ibmb_loader.SparseTensor = ScipyMatrix
        names = ["get_ppr", "get_pairs", "prime_orient_merge", "prime_post_process",
                 "get_subgraph"]
        self.clocks = Clocks(ibmb_loader, names)
        self.cases, self.ibmb_batches, self.cluster = [], None, None

    def load(self, folder):
        read = lambda name: np.load(pathlib.Path(folder) / f"{name}.npy")
        offset, sender, train = read("offset").astype(np.int64), read("sender"), read("train")
        n_node = len(offset) - 1
        receiver = np.repeat(np.arange(n_node), np.diff(offset))
        self.n_class = int(read("class").max()) + 1
        self.train = torch.from_numpy(train.astype(np.int64))
        mask = torch.zeros(n_node, dtype=torch.bool)
        mask[self.train] = True
        self.data = Data(
            x=torch.from_numpy(read("feature").reshape(n_node, -1)),
            y=torch.from_numpy(read("class").astype(np.int64)),
            edge_index=torch.from_numpy(np.stack([sender.astype(np.int64), receiver])),
            edge_attr=torch.from_numpy(read("weight")), output_node_mask=mask)
        return {"n_node": n_node, "n_edge": len(sender), "n_train": len(train)}

    def ppr(self, n_root=None, folder=None):
        """Times the scores of all training nodes; or compares those of the first with batchlab's."""
        roots = self.train if n_root is None else self.train[:n_root]
        start = time.perf_counter()
        (row, col), score = get_ppr(self.data.edge_index, ALPHA, EPSILON, roots,
                                    self.data.num_nodes)
        answer = {"seconds": time.perf_counter() - start, "n_score": len(col)}
        if folder is not None:
            read = lambda name: np.load(pathlib.Path(folder) / f"{name}.npy")
            shape = (self.data.num_nodes,) * 2
            ours = scipy.sparse.csr_matrix(
                (read("ppr_score"), (np.repeat(roots.numpy(), read("ppr_count")),
                                     read("ppr_node"))), shape=shape)
            theirs = scipy.sparse.csr_matrix((score.numpy(), (row.numpy(), col.numpy())), shape=shape)
            difference = abs(ours - theirs)
            answer |= {"n_score_ours": int(ours.nnz), "largest_difference": float(difference.max()),
                       "mean_sum_of_differences": float(difference.sum() / len(roots)),
                       "mean_sum": float(ours.sum() / len(roots))}
        return answer

    def prepare_ibmb(self, aux_per_output, outputs_per_batch):
        """Times IBMB's node-wise loader as a whole and in parts."""
        self.clocks.seconds.clear()
        start = time.perf_counter()
        # Unlike the authors' program and batchlab, it does not balance batch sizes, so this does.
        n = len(self.train)
        even = -(-n // -(-n // outputs_per_batch))
        self.ibmb_batches = ibmb_loader.IBMBNodeLoader(
            self.data, "rand", self.train, aux_per_output, even, ALPHA, EPSILON, batch_size=1)
        total, seconds = time.perf_counter() - start, self.clocks.seconds
        build = seconds.pop("get_subgraph")
        batches = list(self.ibmb_batches)
        return {"ppr_s": seconds["get_ppr"], "total_s": total - build, "build_s": build,
                "pairs_and_merge_s": sum(seconds.values()) - seconds["get_ppr"],
                "n_batch": len(batches), "n_node": sum(len(b.y) for b in batches),
                "n_edge": sum(b.edge_index.shape[1] for b in batches)}

    def partition(self, n_part):
        import pymetis

        def metis(_, edge_index, num_nodes):
            keep = edge_index[0] != edge_index[1]
            sender, receiver = edge_index[:, keep].numpy()
            order = np.argsort(receiver, kind="stable")
            offset = np.concatenate([[0], np.cumsum(np.bincount(receiver, minlength=num_nodes))])
            _, part = pymetis.part_graph(n_part, xadj=offset, adjncy=sender[order])
            return torch.tensor(part)
        ClusterData._metis = metis
        start = time.perf_counter()
        self.cluster = ClusterData(self.data, n_part, log=False)
        return {"seconds": time.perf_counter() - start}

    def open(self, loader, form, dropout=0.5, fan_out=(), n_batch=1):
        """Opens a training case. Batches that a loader keeps are stored in this form."""
        if loader == "full":
            batches = [self.data]
        elif loader == "ibmb":
            batches = list(self.ibmb_batches)
        elif loader == "cluster":
            batches = ClusterLoader(self.cluster, batch_size=1, shuffle=True)
        else:
            torch.ops.load_library(HERE / ".venv/neighbor_sample/neighbor_sample.so")
            torch_geometric.typing.WITH_TORCH_SPARSE = True
            n_output = -(-len(self.train) // n_batch)
            batches = NeighborLoader(self.data, list(fan_out), self.train, batch_size=n_output,
                                     shuffle=True)
        model = Gcn(self.data.num_features, self.n_class, dropout)
        if isinstance(batches, list):
            batches = [self.ready(batch, form) for batch in batches]
        optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
        self.cases.append((model, optimiser, batches, form))
        return {"case": len(self.cases) - 1}

    def ready(self, batch, form):
        """Features, edges, weights, rows of outputs and their classes, and the number of edges."""
        rows = batch.output_node_mask.nonzero()[:, 0]
        if "batch_size" in batch:  # NeighborLoader: outputs come first
            rows = torch.arange(batch.batch_size)
        edges = in_form(form, batch.edge_index, batch.edge_attr, len(batch.y))
        return batch.x, *edges, rows, batch.y[rows], batch.edge_index.shape[1]

    def epoch(self, case, train, n_batch=None):
        """An epoch of training, or of loading only, or its first `n_batch` batches."""
        model, optimiser, batches, form = self.cases[case]
        model.train()
        answer = {"n_batch": 0, "n_node": 0, "n_edge": 0, "n_output": 0}
        loading, loss_sum, start = 0.0, 0.0, time.perf_counter()
        turns = iter(batches)
        while answer["n_batch"] != n_batch:
            before = time.perf_counter()
            batch = next(turns, None)
            if batch is None:
                break
            x, edges, weight, rows, y, n_edge = (
                batch if isinstance(batch, tuple) else self.ready(batch, form))
            loading += time.perf_counter() - before
            for what, n in (("batch", 1), ("node", len(x)), ("edge", n_edge), ("output", len(y))):
                answer[f"n_{what}"] += n
            if train:
                optimiser.zero_grad(set_to_none=True)
                loss = torch.nn.functional.cross_entropy(model(x, edges, weight)[rows], y)
                loss.backward()
                optimiser.step()
                loss_sum += loss.item() * len(y)
        seconds = time.perf_counter() - start
        loss = loss_sum / answer["n_output"]
        return {**answer, "seconds": seconds, "load_seconds": loading, "loss": loss}

    def compare(self, folder, form):
        """Relative differences from batchlab's loss and gradients on its batch, at its parameters."""
        arrays, _ = read_safetensors(pathlib.Path(folder) / "state.safetensors")
        nodes, rows = (torch.from_numpy(np.load(pathlib.Path(folder) / f"batch_{what}.npy")
                                        .astype(np.int64)) for what in ("node", "output"))
        model = Gcn(self.data.num_features, self.n_class, 0.0)
        for name, parameter, other_way in model.ours():
            value = torch.tensor(arrays[f"parameter.{name}"])
            parameter.data = value.T.contiguous() if other_way else value
        edges, weight = subgraph(nodes, self.data.edge_index, self.data.edge_attr,
                                 relabel_nodes=True, num_nodes=self.data.num_nodes)
        logits = model(self.data.x[nodes], *in_form(form, edges, weight, len(nodes)))
        loss = torch.nn.functional.cross_entropy(logits[rows], self.data.y[nodes][rows])
        loss.backward()
        found = {"loss": abs(loss.item() / float(arrays["loss"][0]) - 1), "gradient": 0.0}
        for name, parameter, other_way in model.ours():
            gradient = parameter.grad.T if other_way else parameter.grad
            error = norm_difference(gradient.numpy(), arrays[f"gradient.{name}"])
            found["gradient"] = max(found["gradient"], float(error))
        for what, limit in LIMIT.items():
            if not found[what] <= limit:
                raise ValueError(f"{what} differs from batchlab's by {found[what]:.1e} of its norm")
        return {**found, "n_node": len(nodes), "n_edge": edges.shape[1]}

    def floor(self):
        """Seconds for the products of a full-batch epoch, and for its traffic at the rate of a copy.

        The traffic is that of edge sums, norms and their gradients; memory access of products is part
        of their time. Computed once with every array read once, once with a row read for every edge."""
        n, n_edge, n_feature = self.data.num_nodes, self.data.num_edges, self.data.num_features
        x = {width: torch.rand(n, width) for width in {n_feature, HIDDEN, self.n_class}}
        # The first layer's input needs no gradient.
        layers = [(n_feature, HIDDEN, False), *[(HIDDEN, HIDDEN, True)] * (N_LAYER - 1),
                  (HIDDEN, self.n_class, True)]
        start = time.perf_counter()
        for n_in, n_out, has_gradient in layers:
            weight = torch.ones(n_in, n_out)
            x[n_in] @ weight
            x[n_in].T @ x[n_out]
            if has_gradient:
                x[n_out] @ weight.T
        products = time.perf_counter() - start
        widths = [min(n_feature, HIDDEN)] + [HIDDEN] * 2 * (N_LAYER - 1)
        norms = 5 * N_LAYER * n * HIDDEN * 4
        edges = len(widths) * n_edge * 8
        once = sum(2 * n * width * 4 for width in widths) + norms + edges
        gathered = sum((n + n_edge) * width * 4 for width in widths) + norms + edges
        source = torch.ones(1 << 26)
        target = torch.empty_like(source)
        target.copy_(source)
        copy = time.perf_counter()
        target.copy_(source)
        rate = 2 * source.numel() * 4 / (time.perf_counter() - copy)
        return {"products_s": products, "once_s": products + once / rate,
                "gathered_s": products + gathered / rate, "giga_bytes_per_second": rate / 1e9,
                "giga_bytes_once": once / 1e9, "giga_bytes_gathered": gathered / 1e9}

    def memory(self):
        status = pathlib.Path("/proc/self/status").read_text()
        size = lambda name: 1024 * int(status.split(name)[1].split()[0])
        return {"now_bytes": size("VmRSS:"), "peak_bytes": size("VmHWM:")}


def main():
    # Standard output is reserved for answers; anything that libraries print goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    nodes = Nodes()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(nodes, request.pop("do").replace("-", "_"))(**request)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
