"""The sources of values: flag > environment > resnet-launch.yaml > defaults of the cluster > built-in.

The first source that has a value wins. Fields that may be repeated (env, mount, set, …) collect the values of
all sources.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launcher.errors import Problem, RequestError, closest
from launcher.request import custom_slices, documents, env_files, program, rules
from launcher.request.discovery import FILE, find_file
from launcher.request.field_values import (
    FIELDS,
    NOT_FROM_A_CLUSTER,
    NOT_SHARED,
    from_node,
    is_repeated,
    item_nodes,
    items,
    wrong_kinds,
)
from launcher.request.readers import Wrong

PREFIX = "RESNET_LAUNCH_"
FILES = ("patch", "env_file")  # fields whose values stand in files that a request names
SLICES = "slices"  # key of resnet-launch.yaml with slices that the catalogue lacks
NOTHING: Any = object()  # value of a flag such as --no-queue: none, whatever weaker sources say
OF_A_QUEUE = ("priority", "topology_required", "topology_preferred")  # fields that only a queue gives a sense


@dataclass(frozen=True)
class Source:
    """Unchecked values and where they come from, such as `flag` or the path of a file.

    places: field -> where exactly its value stands, such as a variable or the line of a file; for a repeated
      field also (field, number of the item).
    slices: name -> facts of the slices that the catalogue lacks.
    """

    where: str
    values: Mapping[str, Any]
    places: Mapping[str | tuple[str, int], str] = field(default_factory=dict)
    slices: Mapping[str, custom_slices.Facts] = field(default_factory=dict)

    def place(self, name: str) -> str:
        """Return where the value of a field stands, or the item of it that its reader refuses."""
        read = FIELDS[name].metadata["read"]
        entries = items(name, self.values[name]) if is_repeated(name) else []
        wrong = (number for number, entry in enumerate(entries) if _refuses(read, [entry]))
        return self.places.get((name, next(wrong, -1)), self.places.get(name, self.where))


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
    return Source("environment", values, {name: PREFIX + name.upper() for name in values})


def nearest(directory: Path) -> Source | None:
    """Return the values of resnet-launch.yaml of a directory, or of the nearest one above it, or None.

    Raises:
      RequestError: the file may not be relied on, cannot be read or is wrong.
    """
    path = find_file(directory)
    return file(path) if path else None


def read(name: str, path: Path) -> Any:
    """Return the YAML document in a file.

    Raises:
      RequestError: the file cannot be read or is not YAML; the error names the field.
    """
    root = documents.parse(name, documents.read(name, path))
    return None if root is None else documents.value(root)


def file(path: Path) -> Source:
    """Return the values of resnet-launch.yaml. Files that it names are looked for beside it.

    Raises:
      RequestError: the file cannot be read, is not a mapping, or has unknown keys or values of a wrong kind.
    """
    source = table(str(path), documents.parse(str(path), documents.read(str(path), path)), f"{path}:")

    def beside(value: Any) -> Any:
        if isinstance(value, list):
            return [beside(item) for item in value]
        if not isinstance(value, str) or not value.strip():
            return value
        return str(path.parent / os.path.expanduser(value))

    named = {
        name: beside(value)
        for name, value in source.values.items()
        if name in (*FILES, "code") or (name == "recipe" and is_recipe_file(value))
    }
    return dataclasses.replace(source, values={**source.values, **named})


def load(source: Source) -> Source:
    """Return a source with the content of the files that its patches and env-files name.

    Raises:
      RequestError: a file cannot be read, or is wrong; the error says where it is named.
    """
    contents = {
        name: [_content(source, name, number, item) for number, item in enumerate(items(name, value))]
        for name, value in source.values.items()
        if name in FILES
    }
    return dataclasses.replace(source, values={**source.values, **contents}) if contents else source


def _content(source: Source, name: str, number: int, item: Any) -> Any:
    if not isinstance(item, str):
        return item
    field, path = name.replace("_", "-"), Path(item)
    try:
        return read(field, path) if name == "patch" else env_files.parse(documents.read(field, path), item)
    except RequestError as error:
        place = source.places.get((name, number), source.places.get(name, ""))
        raise RequestError(
            *(dataclasses.replace(problem, place=problem.place or place) for problem in error.problems)
        ) from None


def is_recipe_file(recipe: Any) -> bool:
    """Return whether the value of the field recipe is a file."""
    return isinstance(recipe, str) and recipe.endswith((".yaml", ".yml"))


def with_recipe(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a request with the settings of a recipe in the place of its file.

    Raises:
      RequestError: the file cannot be read, or is no mapping; the error names the field.
    """
    recipe = values.get("recipe")
    if not isinstance(recipe, str) or not is_recipe_file(recipe):
        return values
    path = Path(os.path.expanduser(recipe))
    root = documents.parse("recipe", documents.read("recipe", path))
    settings = {} if root is None else documents.spelled(root)
    if not isinstance(settings, dict):
        raise RequestError(
            Problem("recipe", f"must be a file of settings such as optim.lr: 0.1, got {recipe}")
        )
    return values | {"recipe": {"name": path.name, **settings}}


