"""Errors of argparse about a command line, in the form of the trainer's own errors."""

import argparse
import difflib
import re
from collections.abc import Iterable

CHOICE = re.compile(
    r"argument (?P<name>[^:]+): invalid choice: '?(?P<got>.*?)'? \(choose from (?P<known>.*)\)$"
)
MISSING = re.compile(r"the following arguments are required: (?P<names>.*)$")
ABOUT = re.compile(r"argument (?P<names>[^:]+): (?P<problem>.*)$", re.DOTALL)
UNKNOWN = re.compile(r"unrecognized arguments: (?P<words>.*)$", re.DOTALL)


def explain(message: str, program: str, flags: Iterable[str] = ()) -> tuple[str, str]:
    """Return (message, hint) for an error of argparse: the argument, what it must be, what came.

    Args:
      program: the command, whose --help is the hint where nothing is closer.
      flags: those that it has.
    """
    usage = f"{program} --help"
    if match := CHOICE.match(message):
        known = re.findall(r"[\w.-]+", match["known"])
        return f"{match['name']}: must be {_listed(known)}, got {match['got']!r}", _closest(
            match["got"], known, usage
        )
    if match := MISSING.match(message):
        return f"{match['names']}: must be given", usage
    if match := UNKNOWN.match(message):
        word = match["words"].split()[0]
        if not word.startswith("-"):
            return f"arguments: must be no more than the command takes, got {word!r} too", usage
        hint = _closest(word.partition("=")[0], flags, usage)
        return f"flag: must be a flag of {program}, got {word!r}", hint
    if match := ABOUT.match(message):
        problem = match["problem"].replace("expected one argument", "must have a value, got none")
        invalid = re.match(r"invalid (int|float) value: (.*)$", problem)
        if invalid:
            kind = "a whole number" if invalid[1] == "int" else "a number"
            problem = f"must be {kind}, got {invalid[2]}"
        return f"{match['names'].split('/')[-1]}: {problem}", usage
    return message, usage


def flags_of(parser: argparse.ArgumentParser) -> list[str]:
    """Return the flags of a parser and of its verbs, which report what they do not know to it."""
    groups = [action.choices for action in parser._actions if isinstance(action.choices, dict)]
    verbs = [verb for group in groups for verb in group.values()]
    return [*parser._option_string_actions, *(flag for verb in verbs for flag in flags_of(verb))]


def _listed(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else "".join(words)


def _closest(word: str, known: Iterable[str], otherwise: str) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]}?" if close else otherwise
