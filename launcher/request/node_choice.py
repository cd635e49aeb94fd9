"""The values that a node's label may have: `KEY=VALUE|VALUE`, as --node-affinity takes it."""

from __future__ import annotations

from typing import Any

from launcher.request import kubernetes_names
from launcher.request.readers import Wrong

Choice = tuple[str, tuple[str, ...]]  # key of the label, values of which it has one


def read(value: Any) -> Choice:
    """Read `KEY=VALUE|VALUE`: the key of a node's label and the values of which it must have one."""
    if isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[1], (tuple, list)):
        key, values = value[0], list(value[1])
    else:
        key, equals, text = value.partition("=") if isinstance(value, str) else ("", "", "")
        values = text.split("|")
        if not equals or not all(values):
            raise Wrong("must be KEY=VALUE|VALUE", value, "as in topology.kubernetes.io/zone=us-a|us-b")
    return kubernetes_names.key(key), tuple(dict.fromkeys(map(kubernetes_names.label_value, values)))


def text(choice: Choice) -> str:
    """Return a choice as its flag takes it."""
    return f"{choice[0]}={'|'.join(choice[1])}"


def expression(choice: Choice) -> dict[str, Any]:
    """Return the match expression of a choice."""
    return {"key": choice[0], "operator": "In", "values": list(choice[1])}
