"""Metadata of a weights file: JSON that says which network its arrays are, checked before it is used."""

import dataclasses
import json
import math
from typing import Any

from trainer.config import ModelConfig, resolve
from trainer.errors import ConfigError, first_line
from trainer.pickled import shown

REQUIRED = ("model", "class_names", "image_size", "mean", "std")
MAX_IMAGE_PIXELS = 16_384  # of a side


def read(text: str) -> dict[str, Any]:
    """Return the fields of ``Weights`` except its arrays.

    Raises:
      ValueError: a field is missing, unknown or of another type; the text names it.
    """
    try:
        fields = json.loads(text)
    except RecursionError:
        raise ValueError("metadata too deep") from None
    if not isinstance(fields, dict):
        raise ValueError(f"metadata that is {shown(fields)}")
    if missing := [name for name in REQUIRED if name not in fields]:
        raise ValueError(f"metadata without {missing[0]}")
    if unknown := fields.keys() - {*REQUIRED, "crop"}:
        raise ValueError(f"metadata of a newer version: {shown(min(unknown))} is not known")
    names, pixels, crop = fields["class_names"], fields["image_size"], fields.get("crop", 0.875)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("class_names that are not a list of names")
    if type(pixels) is not int or not 1 <= pixels <= MAX_IMAGE_PIXELS:
        raise ValueError(f"image_size of {shown(pixels)}, which must be 1 to {MAX_IMAGE_PIXELS}")
    if not _is_number(crop) or not 0 < crop <= 1:
        raise ValueError(f"crop of {shown(crop)}, which must be above 0 and at most 1")
    for name in ("mean", "std"):
        values = fields[name]
        if not isinstance(values, list) or not all(map(_is_number, values)) or len(values) not in (1, 3):
            raise ValueError(f"{name} that is not 1 or 3 numbers")
        fields[name] = tuple(values)
    if len(fields["mean"]) != len(fields["std"]) or min(fields["std"]) <= 0:
        raise ValueError(f"std of {fields['std']}, which must be above 0 for each channel of mean")
    return fields | {"model": _model(fields["model"])}


def _model(fields: Any) -> ModelConfig:
    if not isinstance(fields, dict):
        raise ValueError(f"model that is {shown(fields)}")
    defaults = dataclasses.asdict(ModelConfig())
    for name, value in fields.items():
        default = defaults.get(name)
        same = _is_number(value) if isinstance(default, float) else type(value) is type(default)
        if not same:
            raise ValueError(f"model.{shown(name)[1:-1]} of {shown(value)}, which this version does not know")
    try:
        return resolve("", "", "", {f"model.{name}": value for name, value in fields.items()}).model
    except ConfigError as error:
        raise ValueError(first_line(error)) from None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
