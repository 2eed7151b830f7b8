"""Tests of the code behind the comparison of training steps; they need no external data.

    crates/bench/peers/.venv/bin/python -m unittest discover crates/bench/peers
"""

import unittest

import numpy as np

import models_jax
import models_torch
from blocks import rotated, summarise
from golden import norm_difference, our_name

LATENT = 8


def random_batch(rng):
    """Two graphs of 4 and 3 nodes, and a padding graph."""
    sender = np.array([0, 1, 1, 2, 3, 0, 4, 5, 6, 5, 7, 7], np.int32)
    receiver = np.array([1, 0, 2, 1, 2, 3, 5, 4, 5, 6, 7, 7], np.int32)
    displacement = rng.normal(size=(12, 3)).astype(np.float32)
    displacement[-2:] = 0
    return {
        "node_class": rng.integers(5, size=8).astype(np.int32),
        "sender": sender, "receiver": receiver, "displacement": displacement,
        "distance": np.linalg.norm(displacement, axis=1),
        "graph_of": np.array([0, 0, 0, 0, 1, 1, 1, 2], np.int32),
        "target": np.array([1, -1, 0], np.float32),
        "weight": np.array([1, 1, 0], np.float32),
    }


def random_parameters(rng, model):
    shapes = {"embedding": (5, LATENT), "readout.0": (LATENT, 4), "readout.1": (4, 1)}
    for i in range(3):
        of_part = {
            "schnet": {"filter.0": (150, LATENT), "filter.1": (LATENT, LATENT)},
            "mpeu": {"edge_update.0": (2 * LATENT + (LATENT if i else 150), 16),
                     "edge_update.1": (16, LATENT),
                     "gate.0": (LATENT, LATENT), "gate.1": (LATENT, LATENT)},
            "painn": {"sender.0": (LATENT, LATENT), "sender.1": (LATENT, 3 * LATENT),
                      "mixing": (LATENT, 2 * LATENT),
                      "gates.0": (2 * LATENT, LATENT), "gates.1": (LATENT, 3 * LATENT)},
        }[model]
        if model != "painn":
            of_part |= {"sender": (LATENT, LATENT), "update.0": (LATENT, LATENT),
                        "update.1": (LATENT, LATENT)}
        shapes |= {f"interaction.{i}.{part}": shape for part, shape in of_part.items()}
    if model == "painn":
        shapes["filter"] = (20, 9 * LATENT)
    parameters = {}
    for name, (n_in, n_out) in shapes.items():
        parameters[f"{name}.weight"] = rng.normal(size=(n_in, n_out)) / np.sqrt(n_in)
        if model == "painn" and name != "embedding" and "mixing" not in name:
            parameters[f"{name}.bias"] = 0.1 * rng.normal(size=n_out)
    return {name: values.astype(np.float32) for name, values in parameters.items()}


class Models(unittest.TestCase):
    def outcomes(self, model, batch, parameters):
        for options in {"painn": [{}]}.get(model, [{}, {"node_side": True}]):
            for module in (models_jax, models_torch):
                training = module.Training(model, options, parameters, batch)
                yield (module.__name__, options), training.evaluate(), training.step()
        if model != "painn":
            training = models_jax.Training(model, {"node_side": True, "trimmed": True}, parameters, batch)
            yield "trimmed", training.evaluate(), training.step()

    def test_all_forms_of_a_model_compute_the_same(self):
        for model in models_jax.MODELS:
            rng = np.random.default_rng(1)
            batch, parameters = random_batch(rng), random_parameters(rng, model)
            (_, (loss, prediction, gradients), _), *others = self.outcomes(model, batch, parameters)
            for name, values in gradients.items():
                self.assertGreater(np.linalg.norm(values), 0, f"{name} of {model} is trained")
            for form, (other, other_prediction, other_gradients), stepped in others:
                with self.subTest(model=model, form=form):
                    self.assertAlmostEqual(other / loss, 1, delta=1e-5)
                    self.assertAlmostEqual(stepped / loss, 1, delta=1e-5)
                    self.assertLess(norm_difference(other_prediction[:2], prediction[:2]), 1e-5)
                    for name, values in gradients.items():
                        self.assertLess(norm_difference(other_gradients[name], values), 1e-3, name)

    def test_padding_does_not_count(self):
        for model in models_jax.MODELS:
            rng = np.random.default_rng(2)
            batch, parameters = random_batch(rng), random_parameters(rng, model)
            for module in (models_jax, models_torch):
                losses = []
                for target in (0, 1e6):
                    batch["target"] = np.array([1, -1, target], np.float32)
                    losses.append(module.Training(model, {}, parameters, batch).evaluate()[0])
                self.assertEqual(*losses, (model, module))


class Blocks(unittest.TestCase):
    def test_every_system_comes_first_in_turn(self):
        self.assertEqual([rotated(["a", "b", "c"], block) for block in (0, 1, 4)],
                         [["a", "b", "c"], ["b", "c", "a"], ["b", "c", "a"]])

    def test_ratios_are_of_blocks_that_belong_together(self):
        ours = [[1.0, 2.0, 9.0], [4.0, 4.0], [6.0]]
        samples = {"ours": ours, "theirs": [[3 * step for step in block] for block in ours]}
        row = summarise(samples, "ours")["theirs"]
        self.assertEqual(row["blocks"], [6, 12, 18])
        self.assertEqual(row["median"], 12)
        self.assertAlmostEqual(row["ratio"], 3)
        np.testing.assert_allclose(row["ratio_interval"], [3, 3])
        self.assertEqual((row["least"], row["least_ratio"]), (3, 3))


class Names(unittest.TestCase):
    def test_names_of_the_studys_program(self):
        for model, theirs, ours in [
            ("schnet", "message_edge_net_2/~/message_edge_net/~/linear_1.w",
             "interaction.2.filter.1.weight"),
            ("mpeu", "message_edge_net/~/message_edge_net/~/linear_0.w",
             "interaction.0.gate.0.weight"),
            ("mpeu", "edge_update_1/~/edge_update/~/linear_0.w",
             "interaction.1.edge_update.0.weight"),
            ("painn", "painn/~/layer_2/~/linear_xav_3.b", "interaction.2.gates.1.bias"),
            ("painn", "painn/~/linear_xav_1.w", "readout.1.weight"),
        ]:
            self.assertEqual(our_name(model, theirs), ours)


if __name__ == "__main__":
    unittest.main()
