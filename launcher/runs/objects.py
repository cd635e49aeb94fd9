"""Fields of API objects. Any field may be missing, null or of another type: none of that raises."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

JSON = Mapping[str, Any]


def mapping(obj: Any, *path: str) -> JSON:
    """Return the mapping at a path of an object; empty where there is none."""
    value = _at(obj, path)
    return value if isinstance(value, Mapping) else {}


def entries(obj: Any, *path: str) -> list[JSON]:
    """Return the mappings in the list at a path of an object."""
    value = _at(obj, path)
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def text(obj: Any, *path: str) -> str:
    """Return the text at a path of an object; empty where there is none."""
    value = _at(obj, path)
    return value if isinstance(value, str) else ""


def number(obj: Any, *path: str, default: int = 0) -> int:
    """Return the integer at a path of an object."""
    value = _at(obj, path)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def labels_of(obj: Any) -> JSON:
    return mapping(obj, "metadata", "labels")


def annotations_of(obj: Any) -> JSON:
    return mapping(obj, "metadata", "annotations")


def name(obj: Any) -> str:
    return text(obj, "metadata", "name")


def uid(obj: Any) -> str:
    return text(obj, "metadata", "uid")


def owners(obj: Any) -> list[JSON]:
    return entries(obj, "metadata", "ownerReferences")


def condition(obj: Any, kind: str, status: str = "True") -> JSON | None:
    """Return the object's condition of this type and status; None where there is none."""
    for entry in entries(obj, "status", "conditions"):
        if entry.get("type") == kind and entry.get("status") == status:
            return entry
    return None


def time(value: Any) -> float | None:
    """Return an RFC 3339 time as unix seconds; None for anything else."""
    try:
        moment = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
        return moment.replace(tzinfo=moment.tzinfo or datetime.UTC).timestamp()
    except (AttributeError, ValueError, TypeError, OverflowError):
        return None


def _at(obj: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        obj = obj.get(key) if isinstance(obj, Mapping) else None
    return obj
