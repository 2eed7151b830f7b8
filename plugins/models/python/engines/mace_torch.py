"""MACE (`mace-torch`), trained on energies with the edges that batchlab gives; model.fields needs "displacement".

options: `r_max`, `channels`, `max_l`, `max_ell`, `correlation`, `num_interactions`.
"""

import io

import mace
import numpy
import torch
from e3nn import o3
from mace import modules

OPTIONS = {"r_max": 5.0, "channels": 32, "max_l": 1, "max_ell": 2, "correlation": 2, "num_interactions": 2}


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
        self.n_parameter = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        self.optimizer = torch.optim.Adam(self.model.parameters(), weight_decay=context.weight_decay, amsgrad=True)

    def tensor(self, array, dtype=None):
        # A copy, because the memory is written to again.
        return torch.tensor(array, dtype=dtype, device=self.device)

    def energies(self, batch):
        """Of each graph, [n_graph]."""
        displacement = batch.displacement.copy()
        # Its radial basis is not defined at 0, where edges of padding are; beyond the cutoff they count nothing.
        displacement[batch.real.n_edge :, 0] = 2 * self.r_max
        displacement = self.tensor(displacement)
        classes = self.tensor(batch.node_class, torch.long)
        data = {
            "node_attrs": torch.nn.functional.one_hot(classes, self.n_class).to(displacement.dtype),
            # Positions enter only through differences, and these are given.
            "positions": displacement.new_zeros(batch.n_node, 3),
            "shifts": displacement,
            "unit_shifts": torch.zeros_like(displacement),
            "cell": displacement.new_zeros(3 * batch.n_graph, 3),
            "edge_index": torch.stack([self.tensor(a, torch.long) for a in (batch.sender, batch.receiver)]),
            "batch": self.tensor(batch.graph_of, torch.long),
            "ptr": self.tensor(batch.graph_offset, torch.long),
        }
        return self.model(data, training=self.model.training, compute_force=False)["energy"]

    def step(self, batch, learning_rate):
        rows, target, weight = (self.tensor(a) for a in (batch.output_row, batch.output_target, batch.output_weight))
        error = self.energies(batch)[rows] - target
        total = torch.where(weight > 0, weight * error**2, 0.0).sum()
        self.optimizer.param_groups[0]["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        (batch.scale / batch.weight_sum * total).backward()
        self.optimizer.step()
        return float(total.detach())

    @torch.no_grad()
    def predict(self, batch):
        return self.energies(batch)[self.tensor(batch.output_row)].cpu().numpy()

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
