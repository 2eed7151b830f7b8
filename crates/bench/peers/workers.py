"""Our binary and the peers as processes that answer JSON requests line by line."""

import ctypes.util
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


# JAX and PyTorch allocate the memory of large arrays anew in every step. glibc requests anything larger
# than 32 MiB from the system each time, whatever its settings, and a step then spends much of its time
# on page faults. This allocator keeps freed memory (Debian: libtcmalloc-minimal4).
KEEPING = "tcmalloc_minimal"


def keeping_allocator():
    """Environment that preloads an allocator which keeps freed memory."""
    library = ctypes.util.find_library(KEEPING)
    if library is None:
        sys.exit(f"lib{KEEPING} is missing, without which the peers are slower than they need be: "
                 "apt-get install libtcmalloc-minimal4")
    return {"LD_PRELOAD": library, "TCMALLOC_RELEASE_RATE": "0"}


def require_loaded(worker):
    """Exits if the allocator was not preloaded: the loader itself only prints a warning."""
    if KEEPING not in pathlib.Path(f"/proc/{worker.process.pid}/maps").read_text():
        sys.exit(f"{worker.name} runs without lib{KEEPING}, so its times say little")


class Worker:
    """A process pinned to the first `threads` cores."""

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


def ours(binary, threads, device="cpu", precision="f32", options=(), environment=None):
    if not binary.exists():
        sys.exit(f"{binary} is missing: cargo build --release -p batchlab-bench")
    command = [str(binary), "serve-training", "--threads", str(threads), "--device", device,
               "--precision", precision, *options]
    return Worker(command, threads, environment or {})


def peer(kind, threads, device="cpu", precision="f32", keeps_memory=True):
    """A peer on the CPU or on the GPU `cuda:0`, where matrices are multiplied in single precision or in
    TF32."""
    environment = keeping_allocator() if keeps_memory else {}
    if kind == "jax":
        environment["JAX_PLATFORMS"] = device.split(":")[0]
        # JAX would preallocate three quarters of the GPU's memory.
        environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        if device != "cpu":
            environment["JAX_DEFAULT_MATMUL_PRECISION"] = {"f32": "highest",
                                                           "tf32": "tensorfloat32"}[precision]
    command = [sys.executable, str(HERE / "peer_worker.py"), kind, str(threads), device, precision]
    worker = Worker(command, threads, environment)
    if keeps_memory:
        worker.ask("memory")  # the answer means that the process is up
        require_loaded(worker)
    return worker
