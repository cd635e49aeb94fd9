"""The columns of a Parquet file: which one holds images and which one labels, and the names of the classes.

Hugging Face writes its own types into the metadata of the file: JSON with ``info.features``, where a column
of images has ``_type`` Image and one of labels ClassLabel with ``names``.
"""

import json
from dataclasses import dataclass
from typing import Any

from trainer.data.names import printable
from trainer.errors import DataError

IMAGES = ("image", "img", "picture", "photo", "image_bytes", "jpg", "png")
LABELS = ("label", "labels", "class", "class_name", "category", "fine_label", "target")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of the columns, and of the classes where the file lists them."""

    image: str
    label: str
    names: list[str] | None


def choose(schema: Any, address: str) -> Columns:
    """The columns of a file, by Hugging Face's types and else by their names.

    Args:
      schema: pyarrow.Schema of the file.

    Raises:
      DataError: there is no such column, or several.
    """
    features = _features(schema)
    types = {name: schema.field(position).type for position, name in enumerate(schema.names)}
    images = [name for name, kind in types.items() if _holds_images(kind, features.get(name), name)]
    labels = [name for name in schema.names if features.get(name, {}).get("_type") == "ClassLabel"]
    labels = labels or [name for name in schema.names if name.casefold() in LABELS]
    image = _one(images, IMAGES, schema, f"data: {address} must have one column of images")
    label = _one(labels, LABELS, schema, f"data: {address} must have one column of labels")
    return Columns(image=image, label=label, names=_names(features.get(label, {}), address))


def _features(schema: Any) -> dict[str, dict[str, Any]]:
    """The types that Hugging Face notes; empty where there are none that can be read."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: kind for name, kind in features.items() if isinstance(kind, dict)}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}


def _holds_images(kind: Any, feature: dict[str, Any] | None, name: str) -> bool:
    import pyarrow as pa

    binary = (pa.types.is_binary, pa.types.is_large_binary)
    if pa.types.is_struct(kind):
        bytes_at = kind.get_field_index("bytes")
        return bytes_at >= 0 and any(is_type(kind.field(bytes_at).type) for is_type in binary)
    known = (feature or {}).get("_type") == "Image" or name.casefold() in IMAGES
    return known and any(is_type(kind) for is_type in binary)


def _one(names: list[str], preferred: tuple[str, ...], schema: Any, problem: str) -> str:
    """The only name, or the one that is preferred; raises DataError."""
    if len(names) == 1:
        return names[0]
    for name in preferred:
        if matching := [candidate for candidate in names if candidate.casefold() == name]:
            return matching[0]
    got = f"{', '.join(names)}" if names else f"columns {', '.join(schema.names[:8])}"
    raise DataError(f"{problem}, got {printable(got)}", f"it may be called {' or '.join(preferred[:2])}")


def _names(feature: dict[str, Any], address: str) -> list[str] | None:
    """The names of the classes in the order of their numbers; raises DataError where they are none."""
    names: Any = feature.get("names")
    if isinstance(names, dict):  # {"0": "cat", "1": "dog"}
        names = [names.get(str(number)) for number in range(len(names))]
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        got = printable(repr(names))[:80]
        raise DataError(f"data: {address} must list the names of its classes, got {got}")
    return list(names)
