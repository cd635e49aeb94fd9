"""The exit codes of a program and what follows each: the trainer's table, or that of --exit-codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from launcher import contract, keys
from launcher.errors import closest
from launcher.request.readers import Wrong

Table = Mapping[str, tuple[int, ...]]  # name of an end, as contract.json has it -> its exit codes
EXAMPLE = "--exit-codes preempted=42,fatal=44"
FINISHED = "finished"
LARGEST = 255  # a process ends with 8 bits


def read(value: Any) -> dict[str, tuple[int, ...]]:
    """Read `preempted=42,fatal=44`, or a mapping from names to a code or a list of codes.

    A name may be repeated. Names come out in the order of contract.json, codes in ascending order.
    """
    table: dict[str, list[int]] = {name: [] for name in contract.document()["exit_codes"]}
    owners: dict[int, str] = {}
    for name, text in _pairs(value):
        if name not in table:
            raise Wrong(f"must name ends of a program ({', '.join(table)})", name, closest(name, table))
        code = _code(name, text)
        if owners.setdefault(code, name) != name:
            raise Wrong("must give each exit code one meaning", f"{owners[code]}={code},{name}={code}")
        if code not in table[name]:
            table[name].append(code)
    return {name: tuple(sorted(codes)) for name, codes in table.items() if codes}


def text(table: Table) -> str:
    """Return a table as its flag takes it: `preempted=42,fatal=44`."""
    return ",".join(f"{name}={code}" for name, codes in table.items() for code in codes)


def codes(table: Table | None, then: contract.Then) -> list[int]:
    """Return the exit codes after which the JobSet does `then`, in ascending order.

    Args:
      table: None stands for the trainer's. A code that a table lacks is restarted, and counts.
    """
    if table is None:
        return contract.codes(then)
    ends = contract.document()["exit_codes"]
    return sorted(code for name, listed in table.items() if ends[name]["then"] == then for code in listed)


def meanings(table: Table | None) -> dict[int, str]:
    """Return the meaning of each exit code; None stands for the trainer's table."""
    if table is None:
        return contract.meanings()
    ends = contract.document()["exit_codes"]
    return {code: ends[name]["meaning"] for name, listed in table.items() for code in listed}


def annotated(metadata: Any) -> Table | None:
    """Return the table in the annotations of a JobSet or pod; None where it has none that can be read."""
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    value = annotations.get(keys.EXIT_CODES) if isinstance(annotations, Mapping) else None
    try:
        return read(value) if value else None
    except Wrong:
        return None


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, code) of each entry."""
    if isinstance(value, Mapping):
        for name, listed in value.items():
            for code in listed if isinstance(listed, (list, tuple)) else [listed]:
                yield str(name), code
        return
    entries = value.split(",") if isinstance(value, str) else value
    if not isinstance(entries, (list, tuple)) or not entries:
        raise Wrong("must be NAME=CODE,…", value, EXAMPLE)
    for entry in entries:
        name, equals, code = entry.partition("=") if isinstance(entry, str) else ("", "", "")
        if not equals:
            raise Wrong("must be NAME=CODE,…", entry, EXAMPLE)
        yield name.strip(), code


def _code(name: str, value: Any) -> int:
    digits = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    number = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= 3 else -1
    if name == FINISHED and number != 0:
        raise Wrong("must have finished=0: Kubernetes takes any other exit code for a failure", value)
    if name != FINISHED and not 1 <= number <= LARGEST:
        raise Wrong(f"must have exit codes from 1 to {LARGEST} for {name}", value)
    return number