def table(where: str, root: documents.Node | None, line_prefix: str) -> Source:
    """Return the values of a mapping whose keys are flags without dashes: `num-slices` or `num_slices`.

    Args:
      where: the file, for errors.
      root: its document; None where it is empty.
      line_prefix: stands before the number of a line in the place of a value.

    Raises:
      RequestError: the document is not a mapping, has unknown keys or values of a wrong kind.
    """
    if root is None:
        return Source(where, {})
    if root.id != "mapping":
        if documents.kind(root) == "null":
            return Source(where, {})
        raise RequestError(Problem(where, "must be a mapping such as bucket: my-bucket"))
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    places: dict[str | tuple[str, int], str] = {}
    slices: dict[str, custom_slices.Facts] = {}
    for key, node in documents.entries(root):
        name = key.value.replace("-", "_")
        if key.value == SLICES:
            slices = _own_slices(where, node, problems)
            continue
        if name not in FIELDS or name in NOT_SHARED:
            problems.append(_unknown(where, key.value, f" in line {documents.line(key)}"))
        elif documents.kind(node) != "null":
            problems += wrong_kinds(where, name, node)
            values[name] = from_node(name, node)
            places[name] = f"{line_prefix}{documents.line(key)}"
            for number, item in enumerate(item_nodes(name, node)):
                places[name, number] = f"{line_prefix}{documents.line(item)}"
    if problems:
        raise RequestError(*problems)
    return Source(where, values, places, slices)


def _own_slices(where: str, root: documents.Node, problems: list[Problem]) -> dict[str, custom_slices.Facts]:
    """Return name -> facts of the slices that a file describes, and add what is wrong with them."""
    slices: dict[str, custom_slices.Facts] = {}
    if root.id != "mapping":
        text = f"{SLICES} must be a mapping of names to facts, in line {documents.line(root)}"
        problems.append(
            Problem(where, text, "my-slice: {accelerator: LABEL, topology: 4x4, chips-per-host: 4}")
        )
        return slices
    for key, node in documents.entries(root):
        try:
            custom_slices.name(key.value)
            if rules.catalogued(key.value):
                raise Wrong("must not have the name of a slice of the catalogue", key.value)
            slices[key.value] = custom_slices.read(documents.spelled(node))
        except Wrong as wrong:
            text = f"{SLICES}: {key.value[:60]}: {wrong}, in line {documents.line(key)}"
            problems.append(Problem(where, text, wrong.hint))
    return slices


