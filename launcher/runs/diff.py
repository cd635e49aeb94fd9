"""The difference between a run on the cluster and a new render, in the fields that the launcher owns.

Server-side apply records which fields each field manager has set. Every other field of the stored object is
a default of the server or belongs to another manager, so it does not count as a difference.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from launcher import keys
from launcher.contract import PREDICTED
from launcher.rendering.manifest import to_yaml
from launcher.runs import objects

QUANTITIES = ("limits", "requests", "sizeLimit")  # fields that are, or hold, Kubernetes quantities
# Kueue and the verbs suspend and resume change these spec fields while a run lives: they are its state.
STATE_FIELDS = ("suspend",)
# `submit` adds these annotations; a render knows neither who submits nor who suspends.
STATE_ANNOTATIONS = (keys.SUBMITTED_BY, keys.SUSPENDED)


def unified(live: Mapping[str, Any], rendered: Mapping[str, Any], manager: str) -> str:
    """Return a unified diff in YAML; empty where a new render changes nothing.

    Args:
      live: the stored object.
      manager: field manager that applied it.
    """
    applied = _same_quantities(owned(live, manager), rendered)
    old, new = _text(applied), _text(rendered)
    return "".join(
        difflib.unified_diff(
            old.splitlines(keepends=True), new.splitlines(keepends=True), "on the cluster", "rendered"
        )
    )


def owned(live: Mapping[str, Any], manager: str) -> dict[str, Any]:
    """Return the part of a stored object that this field manager has applied."""
    return _owned(live, _fields(live, manager))


def _fields(live: Mapping[str, Any], manager: str) -> Mapping[str, Any]:
    """Return the manager's fields in the notation of managedFields: f:NAME, k:{KEY}, v:VALUE."""
    entries = live["metadata"].get("managedFields", [])
    applied = [
        entry["fieldsV1"]
        for entry in entries
        if entry.get("manager") == manager and entry.get("operation") == "Apply"
    ]
    fields = applied[0] if applied else {}
    return {
        "f:apiVersion": {},
        "f:kind": {},
        **fields,
        "f:metadata": {**fields.get("f:metadata", {}), "f:name": {}},
    }


def _owned(value: Any, fields: Mapping[str, Any]) -> Any:
    """Return the part of a value that these fields cover; a field without subfields covers all of it."""
    subfields = {key: below for key, below in fields.items() if key != "."}
    if not subfields:
        return value
    if isinstance(value, Mapping):
        return {
            name: _owned(entry, subfields[f"f:{name}"])
            for name, entry in value.items()
            if f"f:{name}" in subfields
        }
    keyed = [(json.loads(key[2:]), below) for key, below in subfields.items() if key.startswith("k:")]
    return [
        _owned(item, below)
        for item in value
        for key, below in keyed
        if all(item.get(name) == value for name, value in key.items())
    ]


def _same_quantities(live: Any, rendered: Any, quantities: bool = False) -> Any:
    """Return what is on the cluster with each quantity that equals the rendered one written as that is.

    The server writes quantities in its own form: 4 as "4", 1000m as "1", 1024Mi as "1Gi".

    Args:
      quantities: whether strings and numbers here are quantities.
    """
    if isinstance(live, Mapping) and isinstance(rendered, Mapping):
        return {
            name: _same_quantities(value, rendered.get(name), quantities or name in QUANTITIES)
            for name, value in live.items()
        }
    if isinstance(live, list) and isinstance(rendered, list) and len(live) == len(rendered):
        return [_same_quantities(*pair, quantities) for pair in zip(live, rendered, strict=True)]
    if quantities and isinstance(live, str | int) and isinstance(rendered, str | int):
        return rendered if parse_quantity(live) == parse_quantity(rendered) else live
    return live


def _text(manifest: Mapping[str, Any]) -> str:
    plain = json.loads(json.dumps(manifest, sort_keys=True))
    plain["metadata"].pop("namespace", None)  # from the request or the context: the same namespace either way
    for name in STATE_FIELDS:
        plain.get("spec", {}).pop(name, None)
    for name in STATE_ANNOTATIONS:
        plain["metadata"].get("annotations", {}).pop(name, None)
    for group in objects.entries(plain, "spec", "replicatedJobs"):
        for container in objects.entries(group, "template", "spec", "template", "spec", "containers"):
            _drop_prediction(container)
    return to_yaml([plain])


def _drop_prediction(container: Any) -> None:
    """Leave the predicted throughput out of a trainer's command: `check` has added it, and no person."""
    command = container.get("command")
    if not isinstance(command, list):
        return
    for at in range(len(command) - 1, 0, -1):
        if command[at - 1] == "--set" and str(command[at]).startswith(f"{PREDICTED}="):
            del command[at - 1 : at + 1]
