"""SchNet, MPEU and PaiNN in JAX with jraph's segment functions, as trained in arXiv 2502.00944.

Parameters are a dictionary keyed by batchlab's names, so that both sides start from the same numbers.
With `node_side`, anything that depends only on the sender is computed once per node instead of once
per edge as in the study's program, and the layer on [h_sender; h_receiver; e] is split into its three
parts. The mathematics is the same; the compiler does not do this on its own. With `trimmed`, Gaussians
that are below 1e-12 for every edge of the batch are left out, as are their rows of the first layer.
"""

import functools
import math

import jax
import jax.numpy as jnp
import jraph
import numpy as np

N_INTERACTION = 3


def ssp(x):
    """Shifted softplus."""
    return jax.nn.softplus(x) - math.log(2.0)


def identity(x):
    return x


def perceptron(p, name, x, activation, last=identity):
    """Two layers, with biases if the parameters include them."""
    for layer, act in enumerate((activation, last)):
        x = x @ p[f"{name}.{layer}.weight"]
        bias = p.get(f"{name}.{layer}.bias")
        x = act(x if bias is None else x + bias)
    return x


N_GAUSSIAN, SPACING = 150, 0.1


def gaussians(distance, n=None):
    """Returns [n_edge, n]; the divisor is the spacing itself."""
    centre = jnp.arange(n or N_GAUSSIAN, dtype=distance.dtype) * SPACING
    return jnp.exp(-((distance[:, None] - centre) ** 2) / SPACING)


def n_not_vanishing(distance):
    """How many of the first Gaussians are above 1e-12 for some of these distances."""
    reach = math.sqrt(-SPACING * math.log(1e-12))
    return min(N_GAUSSIAN, math.floor((float(distance.max()) + reach) / SPACING) + 1)


def mean_of_graphs(value, batch):
    return jraph.segment_mean(value, batch["graph_of"], len(batch["target"]))


def schnet(p, batch, node_side=False, n_gaussian=None):
    sender, receiver, n_node = batch["sender"], batch["receiver"], len(batch["node_class"])
    basis = gaussians(batch["distance"], n_gaussian)
    h = p["embedding.weight"][batch["node_class"]]
    for i in range(N_INTERACTION):
        name = f"interaction.{i}"
        filters = perceptron(trimmed(p, f"{name}.filter.0.weight", n_gaussian), f"{name}.filter", basis, ssp, ssp)
        weight = p[f"{name}.sender.weight"]
        sent = (h @ weight)[sender] if node_side else h[sender] @ weight
        received = jraph.segment_mean(filters * sent, receiver, n_node)
        h = h + perceptron(p, f"{name}.update", received, ssp)
    return mean_of_graphs(perceptron(p, "readout", h, ssp), batch)[:, 0]


def trimmed(p, name, n):
    """The parameters, of one of which only the first n rows are used."""
    return p if n is None else p | {name: p[name][:n]}


def mpeu(p, batch, node_side=False, n_gaussian=None):
    sender, receiver, n_node = batch["sender"], batch["receiver"], len(batch["node_class"])
    e = gaussians(batch["distance"], n_gaussian)
    h = p["embedding.weight"][batch["node_class"]]
    for i in range(N_INTERACTION):
        name, width = f"interaction.{i}", h.shape[1]
        if node_side:
            weight = p[f"{name}.edge_update.0.weight"][:2 * width + e.shape[1]]
            hidden = ((h @ weight[:width])[sender] + (h @ weight[width:2 * width])[receiver]
                      + e @ weight[2 * width:])
            e = ssp(hidden) @ p[f"{name}.edge_update.1.weight"]
        else:
            e = perceptron(p, f"{name}.edge_update", jnp.concatenate([h[sender], h[receiver], e], 1), ssp)
        gate = perceptron(p, f"{name}.gate", e, ssp, ssp)
        weight = p[f"{name}.sender.weight"]
        sent = (h @ weight)[sender] if node_side else h[sender] @ weight
        received = jraph.segment_mean(gate * sent, receiver, n_node)
        h = h + perceptron(p, f"{name}.update", received, ssp)
    return mean_of_graphs(perceptron(p, "readout", h, ssp), batch)[:, 0]


