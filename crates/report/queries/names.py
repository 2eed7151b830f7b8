# What is compared with what. Times are compared within a setting, never across settings.
import json
from hashlib import md5

TABLES = "{folder}/tables"
SETTING = ["study", "device", "cpu_model", "n_thread", "host", "build_profile", "engine", "dataset",
           "dataset_hash", "model", "n_step_planned", "timing", "prefetch_depth"]
NAMES = ["setting", "model", "dataset", "batch_size", "batcher", "options"]
SEEDS = ["seed_split", "seed_order", "seed_init"]


def mark(*values):
    return md5(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def without(table, *keys):
    return {key: value for key, value in (table or {}).items() if key not in keys}


def setting(run):
    config = json.loads(run["config"])
    training = without(config.get("training"), "seeds", "checkpoint")
    columns = [str(run[column]) for column in SETTING]
    return mark(columns, config.get("model"), config.get("split"), training)


def options(run):
    """Strategies with one label may differ in these."""
    return mark(without(json.loads(run["config"]).get("batcher"), "batch_size"))


