"""Values of fields as YAML holds them: what is written, in the form that a flag takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from launcher.errors import Problem
from launcher.request import documents
from launcher.request.job import TrainingJob

FIELDS = {field.name: field for field in dataclasses.fields(TrainingJob)}
NOT_SHARED = {"args", "name"}  # these belong to one run, so no file or variable sets them for all runs

NOT_FROM_A_CLUSTER = {"code", "env_file"}  # a cluster's defaults never name files of whoever submits


def is_repeated(name: str) -> bool:
    """Whether the flag of a field may be repeated."""
    return FIELDS[name].default == () and name != "args"


def wrong_kinds(where: str, name: str, node: documents.Node) -> Iterator[Problem]:
    """Yield the values that are no text although the field holds text, as `DEBUG: yes` under env."""
    flag = name.replace("_", "-")
    if not is_repeated(name) or name == "patch":  # a patch holds whatever the API has
        return
    # `set: {data.flip: true}` names a setting that is a boolean.
    allowed = ("a boolean",) if name == "set" else ("a mapping",) if name == "toleration" else ()
    pairs = (
        list(documents.entries(node)) if node.id == "mapping" else [(None, n) for n in item_nodes(name, node)]
    )
    for key, item in pairs:
        kind = documents.kind(item)
        if not kind or kind in allowed:
            continue
        label = f"{key.value}: " if key is not None else ""
        shown = f"{label}{item.value}" if item.id == "scalar" else label.rstrip(": ") or "an item"
        hint = f'quote it: {label}"{item.value}"' if item.id == "scalar" else ""
        problem = f"{flag} must hold text, got {kind} in line {documents.line(item)}: {shown}"
        yield Problem(where, problem, hint)


def from_node(name: str, node: documents.Node) -> Any:
    """Return the value of a field: numbers stay as they are spelled unless the field is a number."""
    is_number = str(FIELDS[name].type).startswith(("int", "float", "bool"))
    if name == "set":
        node_values = documents.spelled(node)
        if isinstance(node_values, dict):  # booleans too: the trainer reads true and false
            return {key.value: item.value for key, item in documents.entries(node)}
        return node_values
    if is_number:
        return documents.decimal(node)
    return documents.value(node) if name == "patch" else documents.spelled(node)


def item_nodes(name: str, node: documents.Node) -> list[documents.Node]:
    """Return the nodes of a repeated field's items, in the order of `items`."""
    if name == "patch" and node.id == "mapping":
        return [node]
    if node.id == "mapping":
        return [*{key.value: item for key, item in documents.entries(node)}.values()]
    return node.value if node.id == "sequence" else []


def items(name: str, value: Any) -> list[Any]:
    """Return the value of a repeated field as a list of texts that its flag accepts.

    A patch that stands where it is used, not in a file of its own, stays a mapping.
    """
    if isinstance(value, Mapping) and name != "patch":
        return [f"{key}={entry}" for key, entry in value.items()]
    return list(value) if isinstance(value, (list, tuple)) else [value]
