"""Where a value comes from: flag > environment > resnet-launch.yaml > defaults of the cluster > built-in.

What can be given several times (env, mount, set, …) adds up over the sources; else the first wins.
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
NOT_SHARED = {"args", "name"}  # of one run: no file or variable gives them to all


@dataclass(frozen=True)
class Source:
    """Some values, as given, and where they stand."""

    where: str
    values: Mapping[str, Any]


def flags(given: Mapping[str, Any]) -> Source:
    """What the command line has; a flag that was not given is None or empty."""
    return Source("flag", {name: value for name, value in given.items() if value not in (None, (), [])})


def environment(environ: Mapping[str, str]) -> Source:
    """RESNET_LAUNCH_BUCKET and the like; a variable of several values has commas between them."""
    found: dict[str, Any] = {}
    for name in FIELDS.keys() - NOT_SHARED:
        value = environ.get(PREFIX + name.upper())
        if value:
            found[name] = value.split(",") if is_repeated(name) else value
    return Source("environment", found)


def find_file(directory: Path) -> Path | None:
    """resnet-launch.yaml of this directory or the nearest one above."""
    return next((path / FILE for path in (directory, *directory.parents) if (path / FILE).is_file()), None)


def read(field: str, path: Path) -> Any:
    """A YAML document. Raises RequestError, which names the field, for a file that holds none."""
    import yaml

    try:
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(Problem(field, f"must be a readable file, got {str(path)!r}: {error}")) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RequestError(Problem(field, f"must be YAML: {' '.join(str(error).split())}")) from None


def file(path: Path) -> Source:
    """The values of resnet-launch.yaml. Raises RequestError where it cannot be read or has unknown keys."""
    return table(str(path), read(str(path), path))


def table(where: str, document: Any) -> Source:
    """The values of a mapping whose keys are flags without their dashes: `num-slices` or `num_slices`."""
    if document is None:
        return Source(where, {})
    if not isinstance(document, Mapping):
        raise RequestError(Problem(where, "must be a mapping such as bucket: my-bucket"))
    known = {name.replace("_", "-") for name in FIELDS.keys() - NOT_SHARED}
    problems, found = [], {}
    for key, value in document.items():
        name = str(key).replace("_", "-")
        if name not in known:
            hint = closest(name, known) or f"it may hold {', '.join(sorted(known))}"
            problems.append(Problem(where, f"must have known keys, got {str(key)[:60]!r}", hint))
        elif value is not None:
            found[name.replace("-", "_")] = value
    if problems:
        raise RequestError(*problems)
    return Source(where, found)


def configmap(where: str, data: Mapping[str, str]) -> Source:
    """The values of a ConfigMap: a key for each field, or resnet-launch.yaml with the whole file in it."""
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
    """Whether a field can be given several times."""
    return FIELDS[name].default == () and name != "args"


def merge(*sources: Source) -> tuple[dict[str, Any], dict[str, str]]:
    """(field -> value, field -> where it stands), the first source winning."""
    values: dict[str, Any] = {}
    where: dict[str, str] = {}
    for source in sources:
        for name, value in source.values.items():
            if is_repeated(name):
                values[name] = _items(value) + values.get(name, [])
                where[name] = f"{source.where}, {where[name]}" if name in where else source.where
            elif name not in values:
                values[name], where[name] = value, source.where
    return values, where


def _items(value: Any) -> list[Any]:
    """A repeated field's value as a list of what its flag takes."""
    if isinstance(value, Mapping):
        return [f"{key}={entry}" for key, entry in value.items()]
    return list(value) if isinstance(value, (list, tuple)) else [value]
