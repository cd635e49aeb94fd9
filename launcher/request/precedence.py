"""The settings that a run will have: what its command line names, merged as the trainer merges it."""

from __future__ import annotations

import json
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
    """Return every setting of the trainer: its default, else the recipe's, else the command line's.

    A recipe that is a module of the pods counts as empty: only they can read it.
    """
    arguments = [*arguments]
    named = requested(arguments)
    defaults = {path: setting["default"] for path, setting in contract.fields().items()}
    return defaults | (recipe_settings(recipe(arguments)) or {}) | named


def recipe(arguments: Iterable[Argument]) -> str:
    """Return the recipe of a command line: the last that it names, or the dataset's."""
    arguments = [*arguments]
    recipes = [value for flag, value in arguments if flag == "--recipe"]
    return recipes[-1] if recipes else default_recipe(requested(arguments))


def recipe_settings(recipe: str) -> dict[str, Value] | None:
    """Return the settings of a recipe; None where it is a module, which only the pods can read."""
    if recipe.startswith("{"):
        return {path: value for path, value in json.loads(recipe).items() if path != "name"}
    return contract.document()["recipes"].get(recipe)


def default_recipe(named: Mapping[str, Value]) -> str:
    """Return the recipe of a run that names none: its dataset's, or that of images at a path."""
    dataset = str(named.get("data.name", contract.fields()["data.name"]["default"]))
    document = contract.document()
    return document["default_recipes"].get(dataset, document["path_recipe"])
