"""Generated files of the chart resnet-train: values.yaml, schema, table of values, trainer.json."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from launcher import TrainingJob, contract
from launcher.hardware import slices
from launcher.rendering import helm_values
from launcher.request import (
    custom_slices,
    exit_codes,
    fabric_names,
    kubernetes_names,
    mounts,
    reservations,
    trainer_settings,
)

Json = dict[str, Any]

DURATION = r"^(0|[1-9][0-9]{0,8})[smhd]?$"
QUANTITY = r"^[0-9]{1,15}(\.[0-9]{1,9})?(m|k|[MGTPE]|[KMGTPE]i)?$"
DNS = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
KEY = (
    r"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}"
    r"[A-Za-z0-9])?"
)
LABEL = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
ENV = r"[A-Za-z_][A-Za-z0-9_]*"
SECRET = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[-._a-zA-Z0-9]{1,253}"
BUCKET = r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[^/\s]+)*/?$"
AMOUNT = r"^([1-9][0-9]{0,2}|10[01][0-9]|102[0-4]|[1-9][0-9]{0,9}[KMG]i)$"
UPWARD = r"(^|[/:])\.\.([/:]|$)"
OUTSIDE = f":({'|'.join(re.escape(path) for path in mounts.TAKEN)})/*(:ro)?$|{UPWARD}"
FLAG: Json = {"type": "boolean"}


def text(pattern: str, longest: int = 253) -> Json:
    """Return the schema of a string of 1 to `longest` characters that matches the pattern."""
    return {"type": "string", "pattern": pattern, "minLength": 1, "maxLength": longest}


def whole(low: int, high: int = 2**31 - 1) -> Json:
    """Return the schema of a whole number; its text is accepted too, as `--set-string` and quotes make it."""
    digits = {"type": "string", "pattern": r"^[1-9][0-9]{0,11}$" if low else r"^(0|[1-9][0-9]{0,11})$"}
    return {"anyOf": [{"type": "integer", "minimum": low, "maximum": high}, digits]}


def or_number(form: Json) -> Json:
    return {"anyOf": [form, {"type": "number", "minimum": 0}]}


def many(item: Json) -> Json:
    return {"type": "array", "items": item}


def text_or_texts(item: Json) -> Json:
    """Return the schema of a text, or of a list of texts."""
    return {"anyOf": [item, many(item)]}


def pairs(key: str, value: Json, entry: str) -> Json:
    """Return the schema of a list of KEY=VALUE or a map."""
    table = {
        "type": "object",
        "propertyNames": {"pattern": f"^{key}$"},
        "additionalProperties": value,
    }
    return {"anyOf": [many({"type": "string", "pattern": f"^{key}={entry}$"}), table]}


LABEL_SOME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LABELS = pairs(KEY, {"type": "string", "pattern": f"^{LABEL}$"}, LABEL)
ANYTHING: Json = {"type": ["string", "number"]}
ANY = r"[\s\S]*"
VERSION = r"^v?[0-9]{1,3}\.[0-9]{1,3}(\.[0-9]{1,3})?$"
ABOVE_ZERO = r"^([0-9]*[1-9][0-9]*(\.[0-9]+)?|[0-9]+\.[0-9]*[1-9][0-9]*)$"
SECONDS = {"anyOf": [{"type": "integer", "minimum": 0}, text(DURATION)]}
SOURCES = "|".join(f"{kind}{'/' if form else ''}{form}" for kind, form in mounts.NAMES.items())

CODES = "|".join(  # 0 is Kubernetes' own: no other code is a success
    f"{name}=0" if name == exit_codes.FINISHED else f"{name}=([1-9][0-9]?|1[0-9]{{2}}|2[0-4][0-9]|25[0-5])"
    for name in contract.document()["exit_codes"]
)
IMPORTS = contract.document()["imports"]

FORMS: dict[str, Json] = {
    "slice": {"type": "string", "minLength": 1, "maxLength": 64},
    "custom_slice": {
        "type": "object",
        "additionalProperties": False,
        "required": ["accelerator", "chipsPerHost"],
        "properties": {
            "accelerator": text(f"^{LABEL_SOME}$", 63),
            "topology": text(r"^[1-9][0-9]{0,2}(x[1-9][0-9]{0,2}){1,2}$", 11),
            "chipsPerHost": whole(1, custom_slices.MAX_CHIPS_PER_HOST),
            "hosts": whole(1, slices.MAX_HOSTS),
            "machine": text(f"^{LABEL_SOME}$", 63),
            "resource": text(f"^{KEY}$"),
            "devicesPerChip": whole(1, 2),
            "arch": {"enum": ["amd64", "arm64"]},
        },
    },
    "num_slices": {"type": "integer", "minimum": 1, "maximum": 4096},
    "arch": {"anyOf": [{"enum": contract.document()["archs"]}, text(IMPORTS["object"])]},
    "command": {"type": "array", "items": ANYTHING, "minItems": 1},
    "workdir": text(r"^/[^\x00-\x1f]*$", 1024) | {"not": {"pattern": UPWARD}},
    "exit_codes": text(f"^({CODES})(,({CODES}))*$", 1024),
    "name": text(r"^[a-z]([-a-z0-9]*[a-z0-9])?$", 63),
    "recipe": {
        "anyOf": [
            {"enum": list(contract.document()["recipes"])},
            text(IMPORTS["module"]) | {"not": {"pattern": r"[.]ya?ml$"}},
            text(r"^[{]", 20_000),  # settings as JSON, as the launcher writes those of a file
        ]
    },
    "data": {
        "anyOf": [
            {"enum": contract.document()["datasets"]},
            text(IMPORTS["object"]),
            text(rf"^(gs://{BUCKET}|/[^\x00-\x1f]*$)", 1024) | {"not": {"pattern": UPWARD}},
        ]
    },
    "batch": whole(1),
    "epochs": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, text(ABOVE_ZERO)]},
    "steps": whole(1),
    "seed": whole(0),
    "set": many({"type": "string"}),
    "args": many(ANYTHING),
    "code": {
        "type": "object",
        "additionalProperties": False,
        "required": ["digest"],
        "properties": {
            "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "commit": {"type": "string", "pattern": "^([0-9a-f]{40}|[0-9a-f]{64})?$"},
            "dirty": FLAG,
            "archive": {"type": "string", "pattern": "^[A-Za-z0-9+/]*={0,2}$"},
        },
    },
    "bucket": text(rf"^(gs://)?{BUCKET}") | {"not": {"pattern": UPWARD}},
    "run_dir": text(rf"^(gs://{BUCKET}|/[^\x00-\x1f]*$)", 1024) | {"not": {"pattern": UPWARD}},
    "image": text(f"^{kubernetes_names.IMAGE}$", 512),
    "code_image": text(f"^{kubernetes_names.IMAGE}$", 512),
    "image_pull_secret": many(text(DNS)),
    "image_pull_policy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "namespace": text(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", 63),
    "service_account": text(DNS),
    "env_file": text_or_texts({"type": "string", "minLength": 1}),
    "env": pairs(ENV, ANYTHING, ANY),
    "secret_env": pairs(ENV, {"type": "string", "pattern": f"^{SECRET}$"}, SECRET),
    "notify": text(f"^{SECRET}$", 507),
    "mount": many(text(rf"^({SOURCES}):/[^:\s]+(:ro)?$", 1024) | {"not": {"pattern": OUTSIDE}}),
    "label": LABELS,
    "annotation": pairs(KEY, ANYTHING, ANY),
    "cpu": or_number(text(QUANTITY)),
    "cpu_limit": or_number(text(QUANTITY)),
    "memory": or_number(text(QUANTITY)),
    "memory_limit": or_number(text(QUANTITY)),
    "ephemeral_storage": or_number(text(QUANTITY)),
    "shm": or_number(text(QUANTITY)),
    "priority_class": text(DNS),
    "scheduler": text(DNS),
    "host_network": FLAG,
    "network_policy": FLAG,
    "tuning": {"enum": ["none", "published"]},
    "grace": SECONDS,
    "platform": {"enum": ["gke", "generic"]},
    "node_selector": LABELS,
    "node_affinity": many(text(rf"^{KEY}={LABEL_SOME}(\|{LABEL_SOME})*$", 1024)),
    "toleration": many(text(rf"^{KEY}(={LABEL})?(:(NoSchedule|NoExecute|PreferNoSchedule))?$", 400)),
    "gpu_resource": text(f"^{KEY}$"),
    "fabric": {"enum": [*fabric_names.CHOICES, True, False, "true", "false"]},
    "fabric_resource": pairs(
        KEY,
        {"type": ["string", "integer"], "pattern": AMOUNT, "minimum": 1, "maximum": 1024},
        f"({AMOUNT[1:-1]})",
    ),
    "spot": FLAG,
    "reservation": text(f"^{re.sub(r'[?]P<[a-z]+>', '?:', reservations.PATH)}$", 512),
    "compute_class": text(f"^{LABEL}$", 63),
    "flex": SECONDS,
    "placement_policy": text(f"^{LABEL}$", 63),
    "queue": text(DNS, 63),
    "priority": text(DNS, 63),
    "topology_required": text(f"^{KEY}$"),
    "topology_preferred": text(f"^{KEY}$"),
    "max_restarts": {"type": "integer", "minimum": 0, "maximum": 1000},
    "deadline": {"anyOf": [{"type": "integer", "minimum": 1}, text(r"^0*[1-9][0-9]{0,8}[smhd]?$")]},
    "ttl": SECONDS,
    "jobset_version": text(VERSION),
    "kueue_version": text(VERSION),
    "patch": text_or_texts({"type": "string", "minLength": 1}),
}
# Helps that differ from the flag's: the value is spelled in another way, or means something else to Helm.
HELP = {
    "command": "program of your own to run instead of the trainer: a list of the program and its arguments",
    "name": "name of the run; default: the name of the release",
    "namespace": "namespace of the objects; default: the namespace of the release",
    "args": "arguments of the trainer, as a list in which each flag is followed by its value",
    "code": "code of the pods, as `resnet-launch render --format helm-values --code DIR` prints it: digest, "
    "commit, dirty, and without a bucket archive in base64",
    "patch": "strategic merge patch of the JobSet as YAML text (--set-file patch=patch.yaml), or a list of "
    "them",
    "env_file": "text of a file of NAME=VALUE lines: --set-file envFile=train.env; or a list of them",
}
FIELDS = {field.name: field for field in dataclasses.fields(TrainingJob)}


def help_of(name: str) -> str:
    return HELP.get(name) or FIELDS[name].metadata["help"]


def values_schema() -> Json:
    """Return values.schema.json, closed so that Helm refuses a misspelled value."""
    properties = {helm_values.key(name): {"description": help_of(name), **FORMS[name]} for name in FIELDS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of resnet-train",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **properties,
            "global": {"description": "global values of Helm, not used by this chart", "type": "object"},
        },
    }


def values_yaml() -> str:
    """Return values.yaml; a value without a default appears as a comment."""
    lines = ["# Values of a run: the flags of resnet-launch, in camelCase. Generated by `make generate`."]
    group = ""
    for name, field in FIELDS.items():
        if field.metadata["group"] != group:
            group = field.metadata["group"]
            lines += ["", f"# {group}"]
        metavar = field.metadata["metavar"]
        lines.append(f"# -- {help_of(name)}" + (f" ({metavar})" if metavar else ""))
        default = json.dumps(field.default) if field.default not in (None, ()) else ""
        lines.append(f"{helm_values.key(name)}: {default}" if default else f"# {helm_values.key(name)}:")
    return "\n".join(lines) + "\n"


def table() -> str:
    """Return a Markdown table of the values."""
    lines = ["| value | default | meaning |", "| --- | --- | --- |"]
    for name, field in FIELDS.items():
        default = f"`{json.dumps(field.default)}`" if field.default not in (None, ()) else ""
        form = f" (`{field.metadata['metavar']}`)" if field.metadata["metavar"] else ""
        lines.append(f"| `{helm_values.key(name)}` | {default} | {help_of(name)}{form} |")
    return "\n".join(lines) + "\n"


def trainer() -> Json:
    """Return trainer.json: what each setting accepts, the setting of each flag after `--`, the networks."""
    of_networks = {row["field"] for row in contract.document()["fields"] if row["field"].startswith("model.")}
    of_networks -= {"model.arch"}
    rows = [
        {
            key: value
            for key, value in row.items()
            if key in ("field", "type", "choices", "minimum", "maximum", "paths", "code")
            or (key == "default" and row["field"] in of_networks)
        }
        for row in contract.document()["fields"]
    ]
    fields, recipes = contract.document()["flags"], contract.document()["recipes"]
    number = r"^[+-]?[0-9]+$"
    forms = {
        "int": number,
        "float": r"^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?$",
        "bool": "^(true|false|1|0|True|False)$",
        "str": "",
        "path": f"^(gs://{BUCKET}|/[^\\x00-\\x1f]*$)",
        "code": IMPORTS["object"],
    }
    return {
        "fields": {row["field"]: row for row in rows},
        "forms": forms,
        "flags": {flag: fields[flag]["field"] if flag in fields else "" for flag in trainer_settings.FLAGS},
        "modelAxis": {
            arch: {"heads": counts["heads"], "hidden": counts["hidden units"]}
            for arch, counts in contract.document()["model_axis"].items()
        },
        "networkSettings": contract.document()["network_settings"],
        "layersPerStep": contract.document()["layers_per_step"],
        "archs": contract.document()["archs"],
        "families": contract.document()["families"],
        "recipeFamilies": contract.document()["recipe_families"],
        "pathRecipe": contract.document()["path_recipe"],
        "recipesWithData": [name for name, settings in recipes.items() if "data.name" in settings],
    }
