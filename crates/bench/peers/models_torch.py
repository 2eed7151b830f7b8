"""SchNet, MPEU and PaiNN in PyTorch with PyTorch Geometric's scatter: the mathematics of
models_jax.py, eager or compiled for one shape.

`node_side` has the same meaning; PyTorch Geometric's own SchNet computes the sender's part once per
node.
"""

import math

import numpy as np
import torch
from torch.nn.functional import silu, softplus
from torch_geometric.utils import scatter

N_INTERACTION = 3


def ssp(x):
    """Shifted softplus."""
    return softplus(x) - math.log(2.0)


def identity(x):
    return x


def perceptron(p, name, x, activation, last=identity):
    """Two layers, with biases if the parameters include them."""
    for layer, act in enumerate((activation, last)):
        weight, bias = p[f"{name}.{layer}.weight"], p.get(f"{name}.{layer}.bias")
        x = act(x @ weight if bias is None else torch.addmm(bias, x, weight))
    return x


def gaussians(distance, n=150, spacing=0.1):
    """Returns [n_edge, n]; the divisor is the spacing itself."""
    centre = torch.arange(n, dtype=distance.dtype, device=distance.device) * spacing
    return torch.exp(-((distance[:, None] - centre) ** 2) / spacing)


def mean(value, segment, n):
    return scatter(value, segment, dim=0, dim_size=n, reduce="mean")


def total(value, segment, n):
    return scatter(value, segment, dim=0, dim_size=n, reduce="sum")


def mean_of_graphs(value, batch):
    return mean(value, batch["graph_of"], len(batch["target"]))


def schnet(p, batch, node_side=False):
    sender, receiver, n_node = batch["sender"], batch["receiver"], len(batch["node_class"])
    basis = gaussians(batch["distance"])
    h = p["embedding.weight"][batch["node_class"]]
    for i in range(N_INTERACTION):
        name = f"interaction.{i}"
        filters = perceptron(p, f"{name}.filter", basis, ssp, ssp)
        weight = p[f"{name}.sender.weight"]
        sent = (h @ weight)[sender] if node_side else h[sender] @ weight
        received = mean(filters * sent, receiver, n_node)
        h = h + perceptron(p, f"{name}.update", received, ssp)
    return mean_of_graphs(perceptron(p, "readout", h, ssp), batch)[:, 0]


def mpeu(p, batch, node_side=False):
    sender, receiver, n_node = batch["sender"], batch["receiver"], len(batch["node_class"])
    e = gaussians(batch["distance"])
    h = p["embedding.weight"][batch["node_class"]]
    for i in range(N_INTERACTION):
        name, width = f"interaction.{i}", h.shape[1]
        if node_side:
            weight = p[f"{name}.edge_update.0.weight"]
            hidden = ((h @ weight[:width])[sender] + (h @ weight[width:2 * width])[receiver]
                      + e @ weight[2 * width:])
            e = ssp(hidden) @ p[f"{name}.edge_update.1.weight"]
        else:
            e = perceptron(p, f"{name}.edge_update", torch.cat([h[sender], h[receiver], e], 1), ssp)
        gate = perceptron(p, f"{name}.gate", e, ssp, ssp)
        weight = p[f"{name}.sender.weight"]
        sent = (h @ weight)[sender] if node_side else h[sender] @ weight
        received = mean(gate * sent, receiver, n_node)
        h = h + perceptron(p, f"{name}.update", received, ssp)
    return mean_of_graphs(perceptron(p, "readout", h, ssp), batch)[:, 0]


