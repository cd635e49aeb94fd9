"""One tree of errors: what is wrong and, where it helps, what to type next."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a request: the field, "must be X, got Y", and a hint that says what to do.

    place: where the value stands, such as a variable or the line of a file; empty for a flag.
    """

    field: str
    message: str
    hint: str = ""
    place: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" + (f" (from {self.place})" if self.place else "")


class LauncherError(Exception):
    """Base of all errors that are meant for a person; `hint` may be empty."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def messages(self) -> list[tuple[str, str]]:
        """Return (message, hint) of each problem, in the order to print them."""
        return [(str(self), self.hint)]


class ActionError(LauncherError):
    """The request was valid, and carrying it out failed."""


class NotKnown(ActionError):
    """What became of the run is not known: the cluster does not answer, or no longer knows the user."""

    exit_code = 4


class RequestError(LauncherError):
    """The request was wrong and nothing was done; `problems` holds every problem, not only the first."""

    exit_code = 2

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems

    def messages(self) -> list[tuple[str, str]]:
        return [(str(problem), problem.hint) for problem in self.problems]


# Control characters, ends of lines, bytes that are not UTF-8, and what turns the direction of text.
CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, keep: str = "") -> str:
    r"""Return a text with its control characters written out, such as ``\x1b``; those in `keep` stay."""
    return CONTROL.sub(lambda match: match[0] if match[0] in keep else ascii(match[0])[1:-1], text)


def closest(word: str, known: Iterable[str]) -> str:
    """Return `did you mean X?` for the known word most similar to `word`, or an empty string."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {matches[0]}?" if matches else ""
