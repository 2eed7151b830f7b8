"""Systems measured in turn, block by block, and what follows from the blocks."""

import os
import platform

import numpy as np


def rotated(names, block):
    """The order of the systems in a block: a first one after the other."""
    shift = block % len(names)
    return names[shift:] + names[:shift]


def measure(systems, n_block):
    """What each system's function returns, a time or those of several steps, [n_block]. A first
    block warms up."""
    samples = {name: [] for name in systems}
    for block in range(n_block + 1):
        for name in rotated(list(systems), block):
            value = systems[name]()
            if block > 0:
                samples[name].append(value)
    return samples


def summarise(samples, reference, rng, n_resample=4000):
    """Medians over blocks of the medians within blocks and ratios to the reference, with 95 %
    bootstrap intervals over blocks. Blocks are drawn together, because what disturbs one system in
    a block disturbs its neighbours. `least` is the least of all: what other work on the machine can
    only raise."""
    blocks = {name: np.array([np.median(block) for block in values])
              for name, values in samples.items()}
    least = {name: float(min(np.min(block) for block in values))
             for name, values in samples.items()}
    n_block = len(blocks[reference])
    drawn = rng.integers(n_block, size=(n_resample, n_block))
    base = np.median(blocks[reference][drawn], axis=1)
    rows = {}
    for name, values in blocks.items():
        medians = np.median(values[drawn], axis=1)
        rows[name] = {
            "median": float(np.median(values)),
            "interval": np.percentile(medians, [2.5, 97.5]).tolist(),
            "ratio": float(np.median(values) / np.median(blocks[reference])),
            "ratio_interval": np.percentile(medians / base, [2.5, 97.5]).tolist(),
            "least": least[name],
            "least_ratio": least[name] / least[reference],
            "blocks": values.tolist(),
        }
    return rows


def processor():
    if not os.path.exists("/proc/cpuinfo"):
        return platform.processor()
    names = [line for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return names[0].split(":")[1].strip() if names else platform.machine()
