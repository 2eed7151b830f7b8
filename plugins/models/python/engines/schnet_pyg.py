"""SchNet of PyTorch Geometric (`torch_geometric.nn.models.SchNet`), on batchlab's edges.

options = { compile = true, dynamic = false } compiles the step with torch.compile, once per shape unless `dynamic`.
The other options are those of the class: `hidden_channels`, `num_filters`, `num_interactions`, `num_gaussians`,
`cutoff`, `readout`.
"""

import io
import time

import torch
import torch_geometric
from torch_geometric.nn.models import SchNet

OWN = {"compile": False, "dynamic": False}
OPTIONS = {"hidden_channels": 64, "num_filters": 64, "num_interactions": 3, "num_gaussians": 150, "cutoff": 15.0,
           "readout": "mean"}


class Engine:
    name, version = "pyg", f"{torch_geometric.__version__} (torch {torch.__version__})"

    def __init__(self, context):
        unknown = set(context.options) - set(OWN | OPTIONS)
        if unknown:
            raise ValueError(f"model.options has {', '.join(unknown)}; there are {', '.join(OWN | OPTIONS)}")
        options = OWN | OPTIONS | context.options
        torch.manual_seed(context.seed)
        torch.set_num_threads(context.n_thread)
        self.device = torch.device(context.device)
        # Edges come with the batch: their endpoints, and their lengths in place of positions.
        model = SchNet(**{name: options[name] for name in OPTIONS}, interaction_graph=lambda edges, _: edges)
        self.model = model.to(self.device)
        self.parameters = list(model.parameters())
        self.n_parameter = sum(p.numel() for p in self.parameters)
        self.optimizer = torch.optim.Adam(self.parameters, weight_decay=context.weight_decay)
        self.loss = torch.compile(self.eager_loss, dynamic=options["dynamic"]) if options["compile"] else self.eager_loss
        self.compiles, self.shapes, self.compiling = options["compile"], set(), None
        if self.compiles:
            self.version += ", compiled"

    def tensor(self, array, dtype=None):
        # A copy, because the memory will be overwritten, and PyTorch requires writable arrays.
        return torch.tensor(array, dtype=dtype, device=self.device)

    def inputs(self, batch):
        edges = self.tensor(batch.sender, torch.long), self.tensor(batch.receiver, torch.long)
        graphs = self.tensor(batch.graph_of, torch.long)
        return self.tensor(batch.node_class, torch.long) + 1, torch.stack(edges), self.tensor(batch.distance), graphs

    def predicted(self, node_class, edges, distance, graphs, rows):
        value = self.model(node_class, (edges, distance), graphs)[:, 0]
        # The model returns rows only up to the last graph with nodes; padding graphs may have none.
        return torch.nn.functional.pad(value, (0, rows.numel() - value.numel()))[rows]

    def eager_loss(self, node_class, edges, distance, graphs, rows, target, weight):
        error = self.predicted(node_class, edges, distance, graphs, rows) - target
        return torch.where(weight > 0, weight * error**2, 0.0).sum()

    def step(self, batch, learning_rate):
        total = self.differentiate(batch)
        self.update(learning_rate)
        return float(total)

    def gradients(self, batch):
        total = self.differentiate(batch)
        return float(total), torch.cat([p.grad.flatten() for p in self.parameters]).cpu().numpy()

    def apply(self, gradient, learning_rate):
        parts = self.tensor(gradient).split([p.numel() for p in self.parameters])
        for parameter, part in zip(self.parameters, parts):
            parameter.grad = part.view_as(parameter)
        self.update(learning_rate)

    def differentiate(self, batch):
        begin = time.perf_counter()
        outputs = [self.tensor(a) for a in (batch.output_target, batch.output_weight)]
        total = self.loss(*self.inputs(batch), self.tensor(batch.output_row, torch.long), *outputs)
        self.optimizer.zero_grad(set_to_none=True)
        (batch.scale / batch.weight_sum * total).backward()
        if self.compiles and batch.shape not in self.shapes:
            self.shapes.add(batch.shape)
            self.compiling = time.perf_counter() - begin
        return total.detach()

    def update(self, learning_rate):
        self.optimizer.param_groups[0]["lr"] = learning_rate
        self.optimizer.step()

    def take_compile_seconds(self):
        compiling, self.compiling = self.compiling, None
        return compiling

    @torch.no_grad()
    def predict(self, batch):
        rows = self.tensor(batch.output_row, torch.long)
        return self.predicted(*self.inputs(batch), rows).cpu().numpy()

    def state(self):
        file = io.BytesIO()
        torch.save({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}, file)
        return file.getvalue()

    def restore(self, data):
        state = torch.load(io.BytesIO(data), weights_only=True, map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


def open(context):
    if context.loss != "mse" or context.output_width != 1:
        raise ValueError('this engine minimises the squared error of one number; use training.loss = "mse"')
    return Engine(context)
