"""A minimal engine: a linear model of the number of nodes of each class in a graph, trained by gradient descent.

Copy it to start your own. It needs only NumPy.
"""

import numpy
from batchlab_worker import save, saved


class Linear:
    name, version = "numpy", numpy.__version__

    def __init__(self, context):
        self.weight = numpy.zeros(context.n_node_class + 1)
        self.n_parameter = self.weight.size

    def counts(self, batch):
        """Number of nodes of each class in the graph of each output, in tens, and 1 for the bias."""
        counts = numpy.zeros((batch.n_graph, self.weight.size))
        numpy.add.at(counts, (batch.graph_of, batch.node_class), 0.1)
        counts[:, -1] = 1
        return counts[batch.output_row]

    def step(self, batch, learning_rate):
        loss_sum, gradient = self.gradients(batch)
        self.apply(gradient, learning_rate)
        return loss_sum

    # The halves of a step. Only several ranks that train together need them apart.
    def gradients(self, batch):
        counts = self.counts(batch)
        error = counts @ self.weight - batch.output_target
        gradient = 2 * batch.scale / batch.weight_sum * counts.T @ (batch.output_weight * error)
        return batch.output_weight @ error**2, gradient

    def apply(self, gradient, learning_rate):
        self.weight -= learning_rate * gradient

    def predict(self, batch):
        return self.counts(batch) @ self.weight

    def state(self):
        return save({"weight": self.weight})

    def restore(self, data):
        self.weight = saved(data)["weight"]


def open(context):
    if context.loss != "mse" or context.output_width != 1:
        raise ValueError("this model predicts one number per graph; use training.loss = \"mse\"")
    return Linear(context)