def painn(p, batch, cutoff=6.0, eps=1e-8, limit=100.0):
    """As in the study's program, the filters of all layers come from one product, and a message takes the
    features of the receiver and arrives at the sender."""
    sender, receiver, n_node = batch["sender"], batch["receiver"], len(batch["node_class"])
    silu, d = jax.nn.silu, batch["displacement"]
    r = jnp.sqrt((d**2).sum(1, keepdims=True) + eps)
    direction = (d / (r + eps))[:, :, None]
    n_gaussian = p["filter.weight"].shape[0]
    centre = jnp.linspace(0.0, cutoff, n_gaussian, dtype=d.dtype)
    basis = jnp.exp(-0.5 * ((r - centre) / (cutoff / n_gaussian)) ** 2)
    taper = jnp.where(r < cutoff, 0.5 * (jnp.cos(math.pi * r / cutoff) + 1.0), 0.0)
    filters = (basis @ p["filter.weight"] + p["filter.bias"]) * taper
    filters = jnp.split(filters, N_INTERACTION, axis=1)
    s = p["embedding.weight"][batch["node_class"]]
    v = jnp.zeros((n_node, 3, s.shape[1]), s.dtype)
    for i in range(N_INTERACTION):
        name = f"interaction.{i}"
        x = perceptron(p, f"{name}.sender", s, silu)
        ds, dv1, dv2 = jnp.split(filters[i] * x[receiver], 3, axis=1)
        dv = dv1[:, None] * direction + dv2[:, None] * v[receiver]
        ds = jraph.segment_sum(ds, sender, n_node)
        dv = jraph.segment_sum(dv, sender, n_node)
        s, v = s + jnp.clip(ds, -limit, limit), v + jnp.clip(dv, -limit, limit)

        left, right = jnp.split(v @ p[f"{name}.mixing.weight"], 2, axis=2)
        norm = jnp.sqrt((right**2).sum(1) + eps)
        x = perceptron(p, f"{name}.gates", jnp.concatenate([s, norm], 1), silu)
        ds, dv, dsv = jnp.split(x, 3, axis=1)
        ds = ds + dsv * (left * right).sum(1)
        dv = left * dv[:, None]
        s, v = s + jnp.clip(ds, -limit, limit), v + jnp.clip(dv, -limit, limit)
    return mean_of_graphs(perceptron(p, "readout", s, silu), batch)[:, 0]


MODELS = {"schnet": schnet, "mpeu": mpeu, "painn": painn}


def loss_of(network, p, batch):
    """Weighted mean squared error over the outputs (padding has weight 0), and predictions."""
    prediction, weight = network(p, batch), batch["weight"]
    error = jnp.where(weight > 0, weight * (prediction - batch["target"]) ** 2, 0.0)
    return error.sum() / weight.sum(), prediction


def adam(p, gradient, first, second, n_update, learning_rate):
    """Adam (Kingma and Ba 2015) with betas 0.9 and 0.999 and eps 1e-8."""
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = jax.tree.map(lambda m, g: 0.999 * m + 0.001 * g**2, second, gradient)
    a, b = 1 - 0.9**n_update, 1 - 0.999**n_update
    change = lambda w, m, v: w - learning_rate * (m / a) / (jnp.sqrt(v / b) + 1e-8)
    return jax.tree.map(change, p, first, second), first, second


class Training:
    """One model on one batch, kept in host memory as NumPy arrays and passed in every step, as in the
    study's program. A step is compiled once."""

    def __init__(self, model, options, parameters, batch, learning_rate=1e-4):
        self.batch = batch
        options = dict(options)
        if options.pop("trimmed", False):
            options["n_gaussian"] = n_not_vanishing(batch["distance"])
        network = functools.partial(MODELS[model], **options)
        value_and_grad = jax.value_and_grad(functools.partial(loss_of, network), has_aux=True)

        def step(state, batch):
            p, first, second, n_update = state
            (loss, _), gradient = value_and_grad(p, batch)
            n_update = n_update + 1.0
            p, first, second = adam(p, gradient, first, second, n_update, learning_rate)
            return (p, first, second, n_update), loss

        # Reuses the memory of the state.
        self.compiled_step = jax.jit(step, donate_argnums=0)
        self.compiled_evaluation = jax.jit(value_and_grad)
        self.load(parameters)

    def load(self, parameters):
        p = {name: jnp.array(value) for name, value in parameters.items()}
        zeros = lambda: jax.tree.map(jnp.zeros_like, p)
        self.state = (p, zeros(), zeros(), jnp.zeros(()))

    def step(self):
        """Makes one training step; returns the loss before it."""
        self.state, loss = self.compiled_step(self.state, self.batch)
        jax.block_until_ready(self.state)
        return float(loss)

    def evaluate(self):
        """Loss, predictions and gradients by name, at the current parameters."""
        (loss, prediction), gradients = self.compiled_evaluation(self.state[0], self.batch)
        return float(loss), np.asarray(prediction), jax.tree.map(np.asarray, gradients)
