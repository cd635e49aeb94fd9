"""One tree of errors: what is wrong and, where it helps, what to type next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a request: the field, what it must be and what was given, what to do."""

    field: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class LauncherError(Exception):
    """Base of all errors a person is meant to read; `hint` may be empty."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def problems(self) -> list[tuple[str, str]]:
        """(message, hint) of each thing wrong, in the order to print them."""
        return [(str(self), self.hint)]


class ActionError(LauncherError):
    """The request was right and carrying it out failed."""


class RequestError(LauncherError):
    """The request was wrong: nothing was done. Holds every problem found, not the first."""

    exit_code = 2

    def __init__(self, *found: Problem) -> None:
        super().__init__("; ".join(map(str, found)))
        self.found = found

    def problems(self) -> list[tuple[str, str]]:
        return [(str(problem), problem.hint) for problem in self.found]


def closest(word: str, known: Iterable[str]) -> str:
    """`did you mean X?` for the known word nearest to this one, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""
