"""Readers of the trainer's settings and flags: a wrong one is refused before anything is submitted."""

from __future__ import annotations

from typing import Any, Literal

from launcher import contract
from launcher.errors import closest
from launcher.request import kubernetes_names, readers
from launcher.request.readers import Wrong

TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
}


def known(kind: Literal["archs", "datasets", "recipes"], what: str) -> readers.Reader:
    """Return a reader of one of the trainer's names; `what` describes it in the message, with article."""

    def read(value: Any) -> str:
        names = list(contract.document()[kind])
        if value not in names:
            hint = closest(value, names) if isinstance(value, str) else ""
            raise Wrong(f"must be {what} ({', '.join(names)})", value, hint)
        return value

    return read


def dataset(value: Any) -> str:
    """Read a dataset: a name that the trainer knows, gs://BUCKET/… or an absolute path."""
    if isinstance(value, str) and "/" in value:
        return kubernetes_names.directory(value)
    return known("datasets", "gs://BUCKET/…, an absolute path or a dataset")(value)


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
    "--recipe": known("recipes", "a recipe"),
    "--profile": steps,
}
