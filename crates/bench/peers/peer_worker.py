"""One peer in its own process: answers JSON requests line by line, like `batchlab-bench
serve-training`.

    peer_worker.py jax|eager|compiled THREADS [cpu|cuda:0 [f32|tf32]]
"""

import json
import os
import pathlib
import sys
import time

THREADS = int(sys.argv[2])
DEVICE = sys.argv[3] if len(sys.argv) > 3 else "cpu"
PRECISION = sys.argv[4] if len(sys.argv) > 4 else "f32"
os.environ["OMP_NUM_THREADS"] = str(THREADS)  # must be set before a library is loaded

import numpy as np

from golden import norm_difference, read_safetensors

# Relative to the norm, equivalent programs in single precision differ by less than this. The gradient
# of a single parameter is a sum of terms that may cancel: on random targets, single and double
# precision of the same program differ by 2e-4.
LIMIT = {"loss": 2e-5, "prediction": 5e-5, "all gradients": 1e-4, "gradient": 1e-3}
if PRECISION == "tf32":
    # Factors have 10 fraction bits instead of 23.
    LIMIT = {"loss": 5e-3, "prediction": 5e-3, "all gradients": 1e-2, "gradient": 1e-1}
# Thousands of steps on one batch end near a minimum, where the terms of every gradient cancel.
LIMIT_TRAINED = LIMIT | {"gradient": 10 * LIMIT["gradient"]}


def split(arrays, prefix):
    return {name.removeprefix(prefix): values.copy()
            for name, values in arrays.items() if name.startswith(prefix)}


class Jax:
    def __init__(self):
        import jax
        import models_jax
        self.jax, self.models = jax, models_jax

    def training(self, **case):
        return self.models.Training(**case)

    def flushes_denormals(self):
        return float(self.jax.jit(lambda x: x * np.float32(1e-10))(np.float32(1e-30))) == 0.0

    def square(self, matrix):
        product = self.jax.jit(lambda a: a @ a)
        return lambda: product(matrix).block_until_ready()

    def close(self):
        self.jax.clear_caches()


