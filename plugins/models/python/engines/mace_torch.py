"""MACE (`mace-torch`) on batchlab's edges; model.fields needs "displacement".

It is trained on energies, and also on forces if "forces" is among model.fields. The loss of a structure is then the
squared error of its energy plus `force_weight` times the mean squared error of its force components, both in units of
the standard deviation of the energies.

options: `r_max`, `channels`, `max_l`, `max_ell`, `correlation`, `num_interactions`, `force_weight`.
"""

import io

import mace
import numpy
import torch
from e3nn import o3
from mace import modules

OPTIONS = {"r_max": 5.0, "channels": 32, "max_l": 1, "max_ell": 2, "correlation": 2, "num_interactions": 2,
           "force_weight": 10.0}


class Engine:
    name, version = "mace", f"{mace.__version__} (torch {torch.__version__})"

    def __init__(self, context):
        unknown = set(context.options) - set(OPTIONS)
        if unknown:
            raise ValueError(f"model.options has {', '.join(unknown)}; there are {', '.join(OPTIONS)}")
        options = OPTIONS | context.options
        torch.manual_seed(context.seed)
        torch.set_num_threads(context.n_thread)
        torch.set_default_dtype(torch.float32)
        self.device, self.r_max = torch.device(context.device), options["r_max"]
        self.n_class = context.n_node_class
        self.has_forces = any(field["name"] == "forces" for field in context.own_fields)
        self.force_weight, self.energy_unit = options["force_weight"], context.target_deviation
        block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
        irreps = "+".join(f"{options['channels']}x{l}{'eo'[l % 2]}" for l in range(options["max_l"] + 1))
        self.model = modules.MACE(
            r_max=self.r_max, num_bessel=8, num_polynomial_cutoff=5, max_ell=options["max_ell"],
            interaction_cls=block, interaction_cls_first=block, num_interactions=options["num_interactions"],
            num_elements=self.n_class, hidden_irreps=o3.Irreps(irreps), MLP_irreps=o3.Irreps("16x0e"),
            atomic_energies=numpy.zeros(self.n_class), avg_num_neighbors=10.0,
            atomic_numbers=list(range(1, self.n_class + 1)), correlation=options["correlation"],
            gate=torch.nn.functional.silu,
        ).to(self.device)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.n_parameter = sum(p.numel() for p in self.parameters)
        self.optimizer = torch.optim.Adam(self.model.parameters(), weight_decay=context.weight_decay, amsgrad=True)

    def tensor(self, array, dtype=None):
        # A copy, because the memory will be overwritten.
        return torch.tensor(array, dtype=dtype, device=self.device)

    def predictions(self, batch, forces=False):
        """Energies [n_graph] in standard deviations of the target, and their negative gradient [n_node, 3] or None."""
        displacement = batch.displacement.copy()
        # The radial basis is undefined at 0, the length of padding edges; beyond the cutoff they contribute nothing.
        displacement[batch.real.n_edge :, 0] = 2 * self.r_max
        displacement = self.tensor(displacement)
        classes = self.tensor(batch.node_class, torch.long)
        data = {
            "node_attrs": torch.nn.functional.one_hot(classes, self.n_class).to(displacement.dtype),
            # Only differences of positions matter, and these are given.
            "positions": displacement.new_zeros(batch.n_node, 3),
            "shifts": displacement,
            "unit_shifts": torch.zeros_like(displacement),
            "cell": displacement.new_zeros(3 * batch.n_graph, 3),
            "edge_index": torch.stack([self.tensor(a, torch.long) for a in (batch.sender, batch.receiver)]),
            "batch": self.tensor(batch.graph_of, torch.long),
            "ptr": self.tensor(batch.graph_offset, torch.long),
        }
        predicted = self.model(data, training=forces, compute_force=forces)
        return predicted["energy"], predicted["forces"]

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
        rows, target, weight = (self.tensor(a) for a in (batch.output_row, batch.output_target, batch.output_weight))
        energy, forces = self.predictions(batch, forces=self.has_forces)
        loss = (energy[rows] - target) ** 2
        if self.has_forces:
            loss = loss + self.force_weight * self.force_errors(batch, forces)[rows]
        total = torch.where(weight > 0, weight * loss, 0.0).sum()
        self.optimizer.zero_grad(set_to_none=True)
        (batch.scale / batch.weight_sum * total).backward()
        return total.detach()

    def force_errors(self, batch, forces):
        """The mean squared error of the force components of each structure [n_graph]."""
        n_node = batch.real.n_node
        error = forces[:n_node] - self.tensor(batch.forces[:n_node]) / self.energy_unit
        graph_of = self.tensor(batch.graph_of[:n_node], torch.long)
        total = error.new_zeros(batch.n_graph).index_add(0, graph_of, (error**2).mean(1))
        return total / self.tensor(batch.n_node_of).clamp(min=1)

    def update(self, learning_rate):
        self.optimizer.param_groups[0]["lr"] = learning_rate
        self.optimizer.step()

    @torch.no_grad()
    def predict(self, batch):
        energy, _ = self.predictions(batch)
        return energy[self.tensor(batch.output_row)].cpu().numpy()

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
