#!/usr/bin/env python3
"""Measures the overhead of running an engine in another process (docs/engines.md).

Usage: engine_overhead.py PROGRAM PYTHON, where PYTHON has NumPy, DuckDB and JAX.

Trains on batches of 31 QM9 molecules. The steps of an engine that does nothing consist of overhead only. schnet_jax.py
is also timed inside its process: the overhead is how much longer a step takes outside.
"""

import pathlib
import subprocess
import sys
import tempfile

EMPTY = """
import numpy
class Engine:
    name, version = "empty", ""
    def step(self, batch, learning_rate): return 1.0
    def predict(self, batch): return numpy.zeros(batch.n_output, numpy.float32)
    def state(self): return b""
    def restore(self, data): pass
def open(context): return Engine()
"""
TIMED = """
import sys, time, numpy
sys.path.insert(0, {engines!r})
import schnet_jax
def open(context):
    engine, inside, step, state = schnet_jax.open(context), [], None, None
    step, state = engine.step, engine.state
    def timed(batch, learning_rate):
        begin = time.perf_counter_ns(); loss = step(batch, learning_rate)
        inside.append(time.perf_counter_ns() - begin); return loss
    def saved():
        numpy.save({inside!r}, inside); return state()
    engine.step, engine.state = timed, saved
    return engine
"""
# Medians: overhead in microseconds, and the ratio of step times outside and inside.
MEASURE = """
import duckdb, numpy, os
outside = duckdb.sql("select step_ns - plan_ns - collate_ns as ns from '{out}/tables/steps/*.parquet' "
                     "order by step").fetchnumpy()["ns"]
inside = numpy.load({inside!r}) if os.path.exists({inside!r}) else 0 * outside
part = slice(len(outside) // 6, None)
print(f"{{numpy.median((outside - inside)[part]) / 1e3:.0f}} us", end="")
if inside.any():
    print(f" of {{numpy.median(inside[part]) / 1e6:.1f}} ms, {{numpy.median(outside[part] / inside[part]):.4f}} times")
else:
    print()
"""


def main(program, python):
    root = pathlib.Path(__file__).resolve().parents[3]
    engines = str(root / "plugins/models/python/engines")
    for name, engine, steps in (("empty", EMPTY, 5000), ("schnet_jax", TIMED, 300)):
        with tempfile.TemporaryDirectory() as folder:
            inside, out, file = f"{folder}/inside.npy", f"{folder}/out", f"{folder}/engine.py"
            pathlib.Path(file).write_text(engine.format(engines=engines, inside=inside) if engine is TIMED else engine)
            model = f'model={{ name = "python", file = "{file}", python = "{python}" }}'
            length = [f"training.steps={steps}", f"evaluation.every={steps}", "training.prefetch=0"]
            command = [program, "run", "configs/smoke.toml", model, *length, "--out", out, "--quiet"]
            subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL)
            print(f"{name}: ", end="", flush=True)
            subprocess.run([python, "-c", MEASURE.format(out=out, inside=inside)], check=True)


main(*sys.argv[1:])
