"""Strategic merge patches on rendered objects: maps merge, keyed lists merge by key, null deletes.

The merge keys are those of the Kubernetes API. A list without a merge key, such as tolerations, is replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEYS = {  # list -> its merge key, the field that identifies an item
    "replicatedJobs": "name",
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "resourceClaims": "name",
    "imagePullSecrets": "name",
}
DIRECTIVE = "$patch"  # `delete` removes the item or map, `replace` puts the patch in its place


def merge(target: Any, patch: Any, name: str = "") -> Any:
    """Return the target with the patch applied; neither is changed. `name` is the field that holds both."""
    if isinstance(target, Mapping) and isinstance(patch, Mapping):
        return _maps(target, patch)
    if isinstance(target, list) and isinstance(patch, list) and name in KEYS:
        return _lists(target, patch, KEYS[name])
    return _plain(patch)


def _maps(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    if patch.get(DIRECTIVE) == "replace":
        return _plain(patch)
    merged = dict(target)
    for key, value in patch.items():
        if key == DIRECTIVE:
            continue
        if value is None or (isinstance(value, Mapping) and value.get(DIRECTIVE) == "delete"):
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value, key)
    return merged


def _lists(target: list[Any], patch: list[Any], key: str) -> list[Any]:
    merged = list(target)
    for item in patch:
        identity = item.get(key) if isinstance(item, Mapping) else None
        matches = [i for i, old in enumerate(merged) if isinstance(old, Mapping) and old.get(key) == identity]
        if identity is None or not matches:
            merged.append(_plain(item))
        elif item.get(DIRECTIVE) == "delete":
            del merged[matches[0]]
        else:
            merged[matches[0]] = merge(merged[matches[0]], item)
    return merged


def _plain(patch: Any) -> Any:
    """Return a patch as a plain value, without directives and nulls: there is nothing to merge it into."""
    if isinstance(patch, Mapping):
        return {k: _plain(v) for k, v in patch.items() if k != DIRECTIVE and v is not None}
    return [_plain(item) for item in patch] if isinstance(patch, list) else patch
