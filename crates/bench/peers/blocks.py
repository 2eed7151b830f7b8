"""Systems measured in turn, block by block, and what follows from the blocks."""

import os
import platform

import numpy as np


def rotated(names, block):
    """The order of the systems in a block: a first one after the other."""
    shift = block % len(names)
    return names[shift:] + names[:shift]


def measure(systems, n_block):
    """What each system's function returns, [n_block]. A first block warms up."""
    samples = {name: [] for name in systems}
    for block in range(n_block + 1):
        for name in rotated(list(systems), block):
            value = systems[name]()
            if block > 0:
                samples[name].append(value)
    return {name: np.array(values) for name, values in samples.items()}


def summarise(samples, reference, rng, n_resample=4000):
    """Medians and ratios to the reference, with 95 % bootstrap intervals over blocks. Blocks are
    drawn together, because what disturbs one system in a block disturbs its neighbours."""
    n_block = len(samples[reference])
    drawn = rng.integers(n_block, size=(n_resample, n_block))
    base = np.median(samples[reference][drawn], axis=1)
    rows = {}
    for name, values in samples.items():
        medians = np.median(values[drawn], axis=1)
        rows[name] = {
            "median": float(np.median(values)),
            "interval": np.percentile(medians, [2.5, 97.5]).tolist(),
            "ratio": float(np.median(values) / np.median(samples[reference])),
            "ratio_interval": np.percentile(medians / base, [2.5, 97.5]).tolist(),
            "blocks": values.tolist(),
        }
    return rows


def processor():
    if not os.path.exists("/proc/cpuinfo"):
        return platform.processor()
    names = [line for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return names[0].split(":")[1].strip() if names else platform.machine()
