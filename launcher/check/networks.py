"""Networks side by side, each with its own recipe: what it is known to reach, and what a run costs.

The accuracy is the one that a recipe's source publishes. Everything else is compiled, estimated or predicted
as `check` does for one run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from launcher import contract
from launcher.check import report
from launcher.check.assessment import GIB, Assessment, device_memory
from launcher.check.prices import Prices
from launcher.errors import Problem, RequestError, closest

FIELD = "compare-archs"
COLUMNS = (
    "arch",
    "recipe",
    "top-1",
    "M parameters",
    "GFLOP per image",
    "batch",
    "GiB per device",
    "images/s per chip",
    "time",
    "chip-hours",
    "cost",
    "method",
)
NO_RECIPE = "no recipe for it is in this version, so its accuracy and the length of its run are not known"
PUBLISHED = "top-1 on ImageNet-1k is published by the source of each recipe; nothing here was trained"
PREDICTED = "the rate is predicted, not measured; its hours are those of the recipe's epochs"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A network and the recipe that it is compared with.

    Attributes:
      arch: its name.
      recipe: a recipe's name; "" where there is none for it.
      accuracy: published top-1 accuracy of the two, 0 to 1; None where none is published.
    """

    arch: str
    recipe: str
    accuracy: float | None

    def __str__(self) -> str:
        return f"{self.arch}@{self.recipe}" if self.recipe else self.arch


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A network with its assessment, or with the reason why there is none."""

    choice: Choice
    assessment: Assessment | None = None
    failure: str = ""

    @property
    def chip_hours(self) -> float | None:
        """Expected chip-hours of the recipe's run; None where it is not known."""
        prediction = self.assessment.prediction if self.assessment else None
        return prediction.chip_hours.expected if prediction and self.choice.recipe else None


def read(names: str, recipe: str = "") -> list[Choice]:
    """Read `resnet50,vit-s16@vit-s16-90`; without a recipe, a network has the one of the best accuracy.

    Args:
      names: networks of this project, each with @RECIPE or without.
      recipe: recipe of the networks that name none; "": each its own.

    Raises:
      RequestError: every name that is wrong, or that stands there twice.
    """
    document = contract.document()
    choices: list[Choice] = []
    problems: list[Problem] = []
    for entry in (name.strip() for name in names.split(",")):
        arch, at, named = entry.partition("@")
        if ":" in arch:
            text = f"must be networks of this project, whose recipes are published, got {entry!r}"
            problems.append(
                Problem(FIELD, text, "check --arch, without --compare-archs, takes a network of your own")
            )
        elif arch not in document["archs"]:
            hint = closest(arch, document["archs"]) or "resnet-launch config --train lists the networks"
            problems.append(Problem(FIELD, f"must be names of networks, got {entry!r}", hint))
        elif at and named not in document["recipes"]:
            hint = closest(named, document["recipes"]) or "docs/guides/training.md lists the recipes"
            problems.append(Problem(FIELD, f"must have a recipe after @, got {entry!r}", hint))
        else:
            choice = _choice(arch, named or recipe)
            if choice in choices:
                problems.append(Problem(FIELD, f"must name each network once, got {entry!r} twice"))
            choices.append(choice)
    if problems:
        raise RequestError(*problems)
    return choices


def _choice(arch: str, recipe: str) -> Choice:
    """Return a network with a recipe, or with the one of its recipes that reaches most."""
    of_arch = {
        name: row["accuracy"] for name, row in contract.document()["published"].items() if row["arch"] == arch
    }
    if not recipe:
        recipe = max(of_arch, key=lambda name: of_arch[name], default="")
    return Choice(arch=arch, recipe=recipe, accuracy=of_arch.get(recipe))


def ordered(compared: Sequence[Compared]) -> list[Compared]:
    """Return the networks by chip-hours, the fewest first; those without any come last."""
    return sorted(compared, key=lambda one: (one.chip_hours is None, one.chip_hours or 0.0))


def row(one: Compared, prices: Prices) -> dict[str, Any]:
    """Return one row of the comparison, keyed by COLUMNS; what is not known is empty."""
    choice, assessment = one.choice, one.assessment
    cells: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    cells |= {"arch": choice.arch, "recipe": choice.recipe}
    if choice.accuracy is not None:
        cells["top-1"] = f"{100 * choice.accuracy:.4g} %"
    if assessment is None:
        return cells
    result, train = assessment.result, assessment.result["train"]
    of_slices = report.row(assessment, prices)
    cells |= {name: of_slices[name] for name in ("batch", "GiB per device", "images/s per chip", "method")}
    cells["M parameters"] = f"{result['parameters'] / 1e6:,.3g}"
    if "flops" in train:
        cells["GFLOP per image"] = f"{train['flops'] / assessment.batch_per_device / 1e9:,.3g}"
    if one.chip_hours is not None:
        cells |= {name: of_slices[name] for name in ("time", "chip-hours", "cost")}
    return cells


def notes(compared: Sequence[Compared]) -> list[str]:
    """Return the lines below the table: why a cell is empty, and what the numbers are."""
    lines: list[str] = []
    for one in compared:
        name = one.choice.arch
        if one.failure:
            lines.append(f"{name}: {one.failure}")
        if not one.choice.recipe:
            lines.append(f"{name}: {NO_RECIPE}")
        elif one.choice.accuracy is None:
            lines.append(f"{name}: no accuracy is published for it with the recipe {one.choice.recipe}")
        if one.assessment and not one.assessment.fits:
            lines.append(f"{name}: {_too_large(one.assessment)}")
    return [*lines, PUBLISHED, PREDICTED]


def _too_large(assessment: Assessment) -> str:
    train = assessment.result["train"]
    limit = train.get("limit", device_memory(assessment.job)) / GIB
    return (
        f"batch {assessment.result['batch']} needs {train['peak'] / GIB:.1f} of {limit:.1f} GiB per device; "
        "more chips or --set train.accumulate=2 need less"
    )


def document(one: Compared, prices: Prices) -> dict[str, Any]:
    """Return one network for `--json`: the choice, and the assessment as `check` has it."""
    assessed = report.document(one.assessment, prices) if one.assessment else {}
    reason = {"failure": one.failure} if one.failure else {}
    return dataclasses.asdict(one.choice) | reason | assessed


def assess_all(choices: Sequence[Choice], assess: Callable[[Choice], Assessment | str]) -> list[Compared]:
    """Return the networks with their assessments, in order; a text in its place is why there is none."""
    compared: list[Compared] = []
    for choice in choices:
        assessed = assess(choice)
        if isinstance(assessed, str):
            compared.append(Compared(choice=choice, failure=assessed))
        else:
            compared.append(Compared(choice=choice, assessment=assessed))
    return compared
