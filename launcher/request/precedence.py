"""The settings that a run will have: what its command line names, merged as the trainer merges it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from launcher import contract
from launcher.request import readers

Value = int | float | bool | str
Argument = tuple[str, str]  # a flag of the trainer and its value

READ = {"int": int, "float": float, "bool": readers.flag, "str": str}


def requested(arguments: Iterable[Argument]) -> dict[str, Value]:
    """Return the settings that a command line of the trainer names, as `section.field` -> value.

    `--set` wins over every other flag wherever it stands. Of the same flag, or of two `--set` of one field,
    the last wins.
    """
    flags: dict[str, str] = {}
    sets: dict[str, str] = {}
    for flag, value in arguments:
        if flag == "--set":
            path, _, text = value.partition("=")
            sets[path] = text
        elif flag in contract.document()["flags"]:
            flags[contract.document()["flags"][flag]["field"]] = value
    return {path: READ[contract.fields()[path]["type"]](text) for path, text in (flags | sets).items()}


def resolve(arguments: Iterable[Argument]) -> dict[str, Value]:
    """Return every setting of the trainer: its default, else the recipe's, else the command line's."""
    arguments = [*arguments]
    named = requested(arguments)
    recipes = [value for flag, value in arguments if flag == "--recipe"]
    recipe = recipes[-1] if recipes else default_recipe(named)
    defaults = {path: setting["default"] for path, setting in contract.fields().items()}
    return defaults | contract.document()["recipes"][recipe] | named


def default_recipe(named: Mapping[str, Value]) -> str:
    """Return the recipe of a run that names none: its dataset's, or that of images at a path."""
    dataset = str(named.get("data.name", contract.fields()["data.name"]["default"]))
    document = contract.document()
    return document["default_recipes"].get(dataset, document["path_recipe"])
