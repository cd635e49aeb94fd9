"""What the launcher knows of the trainer, read once from contract.json, which `make generate` writes.

The launcher never imports the trainer. The types of that file are written here;
tests/test_contract.py compares them with it.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

LineKind = Literal["progress", "evaluate", "event"]
StepName = Literal["train", "eval"]
Head = Literal["error", "hint", "progress"]
Then = Literal["complete", "restart, not counted", "restart, counted", "fail at once"]


class Setting(TypedDict):
    """A setting of the trainer: its type, and where they apply choices and bounds."""

    field: str  # section.field
    type: Literal["int", "float", "bool", "str"]
    default: int | float | bool | str
    help: str
    choices: NotRequired[list[str]]
    minimum: NotRequired[float]
    maximum: NotRequired[float]
    paths: NotRequired[bool]  # a path or gs://… is allowed beside the choices


class Flag(TypedDict):
    """A flag of the trainer that sets one field."""

    field: str
    help: str


class ExitCode(TypedDict):
    """An exit code of the trainer, and what the JobSet does then."""

    code: int
    meaning: str
    then: Then


class Variable(TypedDict):
    """An environment variable that the trainer reads."""

    name: str
    help: str


class Member(TypedDict):
    """The type of one value of an event, of a log line or of JSON."""

    type: str
    help: NotRequired[str]
    optional: NotRequired[bool]
    fields: NotRequired[dict[str, Member]]  # of an object
    items: NotRequired[Member]  # of a list
    values: NotRequired[Member]  # of a map


class Event(TypedDict):
    """An event of a run."""

    help: str
    milestone: bool  # of the way to the first step
    fields: dict[str, Member]


class Line(TypedDict):
    """A line of the trainer's log that the launcher reads."""

    help: str
    fields: dict[str, Member]


class ProgressLine(TypedDict, total=False):
    """What the launcher reads of a `progress` line; text stands for what is no finite number."""

    step: int
    steps: int
    loss: float | str
    images_per_second: float | str
    data_wait: float | str
    eta_seconds: float | str


class EvaluateLine(TypedDict, total=False):
    """What the launcher reads of an `evaluate` line."""

    step: int
    accuracy: float | str


class Collective(TypedDict):
    """Exchanges of one kind over one network, in one step."""

    kind: str  # all-reduce, all-gather, …
    network: str  # ici within a slice, dcn between slices
    number: int
    bytes: int
    rounds: NotRequired[int]  # that wait for one another; between slices only


class StepResult(TypedDict):
    """What `check` found out about one step, on one device; memory in bytes."""

    fits: bool
    seconds: float
    peak: int
    limit: NotRequired[int]
    memory: dict[str, int]
    flops: float  # this and the following where it fits
    bytes: float
    collectives: list[Collective]


class CheckResult(TypedDict):
    """What `check` found out about a run; trainer/check/result.py explains each key."""

    estimated: bool
    code: bool
    versions: dict[str, str]
    device_kind: str
    devices: int
    batch: int
    accumulate: int
    bn_group: int
    assumed: NotRequired[str]
    image: list[int]
    examples: int
    steps: int
    steps_per_epoch: float
    evaluations: int
    parameters: int
    train: StepResult
    eval: NotRequired[StepResult]
    cached: bool  # of the launcher: whether it is an earlier answer


class Check(TypedDict):
    """`python -m trainer.check`."""

    steps: list[str]
    result: dict[str, Member]


class Document(TypedDict):
    """contract.json."""

    archs: list[str]
    datasets: list[str]
    recipes: dict[str, dict[str, Any]]  # name -> section.field -> value
    default_recipes: dict[str, str]  # dataset -> recipe
    path_recipe: str  # recipe of images at a path or in a bucket
    flags: dict[str, Flag]
    fields: list[Setting]
    exit_codes: dict[str, ExitCode]
    environment: dict[str, Variable]
    events: dict[str, Event]
    lines: dict[LineKind, Line]
    heads: dict[Head, str]  # of lines on stderr
    check: Check


@functools.cache
def document() -> Document:
    """contract.json as it is."""
    return json.loads(Path(__file__).with_name("contract.json").read_text(encoding="utf-8"))


@functools.cache
def fields() -> dict[str, Setting]:
    """`section.field` -> its setting."""
    return {setting["field"]: setting for setting in document()["fields"]}


def codes(then: Then) -> list[int]:
    """The exit codes after which the JobSet does this, in ascending order."""
    return sorted(row["code"] for row in document()["exit_codes"].values() if row["then"] == then)


def meanings() -> dict[int, str]:
    """Exit code -> what it means."""
    return {row["code"]: row["meaning"] for row in document()["exit_codes"].values()}


def variable(key: str) -> str:
    """The name of an environment variable of the trainer: `hosts` -> `RESNET_HOSTS`."""
    return document()["environment"][key]["name"]


def head(name: Head) -> str:
    """How a line on stderr begins: `error` -> `error: `."""
    return document()["heads"][name]


def milestones() -> list[str]:
    """The events on the way to the first step, in their order."""
    return [name for name, event in document()["events"].items() if event["milestone"]]
