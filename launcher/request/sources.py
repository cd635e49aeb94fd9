"""The sources of values: flag > environment > resnet-launch.yaml > defaults of the cluster > built-in.

The first source that has a value wins. Fields that may be repeated (env, mount, set, …) collect the values of
all sources.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.errors import Problem, RequestError, closest
from launcher.request.job import TrainingJob

FILE = "resnet-launch.yaml"
PREFIX = "RESNET_LAUNCH_"
FIELDS = {field.name: field for field in dataclasses.fields(TrainingJob)}
NOTHING: Any = object()  # value of a flag such as --no-queue: none, whatever weaker sources say
OF_A_QUEUE = ("priority", "topology_required", "topology_preferred")  # fields that only a queue gives a sense
NOT_SHARED = {"args", "name"}  # these belong to one run, so no file or variable sets them for all runs


@dataclass(frozen=True)
class Source:
    """Unchecked values and where they come from, such as `flag` or the path of a file."""

    where: str
    values: Mapping[str, Any]


def flags(values: Mapping[str, Any]) -> Source:
    """Return the flags of a command line; those that are None or empty were not given."""
    return Source("flag", {name: value for name, value in values.items() if value not in (None, (), [])})


def environment(environ: Mapping[str, str]) -> Source:
    """Return the variables RESNET_LAUNCH_BUCKET and so on; commas separate the values of repeated fields."""
    values: dict[str, Any] = {}
    for name in FIELDS.keys() - NOT_SHARED:
        value = environ.get(PREFIX + name.upper())
        if value:
            values[name] = value.split(",") if is_repeated(name) else value
    return Source("environment", values)


def find_file(directory: Path) -> Path | None:
    """Return resnet-launch.yaml of a directory, or the nearest one above it, or None."""
    return next((path / FILE for path in (directory, *directory.parents) if (path / FILE).is_file()), None)


def read(field: str, path: Path) -> Any:
    """Return the YAML document in a file.

    Raises:
      RequestError: the file cannot be read or is not YAML; the error names the field.
    """
    import yaml

    try:
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(Problem(field, f"must be a readable file, got {str(path)!r}: {error}")) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RequestError(Problem(field, f"must be YAML: {' '.join(str(error).split())}")) from None


def file(path: Path) -> Source:
    """Return the values of resnet-launch.yaml.

    Raises:
      RequestError: the file cannot be read, is not a mapping or has unknown keys.
    """
    return table(str(path), read(str(path), path))


def table(where: str, document: Any) -> Source:
    """Return the values of a mapping whose keys are flags without dashes: `num-slices` or `num_slices`.

    Raises:
      RequestError: the document is not a mapping or has unknown keys.
    """
    if document is None:
        return Source(where, {})
    if not isinstance(document, Mapping):
        raise RequestError(Problem(where, "must be a mapping such as bucket: my-bucket"))
    known = {name.replace("_", "-") for name in FIELDS.keys() - NOT_SHARED}
    problems, values = [], {}
    for key, value in document.items():
        name = str(key).replace("_", "-")
        if name not in known:
            hint = closest(name, known) or f"it may hold {', '.join(sorted(known))}"
            problems.append(Problem(where, f"must have known keys, got {str(key)[:60]!r}", hint))
        elif value is not None:
            values[name.replace("-", "_")] = value
    if problems:
        raise RequestError(*problems)
    return Source(where, values)


def configmap(where: str, data: Mapping[str, str]) -> Source:
    """Return the values of a ConfigMap: a key per field, or the key resnet-launch.yaml with a whole file.

    Raises:
      RequestError: the file is not YAML, is not a mapping or has unknown keys.
    """
    import yaml

    document: Any = {
        key: value.split(",")
        if key.replace("-", "_") in FIELDS and is_repeated(key.replace("-", "_"))
        else value
        for key, value in data.items()
        if key != FILE
    }
    if FILE in data:
        try:
            document = yaml.safe_load(data[FILE]) or {}
        except yaml.YAMLError as error:
            raise RequestError(Problem(where, f"must be YAML: {' '.join(str(error).split())}")) from None
    return table(where, document)


def is_repeated(name: str) -> bool:
    """Whether the flag of a field may be repeated."""
    return FIELDS[name].default == () and name != "args"


def merge(*sources: Source) -> tuple[dict[str, Any], dict[str, str]]:
    """Return (field -> value, field -> where it comes from); the strongest source comes first.

    A queue that is NOTHING is left out, with what weaker sources say about it.
    """
    values: dict[str, Any] = {}
    where: dict[str, str] = {}
    for source in sources:
        for name, value in source.values.items():
            if is_repeated(name):
                values[name] = _items(value) + values.get(name, [])
                where[name] = f"{source.where}, {where[name]}" if name in where else source.where
            elif name not in values:
                values[name], where[name] = value, source.where
    if values.get("queue") is NOTHING:
        weaker = [name for name in OF_A_QUEUE if name in values and where[name] != where["queue"]]
        for name in ("queue", *weaker):
            del values[name], where[name]
    return values, where


def _items(value: Any) -> list[Any]:
    """Return the value of a repeated field as a list of texts that its flag accepts."""
    if isinstance(value, Mapping):
        return [f"{key}={entry}" for key, entry in value.items()]
    return list(value) if isinstance(value, (list, tuple)) else [value]
