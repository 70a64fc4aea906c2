#!/usr/bin/env python3
"""The JSON Schema accepts every example and rejects the broken configurations that say so.

Usage: check_schema.py LARDER      (runs "LARDER schema")
       check_schema.py FILE.json   (a schema that was written before)
Needs python3-jsonschema and python3-yaml. Values are read as YAML 1.2 does, which is what editors do with a schema:
"off" is text, only true and false are booleans.
"""
import json
import pathlib
import re
import subprocess
import sys

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Yaml12(yaml.SafeLoader):
    """The core schema of YAML 1.2; names of mappings stay text, as JSON has them."""

    def construct_mapping(self, node, deep=False):
        return {str(key.value): self.construct_object(value, deep=True) for key, value in node.value}

    def construct_yaml_map(self, node):
        yield self.construct_mapping(node)


Yaml12.yaml_implicit_resolvers = {}
for tag, pattern, first in [
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN\0"),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?$", "-+0123456789."),
]:
    Yaml12.add_implicit_resolver("tag:yaml.org,2002:" + tag, re.compile(pattern), list(first))
Yaml12.yaml_implicit_resolvers[""] = [("tag:yaml.org,2002:null", re.compile(r"^$"))]
Yaml12.add_constructor("tag:yaml.org,2002:map", Yaml12.construct_yaml_map)


def load_schema(source):
    if source.endswith(".json"):
        return json.loads(pathlib.Path(source).read_text())
    return json.loads(subprocess.run([source, "schema"], check=True, capture_output=True, text=True).stdout)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    schema = load_schema(sys.argv[1])
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    failures = []

    examples = sorted(ROOT.glob("deploy/examples/*.yaml")) + sorted(ROOT.glob("config/examples/*.yaml"))
    for path in examples:
        for error in validator.iter_errors(yaml.load(path.read_text(), Yaml12)):
            failures.append(f"{path}: rejected: {error.json_path}: {error.message[:200]}")

    rejected_count = 0
    for path in sorted(ROOT.glob("tests/config_broken/*.yaml")):
        text = path.read_text()
        if "# schema: rejects" not in text:
            continue
        if validator.is_valid(yaml.load(text, Yaml12)):
            failures.append(f"{path}: accepted, though it says that the schema rejects it")
        rejected_count += 1

    for failure in failures:
        print(failure, file=sys.stderr)
    print(f"{len(examples)} examples, {rejected_count} broken configurations, {len(failures)} failures")
    sys.exit(1 if failures or not examples or not rejected_count else 0)


if __name__ == "__main__":
    main()