def painn(p, batch, cutoff=6.0, eps=1e-8, limit=100.0):
    """A message takes the features of the receiver and arrives at the sender, as in the study's
    program."""
    sender, receiver, n_node = batch["sender"], batch["receiver"], len(batch["node_class"])
    d = batch["displacement"]
    r = torch.sqrt((d**2).sum(1, keepdim=True) + eps)
    direction = (d / (r + eps))[:, :, None]
    n_gaussian = p["filter.weight"].shape[0]
    centre = torch.linspace(0.0, cutoff, n_gaussian, dtype=d.dtype, device=d.device)
    basis = torch.exp(-0.5 * ((r - centre) / (cutoff / n_gaussian)) ** 2)
    taper = torch.where(r < cutoff, 0.5 * (torch.cos(math.pi * r / cutoff) + 1.0), 0.0)
    filters = torch.addmm(p["filter.bias"], basis, p["filter.weight"]) * taper
    filters = filters.chunk(N_INTERACTION, dim=1)
    s = p["embedding.weight"][batch["node_class"]]
    v = torch.zeros(n_node, 3, s.shape[1], dtype=s.dtype, device=s.device)
    for i in range(N_INTERACTION):
        name = f"interaction.{i}"
        x = perceptron(p, f"{name}.sender", s, silu)
        ds, dv1, dv2 = (filters[i] * x[receiver]).chunk(3, dim=1)
        dv = dv1[:, None] * direction + dv2[:, None] * v[receiver]
        ds, dv = total(ds, sender, n_node), total(dv, sender, n_node)
        s, v = s + ds.clamp(-limit, limit), v + dv.clamp(-limit, limit)

        left, right = (v @ p[f"{name}.mixing.weight"]).chunk(2, dim=2)
        norm = torch.sqrt((right**2).sum(1) + eps)
        x = perceptron(p, f"{name}.gates", torch.cat([s, norm], 1), silu)
        ds, dv, dsv = x.chunk(3, dim=1)
        ds = ds + dsv * (left * right).sum(1)
        dv = left * dv[:, None]
        s, v = s + ds.clamp(-limit, limit), v + dv.clamp(-limit, limit)
    return mean_of_graphs(perceptron(p, "readout", s, silu), batch)[:, 0]


MODELS = {"schnet": schnet, "mpeu": mpeu, "painn": painn}


def as_tensor(array):
    """A view of the array's memory; indices become 64-bit, which PyTorch requires."""
    array = np.require(array, requirements="W")
    return torch.from_numpy(array.astype(np.int64) if array.dtype.kind in "iu" else array)


class Training:
    """One model on one batch, kept in memory as tensors: on a CPU a step does not copy it. For a GPU the
    batch is kept in pinned host memory, and every step copies it to the GPU."""

    def __init__(self, model, options, parameters, batch, learning_rate=1e-4, compiled=False,
                 device="cpu"):
        self.batch = {name: as_tensor(values) for name, values in batch.items()}
        self.device = torch.device(device)
        if self.device.type == "cuda":
            self.batch = {name: values.pin_memory() for name, values in self.batch.items()}
        self.learning_rate = learning_rate

        def loss_of(p, batch):
            prediction = MODELS[model](p, batch, **options)
            weight = batch["weight"]
            error = weight * (prediction - batch["target"]) ** 2
            return torch.where(weight > 0, error, 0.0).sum() / weight.sum(), prediction

        # The shapes of one batch never change, so no dynamic shapes are needed; on a GPU, CUDA graphs
        # are PyTorch's own fast form.
        self.records = compiled and self.device.type == "cuda"
        mode = "reduce-overhead" if self.records else "default"
        self.loss_of = torch.compile(loss_of, dynamic=False, mode=mode) if compiled else loss_of
        self.load(parameters)

    def load(self, parameters):
        self.parameters = {name: torch.tensor(value, device=self.device, requires_grad=True)
                           for name, value in parameters.items()}
        self.optimiser = torch.optim.Adam(
            self.parameters.values(), lr=self.learning_rate, fused=True)

    def backward(self):
        if self.records:
            torch.compiler.cudagraph_mark_step_begin()
        self.optimiser.zero_grad(set_to_none=True)
        batch = {name: values.to(self.device, non_blocking=True)
                 for name, values in self.batch.items()}
        loss, prediction = self.loss_of(self.parameters, batch)
        loss.backward()
        return loss.item(), prediction

    def step(self):
        """Makes one training step; returns the loss before it."""
        loss, _ = self.backward()
        self.optimiser.step()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return loss

    def evaluate(self):
        """Loss, predictions and gradients by name, at the current parameters."""
        loss, prediction = self.backward()
        gradients = {name: value.grad.cpu().numpy().copy()
                     for name, value in self.parameters.items()}
        return loss, prediction.detach().cpu().numpy(), gradients
