"""What a new render would change in a run that is on the cluster: the fields the launcher owns, old and new.

Server-side apply records for each manager which fields it has set; everything else in the stored object is
a default of the server or someone else's, and no difference.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

from launcher.rendering.manifest import to_yaml

# Kueue, `suspend` and `resume` turn it on and off: it says what the run is doing, not what was asked for.
PASSING = ("suspend",)


def unified(live: Mapping[str, Any], rendered: Mapping[str, Any], manager: str) -> str:
    """A unified diff in YAML, empty where a new render changes nothing.

    `live` is the stored object, `manager` the field manager it was applied with.
    """
    old, new = _text(_owned(live, _fields(live, manager))), _text(rendered)
    return "".join(
        difflib.unified_diff(
            old.splitlines(keepends=True), new.splitlines(keepends=True), "on the cluster", "rendered"
        )
    )


def _fields(live: Mapping[str, Any], manager: str) -> Mapping[str, Any]:
    """The manager's fields in the notation of managedFields: f:NAME, k:{KEY}, v:VALUE."""
    entries = live["metadata"].get("managedFields", [])
    applied = [
        e["fieldsV1"] for e in entries if e.get("manager") == manager and e.get("operation") == "Apply"
    ]
    found = applied[0] if applied else {}
    return {
        "f:apiVersion": {},
        "f:kind": {},
        **found,
        "f:metadata": {**found.get("f:metadata", {}), "f:name": {}},
    }


def _owned(value: Any, fields: Mapping[str, Any]) -> Any:
    """The part of a value that these fields name; a field without parts is owned whole."""
    parts = {key: below for key, below in fields.items() if key != "."}
    if not parts:
        return value
    if isinstance(value, Mapping):
        return {name: _owned(v, parts[f"f:{name}"]) for name, v in value.items() if f"f:{name}" in parts}
    keyed = [(json.loads(key[2:]), below) for key, below in parts.items() if key.startswith("k:")]
    return [
        _owned(item, below)
        for item in value
        for key, below in keyed
        if all(item.get(name) == wanted for name, wanted in key.items())
    ]


def _text(thing: Mapping[str, Any]) -> str:
    plain = json.loads(json.dumps(thing, sort_keys=True))
    plain["metadata"].pop("namespace", None)  # of the request or of the context: the same place either way
    for name in PASSING:
        plain.get("spec", {}).pop(name, None)
    return to_yaml([plain])
