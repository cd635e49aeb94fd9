"""YAML that people write: one document of bounded size and depth, each key once, values as they are written.

YAML 1.1 reads `yes` as true, `1.10` as 1.1, `010` as 8 and `2026-01-31` as a date. A document is therefore
kept as nodes, which know how each value is spelled and in which line.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from launcher.errors import Problem, RequestError

BYTES = 1 << 20  # also the limit of a ConfigMap
DEPTH = 64  # levels of nesting; a JobSet has 17
NODES = 20_000  # values, with each alias counted as often as it is used
TAG = "tag:yaml.org,2002:"
TEXT = (f"{TAG}str", f"{TAG}timestamp", f"{TAG}merge", f"{TAG}value")  # the last two: a value << or =
NUMBERS = (f"{TAG}int", f"{TAG}float")
SCALARS = (*TEXT, f"{TAG}int", f"{TAG}float", f"{TAG}bool", f"{TAG}null")

Node = Any  # a node of PyYAML
NAMES = {f"{TAG}bool": "a boolean", f"{TAG}null": "null", f"{TAG}seq": "a list", f"{TAG}map": "a mapping"}


def read(field: str, path: Path) -> str:
    """Return the text of a regular file.

    Raises:
      RequestError: it cannot be read, or is no small regular file; the error names the field.
    """
    try:
        with open(
            os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb"
        ) as file:  # a FIFO would wait
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > BYTES:
                problem = f"must be a regular file of at most {BYTES >> 20} MiB, got {str(path)!r}"
                raise RequestError(Problem(field, problem))
            return file.read().decode()
    except (OSError, ValueError) as error:  # a NUL in the path, bytes that are not UTF-8
        reason = getattr(error, "strerror", None) or error
        raise RequestError(Problem(field, f"must be a readable file, got {str(path)!r}: {reason}")) from None


def parse(field: str, text: str) -> Node | None:
    """Return the root of a YAML document; None for an empty one.

    Raises:
      RequestError: it is not one YAML document, is too large, or has a key twice; the error names the field.
    """
    import yaml

    if len(text) > BYTES:
        raise RequestError(
            Problem(field, f"must be at most {BYTES >> 20} MiB of YAML, got {len(text)} characters")
        )
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _bound(field, yaml.parse(text, loader))
        root = yaml.compose(text, loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RequestError(Problem(field, f"must be YAML: {' '.join(str(error).split())}")) from None
    if root is not None:
        _check(field, root)
    return root


def value(node: Node) -> Any:
    """Return what a checked node holds. Keys are text as they are spelled, and so are dates."""
    if node.id == "sequence":
        return [value(item) for item in node.value]
    if node.id == "mapping":
        return {key.value: value(item) for key, item in entries(node)}
    if node.tag in TEXT or (":" in node.value and node.tag in NUMBERS):  # 1:30 is 90 in YAML 1.1 alone
        return node.value
    import yaml

    try:
        return yaml.SafeLoader("").construct_object(node)
    except (ValueError, KeyError):  # such as 0x_, and what `!!int` stands before
        return node.value


def decimal(node: Node) -> Any:
    """Return what a checked node of one value holds; 010 stays text, which YAML 1.1 alone reads as 8."""
    octal = node.tag == f"{TAG}int" and re.fullmatch(r"[-+]?0[0-9_]+", node.value)
    return node.value if octal else value(node)


def spelled(node: Node) -> Any:
    """Return what a checked node holds, with numbers as the text that spells them."""
    if node.id == "sequence":
        return [spelled(item) for item in node.value]
    if node.id == "mapping":
        return {key.value: spelled(item) for key, item in entries(node)}
    return node.value if node.tag in NUMBERS else value(node)


def kind(node: Node) -> str:
    """Return `a boolean`, `null`, `a list` or `a mapping`; an empty string for text and numbers."""
    return NAMES.get(node.tag, "")


def line(node: Node) -> int:
    """Return the line of a node, from 1."""
    return node.start_mark.line + 1


def entries(node: Node) -> Iterator[tuple[Node, Node]]:
    """Yield (key, value) of a mapping: first those that `<<` merges into it, then its own."""
    for key, item in node.value:
        if key.tag == f"{TAG}merge":
            for merged in reversed(item.value) if item.id == "sequence" else [item]:
                yield from entries(merged)
    yield from ((key, item) for key, item in node.value if key.tag != f"{TAG}merge")


def _bound(field: str, events: Iterator[Any]) -> None:
    """Raise RequestError where there are too many values or levels; composing a document recurses."""
    depth = 0
    for count, event in enumerate(events):
        name = type(event).__name__
        depth += name.endswith(("SequenceStartEvent", "MappingStartEvent"))
        depth -= name.endswith(("SequenceEndEvent", "MappingEndEvent"))
        if depth > DEPTH or count > 2 * NODES:  # a list or mapping has two events
            bound = f"nest at most {DEPTH} levels" if depth > DEPTH else f"hold at most {NODES} values"
            problem = f"must {bound}, got more in line {event.start_mark.line + 1}"
            raise RequestError(Problem(field, problem))


def _check(field: str, root: Node) -> None:
    """Raise RequestError for keys that stand twice, tags of programs, and aliases that multiply or recur."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def fail(problem: str, hint: str = "") -> None:
        raise RequestError(Problem(field, problem, hint))

    def size(node: Node) -> int:
        if id(node) in open_nodes:
            fail(f"must not contain itself, got an alias to line {line(node)} within it")
        if id(node) in sizes:
            return sizes[id(node)]
        open_nodes.add(id(node))
        children: list[Node] = []
        if node.id == "mapping":
            _check_keys(node, fail)
            children = [part for pair in node.value for part in pair]
        elif node.id == "sequence":
            children = node.value
        elif node.tag not in SCALARS:
            fail(
                f"must be YAML: text, numbers, lists and mappings, got {node.tag[:60]!r} in line {line(node)}"
            )
        total = 1 + sum(size(child) for child in children)
        if total > NODES:
            fail(f"must hold at most {NODES} values, got more from line {line(node)} on")
        open_nodes.discard(id(node))
        sizes[id(node)] = total
        return total

    size(root)


def _check_keys(node: Node, fail: Any) -> None:
    lines: dict[str, int] = {}
    for key, item in node.value:
        if key.id != "scalar":
            fail(f"must have keys of one word, got a list or mapping as a key in line {line(key)}")
        if key.tag == f"{TAG}merge":
            merged = item.value if item.id == "sequence" else [item]
            if any(part.id != "mapping" for part in merged):
                fail(f"must merge mappings with <<, got something else in line {line(item)}")
        elif key.value in lines:
            both = f"lines {lines[key.value]} and {line(key)}"
            fail(f"must have each key once, got {key.value[:60]!r} in {both}", "remove one of them")
        else:
            lines[key.value] = line(key)
