"""SchNet in JAX: the variant of arXiv 2502.00944 and of batchlab's model `schnet`.

options = { node_side = true } multiplies by the sender matrix once per node instead of once per edge as the study's
program does; `latent_size`, `n_interaction`, `n_gaussian` are as in `schnet`. JAX's allocator is configured through the
environment (XLA_PYTHON_CLIENT_PREALLOCATE=false if engines share a GPU).
"""

import contextlib
import functools
import math
import time

import jax
import jax.numpy as jnp
import numpy
from batchlab_worker import save, saved

FIELDS = ("node_class", "sender", "receiver", "distance", "graph_of", "output_row", "output_target", "output_weight")


def ssp(x):
    """Shifted softplus."""
    return jax.nn.softplus(x) - math.log(2.0)


def segment_mean(values, segments, n):
    total = jax.ops.segment_sum(values, segments, n)
    count = jax.ops.segment_sum(jnp.ones_like(values[:, :1]), segments, n)
    return total / jnp.maximum(count, 1.0)


def shapes(options, context):
    """Parameter shapes, under the names of batchlab's own model."""
    latent, n_gaussian = options["latent_size"], options["n_gaussian"]
    found = {"embedding.weight": (context.n_node_class, latent)}
    for i in range(options["n_interaction"]):
        name = f"interaction.{i}"
        found[f"{name}.filter.0.weight"] = (n_gaussian, latent)
        for layer in ("filter.1", "sender", "update.0", "update.1"):
            found[f"{name}.{layer}.weight"] = (latent, latent)
    found["readout.0.weight"] = (latent, latent // 2)
    found["readout.1.weight"] = (latent // 2, context.output_width)
    return found


def initial(shape, random):
    deviation = 1.0 if shape[0] < 20 else 1.0 / math.sqrt(shape[0])
    return random.normal(0.0, deviation, shape).astype(numpy.float32)


def predict(options, p, batch):
    """Predictions [n_output, 1]."""
    n_node, n_graph = batch["node_class"].shape[0], batch["output_row"].shape[0]
    spacing = 0.1
    centre = jnp.arange(options["n_gaussian"], dtype=jnp.float32) * spacing
    basis = jnp.exp(-((batch["distance"][:, None] - centre) ** 2) / spacing)
    h = p["embedding.weight"][batch["node_class"]]
    for i in range(options["n_interaction"]):
        name = f"interaction.{i}"
        filters = ssp(ssp(basis @ p[f"{name}.filter.0.weight"]) @ p[f"{name}.filter.1.weight"])
        weight = p[f"{name}.sender.weight"]
        sent = (h @ weight)[batch["sender"]] if options["node_side"] else h[batch["sender"]] @ weight
        received = segment_mean(filters * sent, batch["receiver"], n_node)
        h = h + ssp(received @ p[f"{name}.update.0.weight"]) @ p[f"{name}.update.1.weight"]
    values = ssp(h @ p["readout.0.weight"]) @ p["readout.1.weight"]
    return segment_mean(values, batch["graph_of"], n_graph)[batch["output_row"]]


def loss_sum(options, p, batch):
    weight = batch["output_weight"]
    error = predict(options, p, batch)[:, 0] - batch["output_target"]
    # Selected rather than multiplied, so that even NaN predictions for padding do not count.
    return jnp.where(weight > 0, weight * error**2, 0.0).sum()


def mean_loss(options, p, batch, scale):
    total = loss_sum(options, p, batch)
    return scale * total / batch["output_weight"].sum(), total


def gradients(options, p, batch, scale):
    return jax.grad(functools.partial(mean_loss, options), has_aux=True)(p, batch, scale)


def adam(p, moments, gradient, learning_rate, n_update):
    """Kingma and Ba 2015."""
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], gradient)
    second = jax.tree.map(lambda m, g: 0.999 * m + 0.001 * g**2, moments[1], gradient)
    a, b = 1 - 0.9**n_update, 1 - 0.999**n_update
    change = lambda w, m, v: w - learning_rate * (m / a) / (jnp.sqrt(v / b) + 1e-8)
    return jax.tree.map(change, p, first, second), (first, second)


