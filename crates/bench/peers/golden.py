"""Golden files of the study's program: parameters by batchlab's names, the batch, and the results.

    golden.py [folder]      compares the models in JAX and PyTorch with the files in the folder

The default folder is BATCHLAB_GOLDEN, or else crates/testkit/golden.
"""

import json
import lzma
import os
import pathlib
import re
import sys

import numpy as np

TYPES = {"F64": np.float64, "F32": np.float32, "I32": np.int32, "U32": np.uint32}


def read_safetensors(path):
    """Arrays by name, and the metadata. The format is a length, a JSON header, and the bytes; a file
    that ends in .xz is compressed."""
    data = pathlib.Path(path).read_bytes()
    if str(path).endswith(".xz"):
        data = lzma.decompress(data)
    start = 8 + int.from_bytes(data[:8], "little")
    table = json.loads(data[8:start])
    metadata = table.pop("__metadata__", {})
    arrays = {}
    for name, entry in table.items():
        first, end = entry["data_offsets"]
        values = np.frombuffer(data[start + first:start + end], TYPES[entry["dtype"]])
        arrays[name] = values.reshape(entry["shape"])
    return arrays, metadata


def our_name(model, name):
    """`message_edge_net_1/~/message_edge_net/~/linear_0.w` is `interaction.1.filter.0.weight` of
    SchNet: the n-th use of a module is the n-th interaction."""
    return _painn_name(name) if model == "painn" else _haiku_name(model, name)


def _haiku_name(model, name):
    match = re.fullmatch(r"([a-z_]+?)(?:_(\d+))?/.*linear_(\d+)\.w", name)
    module, step, layer = match[1], match[2] or "0", match[3]
    part = {
        "node_embedding_layer": "embedding.weight",
        "message_edge_net": f"interaction.{step}.{'filter' if model == 'schnet' else 'gate'}."
                            f"{layer}.weight",
        "message_node_net": f"interaction.{step}.sender.weight",
        "edge_update": f"interaction.{step}.edge_update.{layer}.weight",
        "node_update": f"interaction.{step}.update.{layer}.weight",
        "readout_node": f"readout.{layer}.weight",
    }
    return part[module]


def _painn_name(name):
    kind = {"w": "weight", "b": "bias", "embeddings": "weight"}[name.rsplit(".", 1)[1]]
    module = name.removeprefix("painn/~/").rsplit(".", 1)[0]
    match = re.fullmatch(r"layer_(\d)/~/(.+)", module)
    if match:
        part = {"linear_xav": "sender.0", "linear_xav_1": "sender.1", "linear_xav_2": "gates.0",
                "linear_xav_3": "gates.1", "vector_mixing_block": "mixing"}[match[2]]
        return f"interaction.{match[1]}.{part}.{kind}"
    part = {"scalar_embedding": "embedding", "filter_net": "filter", "linear_xav": "readout.0",
            "linear_xav_1": "readout.1"}[module]
    return f"{part}.{kind}"


class Golden:
    """One golden file, in the requested precision."""

    def __init__(self, path, dtype):
        arrays, metadata = read_safetensors(path)
        self.model, self.learning_rate = metadata["model"].lower(), float(metadata["lr"])
        real = lambda name: arrays[name].astype(dtype)
        n_node, target = arrays["input.n_node"], real("input.target")
        self.batch = {
            "node_class": arrays["input.cls"],
            "sender": arrays["input.senders"],
            "receiver": arrays["input.receivers"],
            "distance": real("input.distance"),
            "displacement": real("input.vec"),
            "graph_of": np.repeat(np.arange(len(n_node), dtype=np.int32), n_node),
            "target": target,
            # The last graph is the padding.
            "weight": (np.arange(len(target)) < len(target) - 1).astype(dtype),
        }
        self.parameters, self.gradients = (
            {our_name(self.model, name.removeprefix(prefix)): real(name)
             for name in arrays if name.startswith(prefix)}
            for prefix in ("param.", "grad."))
        self.prediction = arrays["output.prediction"][:-1, 0]
        self.loss = arrays["output.loss"][0]
        self.losses = arrays["output.loss_after_adam_steps"]


def norm_difference(value, expected):
    return float(np.linalg.norm(np.asarray(value, float) - expected) / np.linalg.norm(expected))


def errors(golden, training):
    """Largest relative errors of predictions, loss, gradients, and losses along the steps of Adam."""
    loss, prediction, gradients = training.evaluate()
    prediction = np.asarray(prediction, float)[:-1]
    if gradients.keys() != golden.gradients.keys():
        sys.exit(f"gradients differ in name: {gradients.keys() ^ golden.gradients.keys()}")
    result = {
        "prediction": np.abs(prediction - golden.prediction).max() / np.abs(golden.prediction).max(),
        "loss": abs(loss - golden.loss) / golden.loss,
        "gradient": max(norm_difference(gradients[name], expected)
                        for name, expected in golden.gradients.items()),
    }
    # A step returns the loss before its update.
    losses = np.array([training.step() for _ in golden.losses])
    result["Adam"] = np.abs(losses / golden.losses - 1).max()
    return result


# The golden files of PaiNN use a cutoff of 5 angstrom.
VARIANTS = {"schnet": [{}, {"node_side": True}], "mpeu": [{}, {"node_side": True}],
            "painn": [{"cutoff": 5.0}]}
LIMITS = {"prediction": 1e-5, "loss": 1e-5, "gradient": 1e-4, "Adam": 1e-5}


def files():
    """Name and path of both files of each model."""
    ours = pathlib.Path(__file__).resolve().parents[2] / "testkit/golden"
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("BATCHLAB_GOLDEN")
    for name in [f"{model}_{data}" for model in VARIANTS for data in ("qm9", "aflow")]:
        path = pathlib.Path(given or ours) / f"{name}.safetensors"
        yield name, path if path.exists() else path.with_name(f"{path.name}.xz")


def main():
    import models_jax
    import models_torch

    wrong = []
    for name, path in files():
        golden = Golden(path, np.float32)
        for peer, module in (("JAX", models_jax), ("PyTorch", models_torch)):
            for options in VARIANTS[golden.model]:
                training = module.Training(golden.model, options, golden.parameters, golden.batch,
                                           golden.learning_rate)
                found = errors(golden, training)
                print(f"{name:<14} {peer:<8} {options!s:<20}",
                      "  ".join(f"{what} {error:.1e}" for what, error in found.items()))
                wrong += [f"{name} {peer} {what} {error:.1e}"
                          for what, error in found.items() if not error <= LIMITS[what]]
    if wrong:
        sys.exit("beyond " + str(LIMITS) + ":\n" + "\n".join(wrong))


if __name__ == "__main__":
    main()
