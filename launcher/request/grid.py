"""The runs of a sweep: every combination of the values of a grid, each with a name that stays the same."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence

from launcher import contract
from launcher.errors import Problem, RequestError, closest
from launcher.request import readers, trainer_settings

MOST = 1000  # runs of a sweep
EXAMPLE = "--grid optim.lr=0.1,0.2 --grid train.seed=0..2"
RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)")
LONGEST_SUFFIX = 32  # characters of a run's name after that of the sweep; a longer one is a hash
# Setting -> the field of a request that sets it, because the launcher needs it for more than the trainer.
OF_FIELDS = {"model.arch": "arch", "data.name": "data", "train.batch": "batch", "train.epochs": "epochs"}
OF_FIELDS |= {"train.steps": "steps", "train.seed": "seed"}


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of a sweep: its name, and setting -> value as it was typed."""

    name: str
    settings: Mapping[str, str]


def axes(grids: Sequence[str]) -> dict[str, list[str]]:
    """Return setting -> values of `optim.lr=0.1,0.2` and `train.seed=0..2`, in the order of the flags.

    Raises:
      RequestError: a grid has another form, names no setting, or names one twice; all problems at once.
    """
    result: dict[str, list[str]] = {}
    problems: list[Problem] = []
    for text in grids:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not values:
            problems.append(Problem("grid", f"must be SETTING=VALUE,VALUE, got {text!r}", EXAMPLE))
        elif name not in contract.fields():
            hint = closest(name, contract.fields()) or "docs/reference/settings.md lists the settings"
            problems.append(Problem("grid", f"must name a setting such as optim.lr, got {name!r}", hint))
        elif name in result:
            problems.append(Problem("grid", f"must name each setting once, got {name} again", EXAMPLE))
        else:
            try:
                result[name] = _values(values)
            except ValueError as error:
                problems.append(Problem("grid", f"{name} {error}, got {values!r}", EXAMPLE))
    if not grids:
        problems.append(Problem("grid", "must be given at least once", EXAMPLE))
    if problems:
        raise RequestError(*problems, *_wrong_values(result))
    return result


def _wrong_values(grid: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Yield the values that no run could have, for a grid whose runs are not made; paths are left out."""
    for name, values in grid.items():
        if contract.fields()[name].get("paths") or "local" in contract.fields()[name]:
            continue  # what they name depends on where the run is
        for value in values:
            try:
                trainer_settings.setting(f"{name}={value}")
            except readers.Wrong as wrong:
                yield Problem("grid", str(wrong), wrong.hint)


def _values(text: str) -> list[str]:
    values: list[str] = []
    for part in map(str.strip, text.split(",")):
        if match := RANGE.fullmatch(part):
            first, last = map(int, match.groups())
            if not 0 <= last - first < MOST:
                raise ValueError(f"must have ranges that go up, of at most {MOST:,} numbers")
            values += map(str, range(first, last + 1))
        else:
            values.append(part)
    if not all(values) or len(set(values)) < len(values):
        raise ValueError("must have values that differ, separated by commas")
    return values


def trials(
    sweep: str, grid: Mapping[str, Sequence[str]], random: int | None = None, seed: int = 0
) -> list[Trial]:
    """Return the runs of a sweep.

    Args:
      sweep: name of the sweep, with which the name of each run begins.
      grid: setting -> values.
      random: number of combinations to take; all of them if not given. More with the same seed are the same
        ones and others.
      seed: decides which ones are taken.

    Raises:
      RequestError: there are too many, or two would have the same name.
    """
    number = 1
    for values in grid.values():
        number *= len(values)
    if number > MOST and random is None:
        problem = f"must give at most {MOST:,} runs, got {number:,} combinations"
        raise RequestError(Problem("grid", problem, f"--random {MOST} takes as many of them"))
    if random is not None and not 1 <= random <= min(number, MOST):
        problem = f"must be from 1 to {min(number, MOST):,}, the combinations of the grid, got {random:,}"
        raise RequestError(Problem("random", problem))
    if number > MOST**2:
        raise RequestError(Problem("grid", f"must have at most {MOST**2:,} combinations, got {number:,}"))
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if random is not None:
        digests = [_digest([seed, settings]) for settings in combinations]
        chosen = set(sorted(digests)[:random])
        combinations = [
            settings for settings, digest in zip(combinations, digests, strict=True) if digest in chosen
        ]
    result = [Trial(f"{sweep}-{_suffix(settings)}", settings) for settings in combinations]
    names: dict[str, Trial] = {}
    for trial in result:
        other = names.setdefault(trial.name, trial)
        if other is not trial:
            problem = f"must have values with names of their own, got {trial.name!r} twice"
            raise RequestError(Problem("grid", problem, "values are named by their letters and digits"))
    return result


def _suffix(settings: Mapping[str, str]) -> str:
    """Return `lr0-1-seed2`, or a hash where that is too long or has no letters or digits of a value."""
    words = [
        (name.rpartition(".")[2].replace("_", "-"), re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-"))
        for name, value in settings.items()
    ]
    suffix = "-".join(f"{name}{value}" for name, value in words)
    if len(suffix) > LONGEST_SUFFIX or not all(value for _, value in words):
        return _digest(settings)[:10]
    return suffix


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