def train_step(options, p, moments, batch, scale, learning_rate, n_update):
    gradient, total = gradients(options, p, batch, scale)
    return *adam(p, moments, gradient, learning_rate, n_update), total


class SchNet:
    name, version = "jax", jax.__version__

    def __init__(self, context):
        given = {"latent_size": 64, "n_interaction": 3, "n_gaussian": 150, "node_side": False}
        unknown = set(context.options) - set(given)
        if unknown:
            raise ValueError(f"model.options has {', '.join(unknown)}; there are {', '.join(given)}")
        options = given | context.options
        random = numpy.random.default_rng(context.seed)
        self.parameters = {name: initial(shape, random) for name, shape in shapes(options, context).items()}
        zeros = {name: numpy.zeros_like(value) for name, value in self.parameters.items()}
        self.moments = (zeros, zeros)
        self.n_update = 0
        self.n_parameter = sum(value.size for value in self.parameters.values())
        # Parameters and moments are updated in place.
        self.train_step = jax.jit(functools.partial(train_step, options), donate_argnums=(0, 1))
        self.parts = jax.jit(functools.partial(gradients, options)), jax.jit(adam, donate_argnums=(0, 1))
        self.prediction = jax.jit(functools.partial(predict, options))
        self.gradient = jax.jit(jax.grad(lambda p, batch: mean_loss(options, p, batch, 1.0)[0]))
        self.shapes, self.compiling = set(), None

    def arrays(self, batch):
        return {name: getattr(batch, name) for name in FIELDS}

    def step(self, batch, learning_rate):
        self.n_update += 1
        numbers = [numpy.float32(x) for x in (batch.scale, learning_rate, self.n_update)]
        with self.compiling_of(batch):
            self.parameters, self.moments, total = self.train_step(
                self.parameters, self.moments, self.arrays(batch), *numbers
            )
            return float(total)

    def gradients(self, batch):
        """The first half of a step on several ranks: loss sum, and one array for all parameters."""
        with self.compiling_of(batch):
            parts, total = self.parts[0](self.parameters, self.arrays(batch), numpy.float32(batch.scale))
            return float(total), numpy.concatenate([numpy.ravel(parts[name]) for name in self.parameters])

    def apply(self, gradient, learning_rate):
        """The second half, with the gradient of all ranks."""
        self.n_update += 1
        ends = numpy.cumsum([value.size for value in self.parameters.values()])
        parts = zip(self.parameters.items(), numpy.split(gradient, ends[:-1]))
        gradient = {name: part.reshape(value.shape) for (name, value), part in parts}
        numbers = numpy.float32(learning_rate), numpy.float32(self.n_update)
        self.parameters, self.moments = self.parts[1](self.parameters, self.moments, gradient, *numbers)

    @contextlib.contextmanager
    def compiling_of(self, batch):
        """Measures a call that compiles. It includes the step itself, which is short by comparison."""
        begin = time.perf_counter()
        yield
        if batch.shape not in self.shapes:
            self.shapes.add(batch.shape)
            self.compiling = time.perf_counter() - begin

    def take_compile_seconds(self):
        compiling, self.compiling = self.compiling, None
        return compiling

    def predict(self, batch):
        return self.prediction(self.parameters, self.arrays(batch))

    def state(self):
        groups = {"parameter": self.parameters, "moment1": self.moments[0], "moment2": self.moments[1]}
        arrays = {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}
        return save(arrays | {"n_update": numpy.int64(self.n_update)})

    def restore(self, data):
        arrays = saved(data)
        group = lambda prefix: {name: arrays[f"{prefix}.{name}"] for name in self.parameters}
        self.parameters, self.moments = group("parameter"), (group("moment1"), group("moment2"))
        self.n_update = int(arrays["n_update"])


def open(context):
    if context.loss != "mse":
        raise ValueError('this engine minimises the squared error; use training.loss = "mse"')
    if context.n_node_class == 0:
        raise ValueError("SchNet needs classes of nodes, such as elements")
    device = "cpu" if context.device == "cpu" else "cuda"
    jax.config.update("jax_default_device", jax.devices(device)[0])
    return SchNet(context)
