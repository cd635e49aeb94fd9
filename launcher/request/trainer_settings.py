"""What the trainer accepts: a wrong setting is refused before it is sent."""

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
    """Reads one of the names that the trainer has: kind is archs, datasets or recipes."""

    def read(value: Any) -> str:
        found = list(contract.document()[kind])
        if value not in found:
            hint = closest(value, found) if isinstance(value, str) else ""
            raise Wrong(f"must be {what} ({', '.join(found)})", value, hint)
        return value

    return read


def dataset(value: Any) -> str:
    """One of the trainer's datasets, or where another lies: gs://BUCKET/… or an absolute path."""
    if isinstance(value, str) and "/" in value:
        return kubernetes_names.directory(value)
    return known("datasets", "gs://BUCKET/…, an absolute path or a dataset")(value)


def setting(value: Any) -> str:
    """`section.field=value` with a field the trainer has and a value that the field can hold."""
    path, equals, given = readers.text(value).partition("=")
    path, given = path.strip(), given.strip()
    if not equals:
        raise Wrong("must be section.field=value", value)
    row = contract.fields().get(path)
    if row is None:
        raise Wrong(
            "must name a field of the trainer",
            path,
            closest(path, contract.fields()) or "resnet-launch config --train",
        )
    _check(row, given)
    return f"{path}={given}"


def _check(row: contract.Setting, given: str) -> None:
    kind, must = row["type"], f"{row['field']} must be {TYPES[row['type']]}"
    try:
        number = {"int": int, "float": float, "bool": readers.flag, "str": len}[kind](given)
    except ValueError:
        raise Wrong(must, given) from None
    if row.get("paths") and "/" in given:
        try:
            dataset(given)
        except Wrong:
            raise Wrong(f"{row['field']} must be gs://BUCKET/… or an absolute path", given) from None
    elif "choices" in row and given not in row["choices"]:
        choices = ", ".join(row["choices"])
        raise Wrong(f"{row['field']} must be one of {choices}", given, closest(given, row["choices"]))
    if "minimum" in row and not row["minimum"] <= number < float("inf"):
        raise Wrong(f"{must} of at least {row['minimum']}", given)
    if "maximum" in row and number > row["maximum"]:
        raise Wrong(f"{must} of at most {row['maximum']}", given)


def arguments(value: Any) -> tuple[str, ...]:
    """What stands after `--`: the trainer's own flags, each checked as the launcher's flag of that name."""
    given = list(readers.many(readers.text)(value))
    checked: list[str] = []
    while given:
        flag, equals, rest = given.pop(0).partition("=")
        if flag not in FLAGS:
            raise Wrong(
                "must be flags of the trainer after --",
                flag,
                closest(flag, FLAGS) or f"it has {', '.join(FLAGS)}",
            )
        if not equals and not given:
            raise Wrong(f"must have a value after {flag}", flag)
        checked += [flag, str(FLAGS[flag](rest if equals else given.pop(0)))]
    return tuple(checked)


def steps(value: Any) -> str:
    """`100-104` or `100`, counted from 1."""
    given = readers.text(value)
    first, dash, last = given.partition("-")
    last = last if dash else first
    if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last)):
        raise Wrong("must be FIRST-LAST, counted from 1", given)
    return given


FLAGS: dict[str, readers.Reader] = {  # those of the trainer that a run may still change
    "--set": setting,
    "--batch": readers.integer(1),
    "--epochs": readers.positive,
    "--steps": readers.integer(1),
    "--seed": readers.integer(0),
    "--data": dataset,
    "--recipe": known("recipes", "a recipe"),
    "--profile": steps,
}