def configmap(where: str, data: Mapping[str, str]) -> Source:
    """Return the values of a ConfigMap: a key per field, or the key resnet-launch.yaml with a whole file.

    A patch is a mapping in it. It is never a path, which would name a file of whoever submits.

    Raises:
      RequestError: the file is not YAML, is not a mapping or has unknown keys.
    """
    source = Source(where, {})
    if FILE in data:
        document = documents.parse(where, data[FILE])
        source = table(where, document, f"{where}, {FILE} line ")
    problems: list[Problem] = []
    values = dict(source.values)
    places = dict(source.places)
    for key, text in data.items():
        name = key.replace("-", "_")
        if key == FILE:
            continue
        if name not in FIELDS or name in NOT_SHARED:
            problems.append(_unknown(where, key))
        elif name in values:
            problems.append(Problem(where, f"must have each key once, got {key!r} also in {FILE}"))
        elif name == "patch":
            if (root := documents.parse(f"{where}, {key}", text)) is None:
                continue
            values[name] = documents.value(root)
            places[name] = f"{where}, {key}"
        else:
            values[name] = text.split(",") if is_repeated(name) else text
            places[name] = f"{where}, {key}"
    hint = "a file of your machine is never sent because a cluster names it"
    for patch in items("patch", values.get("patch", [])):
        if isinstance(patch, str):
            problems.append(Problem(where, f"must have a mapping as patch, got {patch[:60]!r}", hint))
    if isinstance(recipe := values.get("recipe"), str) and is_recipe_file(recipe):
        problems.append(Problem(where, f"must name a recipe, got the file {recipe[:60]!r}", hint))
    for name in sorted(NOT_FROM_A_CLUSTER & values.keys()):
        flag = name.replace("_", "-")
        hint = f"nothing of your machine is sent because a cluster names it: --{flag} PATH"
        problems.append(Problem(where, f"must not have {flag}, got {str(values[name])[:60]!r}", hint))
    if problems:
        raise RequestError(*problems)
    return Source(where, values, places, source.slices)


def merge(*sources: Source) -> tuple[dict[str, Any], dict[str, str]]:
    """Return (field -> value, field -> where it comes from); the strongest source comes first.

    A queue that is NOTHING is left out, with what weaker sources say about it.
    """
    values: dict[str, Any] = {}
    where: dict[str, str] = {}
    for source in of_one_program(sources):
        for name, value in source.values.items():
            if is_repeated(name):
                values[name] = items(name, value) + values.get(name, [])
                where[name] = f"{source.where}, {where[name]}" if name in where else source.where
            elif name not in values:
                values[name], where[name] = value, source.where
    for source in sources:
        if "custom_slice" not in values and values.get("slice") in source.slices:
            values["custom_slice"], where["custom_slice"] = source.slices[values["slice"]], source.where
    if values.get("queue") is NOTHING:
        weaker = [name for name in OF_A_QUEUE if name in values and where[name] != where["queue"]]
        for name in ("queue", *weaker):
            del values[name], where[name]
    return values, where


def of_one_program(sources: Iterable[Source]) -> list[Source]:
    """Return the sources without what weaker ones say about another program than the strongest names.

    So `--command` runs although resnet-launch.yaml holds a network, a dataset and settings of the trainer.
    """
    sources = [*sources]
    naming = (index for index, source in enumerate(sources) if {"arch", "command"} & source.values.keys())
    strongest = next(naming, len(sources))
    if strongest == len(sources) or {"arch", "command"} <= sources[strongest].values.keys():
        return sources
    others = ("arch", *program.OF_THE_TRAINER)
    if "arch" in sources[strongest].values:
        others = ("command", *program.OF_A_PROGRAM)
    weaker = [
        dataclasses.replace(s, values={name: v for name, v in s.values.items() if name not in others})
        for s in sources[strongest + 1 :]
    ]
    return [*sources[: strongest + 1], *weaker]


def located(problems: Iterable[Problem], sources: Iterable[Source]) -> Iterator[Problem]:
    """Yield each problem with the variable, the line of a file or the ConfigMap that its value comes from.

    The name of a flag is the field's, so nothing is added for flags.
    """
    sources = [*sources]
    for problem in problems:
        name = problem.field.replace("-", "_")
        owners = [source for source in sources if name in source.values] if name in FIELDS else []
        if owners and is_repeated(name):
            read = FIELDS[name].metadata["read"]
            owners = [
                source for source in owners if _refuses(read, items(name, source.values[name]))
            ] or owners
        else:
            owners = owners[:1]
        places = [source.place(name) for source in owners if source.where != "flag"]
        known = not places or problem.place
        yield problem if known else dataclasses.replace(problem, place=" and ".join(places))


def _refuses(read: Any, value: Any) -> bool:
    try:
        read(value)
    except (Wrong, RequestError):
        return True
    return False


def _unknown(where: str, key: str, line: str = "") -> Problem:
    known = {SLICES, *(name.replace("_", "-") for name in FIELDS.keys() - NOT_SHARED)}
    hint = closest(key.replace("_", "-"), known) or f"it may hold {', '.join(sorted(known))}"
    return Problem(where, f"must have known keys, got {key[:60]!r}{line}", hint)
