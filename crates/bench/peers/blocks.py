"""Interleaved measurement of several systems in blocks, and summary statistics over the blocks."""

import os
import platform

import numpy as np
from scipy import stats


def rotated(names, block):
    """The order of the systems in a block: each system gets to be first in turn."""
    shift = block % len(names)
    return names[shift:] + names[:shift]


def measure(systems, n_block):
    """Calls each system's function once per block; it returns one time or the times of several steps.
    Returns lists of length [n_block]; an additional first block is a warm-up."""
    samples = {name: [] for name in systems}
    for block in range(n_block + 1):
        for name in rotated(list(systems), block):
            value = systems[name]()
            if block > 0:
                samples[name].append(value)
    return samples


def summarise(samples, reference):
    """Medians over blocks of the medians within blocks, and ratios to the reference: geometric means
    over blocks, because a disturbance affects neighbouring systems of a block alike, with Student's
    95 % intervals of the blocks' logarithms. `least` is the minimum over all steps, which other work
    on the machine can only raise."""
    blocks = {name: np.array([np.median(block) for block in values])
              for name, values in samples.items()}
    least = {name: float(min(np.min(block) for block in values))
             for name, values in samples.items()}
    rows = {}
    for name, values in blocks.items():
        ratio, ratio_interval = geometric_mean(values / blocks[reference])
        rows[name] = {
            "median": float(np.median(values)),
            "interval": geometric_mean(values)[1],
            "ratio": ratio,
            "ratio_interval": ratio_interval,
            "least": least[name],
            "least_ratio": least[name] / least[reference],
            "blocks": values.tolist(),
        }
    return rows


def geometric_mean(values, level=0.95):
    logarithms = np.log(values)
    mean, n = logarithms.mean(), len(logarithms)
    if n < 2:
        return float(np.exp(mean)), [float("nan")] * 2
    half = stats.t.ppf((1 + level) / 2, n - 1) * logarithms.std(ddof=1) / np.sqrt(n)
    return float(np.exp(mean)), np.exp([mean - half, mean + half]).tolist()


def processor():
    if not os.path.exists("/proc/cpuinfo"):
        return platform.processor()
    names = [line for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return names[0].split(":")[1].strip() if names else platform.machine()
