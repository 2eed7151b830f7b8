"""Checks configurations against a JSON schema, as editors do.

usage: schemas.py FILE... < schema
"""

import json
import sys
import tomllib

from jsonschema import Draft202012Validator

schema = json.load(sys.stdin)
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        config = tomllib.load(file)
    for error in validator.iter_errors(config):
        sys.exit(f"{path}: {error.json_path}: {error.message}")
    # Invalid in any file: an unknown key, a number instead of a name.
    for key, wrong in [("trainning", {}), ("study", 7)]:
        if validator.is_valid({**config, key: wrong}):
            sys.exit(f"{path}: the schema takes {key} = {wrong}")
print(len(sys.argv) - 1, "files fit")
