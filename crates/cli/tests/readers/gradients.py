"""Compares predictions and gradients of schnet_jax.py with those of the study's program on the golden batches.

Usage: gradients.py FOLDER-OF-THE-PLUGIN GOLDEN.safetensors.xz
"""

import importlib.util
import json
import lzma
import sys
import types

import numpy

LAYERS = {
    "message_edge_net": ("filter.0", "filter.1"),
    "message_node_net": ("sender",),
    "node_update": ("update.0", "update.1"),
    "readout_node": ("readout.0", "readout.1"),
}
TYPES = {"F32": "<f4", "F64": "<f8", "I32": "<i4"}


def module(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def tensors(path):
    data = lzma.open(path).read()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    part = lambda of: data[start + of["data_offsets"][0] : start + of["data_offsets"][1]]
    array = lambda of: numpy.frombuffer(part(of), TYPES[of["dtype"]]).reshape(of["shape"])
    return {name: array(of) for name, of in header.items()}


def our_name(golden):
    """`node_update_2/~/node_update/~/linear_1.w` is `interaction.2.update.1.weight`."""
    first, *_, last = golden.split("/")
    stem, _, number = first.rpartition("_")
    stem, number = (stem, number) if number.isdigit() else (first, "0")
    if stem == "node_embedding_layer":
        return "embedding.weight"
    layer = LAYERS[stem][int(last[len("linear_")])]
    return f"{layer}.weight" if stem == "readout_node" else f"interaction.{number}.{layer}.weight"


def main(plugin, golden):
    module("batchlab_worker", f"{plugin}/worker/batchlab_worker.py")
    engine_file = module("schnet_jax", f"{plugin}/engines/schnet_jax.py")
    t = tensors(golden)
    single = lambda name: t[name].astype(numpy.float32).reshape(-1)
    n_graph = len(t["input.n_node"])
    real = (numpy.arange(n_graph) < n_graph - 1).astype(numpy.float32)
    batch = types.SimpleNamespace(
        node_class=t["input.cls"],
        sender=t["input.senders"],
        receiver=t["input.receivers"],
        distance=single("input.distance"),
        graph_of=numpy.repeat(numpy.arange(n_graph, dtype=numpy.int32), t["input.n_node"]),
        output_row=numpy.arange(n_graph, dtype=numpy.int32),
        output_target=single("input.target"),
        output_weight=real,
    )
    for node_side in (False, True):
        context = types.SimpleNamespace(
            n_node_class=len(t["input.classes"]), output_width=1, seed=0, loss="mse", device="cpu",
            options={"node_side": node_side},
        )
        engine = engine_file.open(context)
        given = {our_name(name[6:]): array for name, array in t.items() if name.startswith("param.")}
        assert {n: a.shape for n, a in given.items()} == {n: a.shape for n, a in engine.parameters.items()}
        engine.parameters = given
        prediction = numpy.asarray(engine.predict(batch))[: n_graph - 1]
        expected = t["output.prediction"][: n_graph - 1]
        worst = abs(prediction - expected).max() / abs(expected).max()
        assert worst < 1e-5, f"predictions differ by {worst}"
        gradients, worst = engine.gradient(given, engine.arrays(batch)), 0
        for name, expected in t.items():
            if name.startswith("grad."):
                difference = numpy.linalg.norm(gradients[our_name(name[5:])] - expected)
                worst = max(worst, difference / numpy.linalg.norm(expected))
        assert worst < 1e-4, f"gradients differ by {worst}"
        print(f"node_side = {node_side}: {len(given)} gradients within {worst:.1e}")


main(*sys.argv[1:])
