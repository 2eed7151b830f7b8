"""Our binary and the peers as processes that answer requests, lines of JSON."""

import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


# PyTorch asks for the memory of every tensor anew. By default glibc hands large ones back to the
# system each time, and PaiNN on 60,000 edges then spends two thirds of its time on page faults. JAX
# and ours gain nothing by this.
KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "8000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000"}


class Worker:
    """One process on the first `threads` cores."""

    def __init__(self, command, threads, environment={}):
        if not hasattr(os, "sched_setaffinity"):
            sys.exit("processes cannot be bound to cores here; run the comparison on Linux")
        cores = sorted(os.sched_getaffinity(0))[:threads]
        if len(cores) < threads:
            sys.exit(f"{threads} threads were asked for, but there are {len(cores)} cores")
        self.name = " ".join(str(part) for part in command)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **environment},
            preexec_fn=lambda: os.sched_setaffinity(0, cores))

    def ask(self, what, **request):
        self.process.stdin.write(json.dumps({"do": what, **request}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended early; its message is above")
        return json.loads(line)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def ours(binary, threads, device="cpu", precision="f32"):
    if not binary.exists():
        sys.exit(f"{binary} is missing: cargo build --release -p batchlab-bench")
    command = [str(binary), "serve-training", "--threads", str(threads), "--device", device,
               "--precision", precision]
    return Worker(command, threads)


def peer(kind, threads, device="cpu", precision="f32"):
    """A peer on the processor or on the GPU `cuda:0`, there with matrices multiplied in single
    precision or in TF32."""
    environment = {} if kind == "jax" else dict(KEEP_FREED_MEMORY)
    if kind == "jax":
        environment["JAX_PLATFORMS"] = device.split(":")[0]
        # JAX would take three quarters of the GPU's memory at once.
        environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        if device != "cpu":
            environment["JAX_DEFAULT_MATMUL_PRECISION"] = {"f32": "highest",
                                                           "tf32": "tensorfloat32"}[precision]
    command = [sys.executable, str(HERE / "peer_worker.py"), kind, str(threads), device, precision]
    return Worker(command, threads, environment)
