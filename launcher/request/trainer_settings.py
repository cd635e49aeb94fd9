"""Readers of the trainer's settings and flags: a wrong one is refused before anything is submitted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from launcher import contract
from launcher.errors import closest
from launcher.request import imports, kubernetes_names, precedence, readers
from launcher.request.readers import Wrong

LONGEST_NAME = 63  # characters of a recipe's name
TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
}


def known(kind: imports.Kind, what: str) -> readers.Reader:
    """Return a reader of one of the trainer's names, or of code that the pods import.

    Args:
      kind: what is named.
      what: describes it in the message, with article.
    """
    is_code = imports.is_module if kind == "recipes" else imports.is_object
    form = "package.module" if kind == "recipes" else "package.module:name"

    def read(value: Any) -> str:
        names = list(contract.document()[kind])
        if value in names or is_code(value):
            return value
        if meaning := imports.added(kind, value):
            return meaning
        hint = closest(value, names) if isinstance(value, str) else ""
        raise Wrong(f"must be {what} ({', '.join(names)}) or {form}", value, hint)

    return read


def dataset(value: Any) -> str:
    """Read a dataset: a name that the trainer knows, gs://BUCKET/…, an absolute path or code of the pods."""
    if isinstance(value, str) and "/" in value:
        return kubernetes_names.directory(value)
    return known("datasets", "gs://BUCKET/…, an absolute path, a dataset")(value)


def recipe(value: Any) -> str:
    """Read a recipe: a name, package.module, or settings as a mapping or as JSON, which become JSON.

    A mapping may name the recipe that it changes under `recipe`, and itself under `name`.
    """
    if isinstance(value, str) and value.endswith((".yaml", ".yml")):
        raise Wrong("must be a name, package.module or settings here", value, "--recipe FILE.yaml reads it")
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Wrong("must be JSON with settings where it begins with {", value) from None
    return own_recipe(value) if isinstance(value, Mapping) else _NAMED_RECIPE(value)


_NAMED_RECIPE = known("recipes", "a recipe, FILE.yaml")


def own_recipe(value: Mapping[Any, Any]) -> str:
    """Return the settings of a recipe as JSON; sections may be nested.

    Raises:
      Wrong: a setting is unknown or cannot hold its value.
    """
    settings: dict[str, Any] = {}
    pending = [("", value)]
    for prefix, section in pending:  # grows while it is read
        for key, entry in section.items():
            if isinstance(entry, Mapping) and not prefix:
                pending.append((f"{key}.", entry))
            else:
                settings[f"{prefix}{key}"] = entry
    name, base = settings.pop("name", "own"), settings.pop("recipe", None)
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
        raise Wrong(f"name must be printable text of 1 to {LONGEST_NAME} characters", name)
    merged = {} if base is None else dict(contract.document()["recipes"].get(str(base), {}))
    if base is not None and base not in contract.document()["recipes"]:
        names = list(contract.document()["recipes"])
        raise Wrong(f"recipe must be one of {', '.join(names)}", base, closest(str(base), names))
    for path, entry in settings.items():
        spelling = json.dumps(entry) if isinstance(entry, bool) else entry
        if not isinstance(spelling, (str, int, float)):
            raise Wrong(f"{path} must be text, a number or true or false", entry)
        path, _, spelling = setting(f"{path}={spelling}").partition("=")
        merged[path] = precedence.READ[contract.fields()[path]["type"]](spelling)
    return json.dumps({"name": name} | merged, ensure_ascii=False)


def setting(value: Any) -> str:
    """Read `section.field=value`: a field of the trainer and a value that this field can hold."""
    path, equals, text = readers.text(value).partition("=")
    path, text = path.strip(), text.strip()
    if not equals:
        raise Wrong("must be section.field=value", value)
    field = contract.fields().get(path)
    if field is None:
        raise Wrong(
            "must name a field of the trainer",
            path,
            closest(path, contract.fields()) or "resnet-launch config --train",
        )
    if "code" in field and (meaning := imports.added(field["code"], text)):
        text = meaning
    _check(field, text)
    return f"{path}={text}"


def _check(field: contract.Setting, text: str) -> None:
    """Raise Wrong where a field cannot hold a value, given as text."""
    name, kind = field["field"], field["type"]
    must = f"{name} must be {TYPES[kind]}"
    try:
        number = {"int": int, "float": float, "bool": readers.flag, "str": len}[kind](text)
    except ValueError:
        raise Wrong(must, text) from None
    if field.get("paths") and "/" in text:
        try:
            dataset(text)
        except Wrong:
            raise Wrong(f"{name} must be gs://BUCKET/… or an absolute path", text) from None
    elif "code" in field and imports.is_object(text):
        return
    elif "choices" in field and text not in field["choices"]:
        choices = ", ".join(field["choices"])
        raise Wrong(f"{name} must be one of {choices}", text, closest(text, field["choices"]))
    if "minimum" in field and not field["minimum"] <= number < float("inf"):
        raise Wrong(f"{must} of at least {field['minimum']}", text)
    if "maximum" in field and number > field["maximum"]:
        raise Wrong(f"{must} of at most {field['maximum']}", text)


def arguments(value: Any) -> tuple[str, ...]:
    """Read the arguments after `--`: flags of the trainer, each checked like the launcher's own flag."""
    pending = list(readers.many(readers.text)(value))
    checked: list[str] = []
    while pending:
        flag, equals, text = pending.pop(0).partition("=")
        if flag not in FLAGS:
            raise Wrong(
                "must be flags of the trainer after --",
                flag,
                closest(flag, FLAGS) or f"it has {', '.join(FLAGS)}",
            )
        if not equals and not pending:
            raise Wrong(f"must have a value after {flag}", flag)
        checked += [flag, str(FLAGS[flag](text if equals else pending.pop(0)))]
    return tuple(checked)


def steps(value: Any) -> str:
    """Read a range of steps, counted from 1: `100-104` or `100`."""
    text = readers.text(value)
    first, dash, last = text.partition("-")
    last = last if dash else first
    if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last)):
        raise Wrong("must be FIRST-LAST, counted from 1", text)
    return text


FLAGS: dict[str, readers.Reader] = {  # flags of the trainer that may follow --
    "--set": setting,
    "--batch": readers.integer(1),
    "--epochs": readers.positive,
    "--steps": readers.integer(1),
    "--seed": readers.integer(0),
    "--data": dataset,
    "--recipe": recipe,
    "--profile": steps,
}
