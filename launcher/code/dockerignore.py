"""Patterns of a .dockerignore file, as Docker reads them: the last pattern that matches a path decides.

The rules are those of https://docs.docker.com/build/concepts/context/#dockerignore-files. Unlike gitignore, a
pattern without a slash matches at the top only, and `**/` matches at any depth.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

Rule = tuple[bool, re.Pattern[str]]  # whether the pattern brings a path back, and the pattern


def parse(text: str) -> list[Rule]:
    """Return the rules of a file, in its order.

    Raises:
      ValueError: a line holds a pattern with an open bracket.
    """
    rules = []
    for line in text.removeprefix("\ufeff").splitlines():
        pattern = line.strip()
        if not pattern or line.startswith("#"):
            continue
        again = pattern.startswith("!")
        pattern = pattern[1:].strip() if again else pattern
        pattern = posixpath.normpath(pattern).lstrip("/") if pattern else ""
        if pattern and pattern != ".":
            rules.append((again, _compiled(pattern)))
    return rules


def ignored(path: str, rules: Iterable[Rule]) -> bool:
    """Return whether the rules leave out a path, itself or by one of the folders above it."""
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    leaves_out = False
    for again, pattern in rules:
        if leaves_out == again and any(pattern.fullmatch(folder) for folder in above):
            leaves_out = not again
    return leaves_out


def _compiled(pattern: str) -> re.Pattern[str]:
    expression, position = "", 0
    while position < len(pattern):
        rest = pattern[position:]
        if rest.startswith("**/"):
            expression, position = expression + "(?:.*/)?", position + 3
        elif rest.startswith("**"):
            expression, position = expression + ".*", position + 2
        elif rest[0] == "*":
            expression, position = expression + "[^/]*", position + 1
        elif rest[0] == "?":
            expression, position = expression + "[^/]", position + 1
        elif rest[0] == "[":
            members = re.match(r"\[(\^?)((?:\\.|[^\]\\])+)\]", rest)
            if members is None:
                raise ValueError(f"the pattern {pattern!r} has an open bracket")
            expression += f"[{members[1]}{members[2].replace('[', chr(92) + '[')}]"
            position += members.end()
        elif rest[0] == "\\" and len(rest) > 1:
            expression, position = expression + re.escape(rest[1]), position + 2
        else:
            expression, position = expression + re.escape(rest[0]), position + 1
    try:
        return re.compile(expression, re.DOTALL)
    except re.error:
        raise ValueError(f"the pattern {pattern!r} cannot be read") from None
