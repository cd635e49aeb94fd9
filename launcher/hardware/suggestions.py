"""Error messages for a slice name that names no slice, with the nearest valid names.

`facts` is slices.yaml by generation, and `row` the entry of one generation.
"""

from __future__ import annotations

import re
from typing import Any

from launcher.errors import Problem, closest
from launcher.hardware import topology
from launcher.hardware.facts import Facts, aliases, tpu_name

EXAMPLES = "v4-32, v5e-16, v5p-128, v6e-8, tpu7x-64, h100-16, a100-8 or cpu-2x4"


def problem(name: str, match: re.Match[str] | None, facts: Facts) -> Problem:
    """Return why `name` is not a slice, with the nearest valid names as the hint.

    `match` is the match of slices.NAME (generation, size, single), or None where `name` has another form.
    """
    if match is None or match["generation"] not in {*aliases(facts), "cpu"}:
        return _unknown(name, facts)
    if match["generation"] == "cpu":
        return Problem(
            "slice",
            f"must be cpu-<hosts>x<devices per host>, got {name!r}",
            "at most 100000 hosts and 1024 devices per host, for example cpu-2x4",
        )
    row = facts[aliases(facts)[match["generation"]]]
    if match["single"]:
        return _single_vm(name, row)
    if row["kind"] == "gpu":
        return _gpu(name, row, match["size"])
    return _shape(name, row) if "x" in match["size"] else _tpu(name, row, int(match["size"]))


def _unknown(name: str, facts: Facts) -> Problem:
    if name.startswith("local-gpu"):
        return Problem(
            "slice", f"must be a slice of a cluster, got {name!r}", "resnet-launch local --slice local-gpu"
        )
    if name.strip().lower() == "custom":
        hint = "--custom-slice accelerator=LABEL,topology=4x4,chips-per-host=4"
        return Problem("slice", "must be described where it is custom", hint)
    generation, dash, size = name.strip().lower().rpartition("-")
    known = [*aliases(facts), "cpu"]
    hint = closest(generation, known) if dash and generation not in known else ""
    if hint:
        hint = hint.rstrip("?") + f"-{size}?"
    return Problem(
        "slice",
        f"must be a slice such as {EXAMPLES}, got {name!r}",
        hint or "resnet-launch slices lists them",
    )


def _single_vm(name: str, row: dict[str, Any]) -> Problem:
    forms = " or ".join(f"{row['name']}-{size}-1" for size in row.get("single_vm", []))
    accelerators = "GPUs" if row["kind"] == "gpu" else "chips"
    return Problem(
        "slice",
        f"must be {forms}, got {name!r}" if forms else f"must not end in a second number, got {name!r}",
        f"-1 asks for one VM instead of several with {row['host']} {accelerators} each; "
        + (f"{row['name']} has that only as {forms}" if forms else f"{row['name']} has no such VM"),
    )


def _gpu(name: str, row: dict[str, Any], size: str) -> Problem:
    host, parts = row["host"], sorted(count for count in row["machines"] if count < row["host"])
    sizes = f"a multiple of {host}" + (f" up to {row['max_chips']}" if "max_chips" in row else "")
    if parts:
        sizes = ", ".join(map(str, parts)) + f" or {sizes}"
    hint = f"the number counts GPUs; each {row['name']} host has {host}"
    if "max_chips" in row and size.isdecimal() and int(size) > row["max_chips"]:
        hint = f"one slice is one NVLink domain: --slice {row['name']}-{row['max_chips']} --num-slices N"
    return Problem("slice", f"must be {row['name']}-N, N {sizes}, got {name!r}", hint)


def _shape(name: str, row: dict[str, Any]) -> Problem:
    rule = ", ".join(row["shapes"])
    if row.get("cubes"):
        rule += ", or AxBxC with A<=B<=C, each a multiple of 4"
    return Problem(
        "slice",
        f"must have a topology of {row['name']} ({rule}), got {name!r}",
        f"at most {row['max_chips']} chips on GKE; resnet-launch slices {row['name']} lists the slices",
    )


def _tpu(name: str, row: dict[str, Any], size: int) -> Problem:
    sizes = topology.sizes(row)
    per_chip = row["cores_per_chip"] if row["counts"] == "cores" else 1
    below = [count for count in sizes if count * per_chip < size]
    above = [count for count in sizes if count * per_chip > size]
    nearest = " or ".join(f"{tpu_name(row, count)} ({count} chips)" for count in below[-1:] + above[:1])
    return Problem("slice", f"must be {nearest}, got {name!r}", _size_hint(row, size, too_large=not above))


def _size_hint(row: dict[str, Any], size: int, *, too_large: bool) -> str:
    if too_large:
        return (
            f"the largest {row['name']} slice on GKE has {row['max_chips']} chips; "
            "--num-slices joins several slices"
        )
    if row["counts"] == "chips":
        return f"the number in a {row['name']} name counts chips"
    chips = f"{size / row['cores_per_chip']:g}"
    return (
        f"the number in a {row['name']} name counts TensorCores, {row['cores_per_chip']} per chip: "
        f"{row['name']}-{size} would be {chips} chip{'s' * (chips != '1')}"
    )