class Torch:
    def __init__(self, compiled):
        import torch
        # Threads inherit this from the thread that starts them.
        torch.set_flush_denormal(True)
        torch.set_num_threads(THREADS)
        torch.set_float32_matmul_precision({"f32": "highest", "tf32": "high"}[PRECISION])
        import models_torch
        self.torch, self.models, self.compiled = torch, models_torch, compiled

    def training(self, **case):
        return self.models.Training(**case, compiled=self.compiled, device=DEVICE)

    def flushes_denormals(self):
        return bool((self.torch.full((10**6,), 1e-30) * 1e-10 == 0.0).all())

    def square(self, matrix):
        matrix = self.torch.from_numpy(matrix).to(DEVICE)

        def product():
            matrix @ matrix
            if DEVICE != "cpu":
                self.torch.cuda.synchronize()
        return product

    def copies(self, size):
        """Returns a function that copies `size` bytes within device memory."""
        source = self.torch.empty(size // 4, device=DEVICE)
        target = self.torch.empty_like(source)

        def copy():
            target.copy_(source)
            self.torch.cuda.synchronize()
        return copy

    def launches(self, n):
        """Returns a function that launches `n` minimal kernels and waits once."""
        number = self.torch.zeros(1, device=DEVICE)

        def launch():
            for _ in range(n):
                number.add_(1.0)
            self.torch.cuda.synchronize()
        return launch

    def close(self):
        if self.compiled:
            self.torch.compiler.reset()


def open_case(peer, cases, folder, model, options):
    """Loads batchlab's files and makes a first step, which compiles."""
    arrays, _ = read_safetensors(pathlib.Path(folder) / "state.safetensors")
    batch, _ = read_safetensors(pathlib.Path(folder) / "batch.safetensors")
    training = peer.training(model=model, options=options, batch=batch,
                             parameters=split(arrays, "parameter."))
    cases.append(training)
    start = time.perf_counter()
    training.step()
    return {"first_step_s": time.perf_counter() - start}


def compile_case(peer, folder, model, options):
    """Seconds that JAX takes to trace and to compile the step for the shapes of a batch."""
    arrays, _ = read_safetensors(pathlib.Path(folder) / "state.safetensors")
    batch, _ = read_safetensors(pathlib.Path(folder) / "batch.safetensors")
    training = peer.training(model=model, options=options, batch=batch,
                             parameters=split(arrays, "parameter."))
    start = time.perf_counter()
    traced = training.compiled_step.lower(training.state, training.batch)
    middle = time.perf_counter()
    traced.compile()
    return {"trace_s": middle - start, "compile_s": time.perf_counter() - middle}


def compare(training, folder, trained):
    """Relative differences from batchlab's loss, predictions and gradients at its parameters."""
    arrays, _ = read_safetensors(pathlib.Path(folder) / "state.safetensors")
    training.load(split(arrays, "parameter."))
    loss, prediction, gradients = training.evaluate()
    expected = split(arrays, "gradient.")
    if gradients.keys() != expected.keys():
        raise SystemExit(f"gradients differ in name: {gradients.keys() ^ expected.keys()}")
    real = np.asarray(training.batch["weight"]) > 0
    found = {
        "loss": abs(loss / float(arrays["loss"][0]) - 1),
        "prediction": norm_difference(prediction[real], arrays["prediction"][real]),
        "all gradients": norm_difference(joined(gradients, expected), joined(expected, expected)),
        "gradient": max(norm_difference(gradients[name], values)
                        for name, values in expected.items()),
    }
    limit = LIMIT_TRAINED if trained else LIMIT
    for what, error in found.items():
        if not error <= limit[what]:
            return {"refused": f"{what} differs from batchlab's by {error:.1e} of its norm, more "
                               f"than {limit[what]:.0e}"}
    return found


def joined(arrays, order):
    return np.concatenate([np.ravel(arrays[name]) for name in order])


def timed_steps(training, n_step):
    """Milliseconds of each step, after one uncounted step that warms the caches."""
    training.step()
    milliseconds = []
    for _ in range(n_step):
        start = time.perf_counter()
        loss = training.step()
        milliseconds.append((time.perf_counter() - start) * 1e3)
    return {"ms": milliseconds, "loss": loss}


def least_seconds(action):
    seconds = []
    for _ in range(12):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds[2:])


def square(peer, size):
    product = peer.square(np.random.default_rng(0).random((size, size), np.float32))
    return {"giga_per_second": 2 * size**3 / least_seconds(product) / 1e9}


def gpu(peer):
    """Peak rates of the GPU: matrix products, memory traffic, kernel launches."""
    size, n_byte, n_launch = 8192, 1 << 30, 1000
    return {**square(peer, size),
            "giga_bytes_per_second": 2 * n_byte / least_seconds(peer.copies(n_byte)) / 1e9,
            "launch_us": least_seconds(peer.launches(n_launch)) / n_launch * 1e6}


def memory():
    status = pathlib.Path("/proc/self/status").read_text()
    size = lambda name: 1024 * int(status.split(name)[1].split()[0])
    return {"now_bytes": size("VmRSS:"), "peak_bytes": size("VmHWM:")}


def main():
    peer = Jax() if sys.argv[1] == "jax" else Torch(compiled=sys.argv[1] == "compiled")
    cases = []
    # Standard output is reserved for answers; anything that libraries print goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        match request.pop("do"):
            case "open":
                answer = open_case(peer, cases, **request)
            case "compile":
                answer = compile_case(peer, **request)
            case "compare":
                answer = compare(cases[request["case"]], request["folder"],
                                 request.get("trained", False))
            case "time":
                answer = timed_steps(cases[request["case"]], request["n_step"])
            case "denormals":
                answer = {"flushed": peer.flushes_denormals()}
            case "square":
                answer = square(peer, request["size"])
            case "gpu":
                answer = gpu(peer)
            case "memory":
                answer = memory()
            case "close":
                cases.clear()
                peer.close()
                answer = {}
            case unknown:
                raise SystemExit(f"{unknown!r} is not a request")
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
