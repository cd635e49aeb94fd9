"""The contract with the trainer, read once from contract.json, which `make generate` writes.

The launcher never imports the trainer. This module declares the types of contract.json and of what the
launcher reads from the trainer. tests/test_contract.py compares all of them with the file.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

LineKind = Literal["progress", "evaluate", "event"]
StepName = Literal["train", "eval"]
Head = Literal["error", "hint", "progress"]
PREDICTED = "log.predicted"  # setting: images/s over all devices that a run should reach
Then = Literal["complete", "restart, not counted", "restart, counted", "fail at once"]


class Setting(TypedDict):
    """A setting of the trainer: its type and, where they apply, its choices and bounds."""

    field: str  # section.field
    type: Literal["int", "float", "bool", "str"]
    default: int | float | bool | str
    help: str
    choices: NotRequired[list[str]]
    minimum: NotRequired[float]
    maximum: NotRequired[float]
    paths: NotRequired[bool]  # whether a path or gs://… is allowed besides the choices
    code: NotRequired[Literal["archs", "datasets"]]  # package.module:name is allowed; what packages add to
    local: NotRequired[list[str]]  # of a setting that is a path: what it may also hold


class Flag(TypedDict):
    """A flag of the trainer that sets one field."""

    field: str
    help: str


class ExitCode(TypedDict):
    """An exit code of the trainer, and what the JobSet does after it."""

    code: int
    meaning: str
    then: Then


class Variable(TypedDict):
    """An environment variable that the trainer reads."""

    name: str
    help: str


class Member(TypedDict):
    """The type of one value in an event, a log line or JSON."""

    type: str
    help: NotRequired[str]
    optional: NotRequired[bool]
    fields: NotRequired[dict[str, Member]]  # of an object
    items: NotRequired[Member]  # of a list
    values: NotRequired[Member]  # of a map


class Event(TypedDict):
    """An event of a run."""

    help: str
    milestone: bool  # whether it is on the way to the first step
    fields: dict[str, Member]


class Line(TypedDict):
    """A line of the trainer's log that the launcher reads."""

    help: str
    fields: dict[str, Member]


class ProgressLine(TypedDict, total=False):
    """The values of a `progress` line that the launcher reads; a number that is not finite is text."""

    step: int
    steps: int
    loss: float | str
    images_per_second: float | str
    data_wait: float | str
    predicted: float | str
    slow: str
    eta_seconds: float | str


class EvaluateLine(TypedDict, total=False):
    """The values of an `evaluate` line that the launcher reads."""

    step: int
    accuracy: float | str


class Collective(TypedDict):
    """All exchanges of one kind over one network in one step."""

    kind: str  # all-reduce, all-gather, …
    network: str  # ici within a slice, dcn between slices
    number: int
    bytes: int
    rounds: NotRequired[int]  # exchanges that wait for one another; between slices only


class StepResult(TypedDict):
    """The result of `check` for one step on one device; memory in bytes."""

    fits: bool
    seconds: float
    peak: int
    limit: NotRequired[int]
    memory: dict[str, int]
    flops: float  # this and the keys below only where the step fits
    bytes: float
    collectives: list[Collective]


class CheckResult(TypedDict):
    """The result of `check` for a run; trainer/check/result.py explains each key."""

    estimated: bool
    code: bool
    versions: dict[str, str]
    device_kind: str
    devices: int
    model: int  # devices that share one copy of the network
    batch: int
    accumulate: int
    bn_group: int
    assumed: str  # empty where nothing is assumed
    image: list[int]
    examples: int
    steps: int
    steps_per_epoch: float
    evaluations: int
    parameters: int
    train: StepResult  # the launcher always asks for it
    eval: NotRequired[StepResult]
    cached: bool  # added by the launcher: whether the result is from its cache


class Imports(TypedDict):
    """How code that the pods import is named."""

    object: str  # pattern of package.module:name
    module: str  # pattern of package.module
    groups: dict[str, str]  # archs, datasets, recipes -> group of entry points that adds names


class Check(TypedDict):
    """The steps and the JSON of `python -m trainer.check`."""

    steps: list[str]
    result: dict[str, Member]


class Published(TypedDict):
    """What a recipe for ImageNet-1k is known to reach, as its source says."""

    arch: str
    accuracy: float  # top-1, 0 to 1


class NetworkSettings(TypedDict):
    """Networks that honour the same settings of the section `model`."""

    archs: list[str]
    settings: list[str]  # as model.field


class Document(TypedDict):
    """contract.json."""

    archs: list[str]
    mb_per_image: dict[str, float]  # traffic of a training image with the device's memory
    gflop_per_image: dict[str, float]  # arithmetic of a training image: 224 pixels, 32 for CIFAR
    families: dict[str, str]  # network -> its family
    model_axis: dict[str, dict[str, int]]  # network -> what mesh.model must divide, such as its heads
    network_settings: list[NetworkSettings]  # each network in one of them
    layers_per_step: dict[str, int]  # network -> s of the depths sn + 2 that model.depth may choose
    datasets: list[str]
    imports: Imports
    recipes: dict[str, dict[str, Any]]  # name -> section.field -> value
    recipe_families: dict[str, str]  # recipe -> the one family of networks that it is published for
    published: dict[str, Published]  # recipe -> its network and accuracy
    default_recipes: dict[str, str]  # dataset -> recipe
    path_recipe: str  # recipe of images at a path or in a bucket
    flags: dict[str, Flag]
    fields: list[Setting]
    identity: list[str]  # settings with another value of which a run is never continued
    exit_codes: dict[str, ExitCode]
    environment: dict[str, Variable]
    events: dict[str, Event]
    lines: dict[LineKind, Line]
    heads: dict[Head, str]  # of lines on stderr
    check: Check


@functools.cache
def document() -> Document:
    """Return contract.json."""
    return json.loads(Path(__file__).with_name("contract.json").read_text(encoding="utf-8"))


@functools.cache
def fields() -> dict[str, Setting]:
    """Return the trainer's settings by `section.field`."""
    return {setting["field"]: setting for setting in document()["fields"]}


def codes(then: Then) -> list[int]:
    """Return the exit codes after which the JobSet does `then`, in ascending order."""
    return sorted(row["code"] for row in document()["exit_codes"].values() if row["then"] == then)


def meanings() -> dict[int, str]:
    """Return the meaning of each exit code."""
    return {row["code"]: row["meaning"] for row in document()["exit_codes"].values()}


def variable(key: str) -> str:
    """Return the name of an environment variable of the trainer: `hosts` -> `RESNET_HOSTS`."""
    return document()["environment"][key]["name"]


def head(name: Head) -> str:
    """Return the start of a line on stderr: `error` -> `error: `."""
    return document()["heads"][name]


def milestones() -> list[str]:
    """Return the events on the way to the first step, in order."""
    return [name for name, event in document()["events"].items() if event["milestone"]]
