"""The shapes of TPU slices: which are legal, and which one a number of chips gets by default.

A `row` is one generation's entry of slices.yaml.
"""

from __future__ import annotations

import math
from typing import Any

MAX_SIDE = 256  # no torus is longer: rules out cube counts such as 67, which would need 4x4x268


def dimensions(topology: str) -> tuple[int, ...]:
    """`2x2x4` -> (2, 2, 4)."""
    return tuple(int(side) for side in topology.split("x"))


def chips(topology: str) -> int:
    """`2x2x4` -> 16."""
    return math.prod(dimensions(topology))


def most_cubic(count: int) -> str | None:
    """The default shape of a 3-D slice of 64 chips and more, or None where there is none.

    Among A <= B <= C of multiples of 4 it is the one with the least AB + BC + CA, half its surface.
    """
    cubes, rest = divmod(count, 64)
    if rest or not cubes:
        return None
    shapes = [
        (4 * a, 4 * b, 4 * (cubes // a // b))
        for a in range(1, math.isqrt(cubes) + 1)
        if cubes % a == 0
        for b in range(a, math.isqrt(cubes // a) + 1)
        if cubes // a % b == 0 and 4 * (cubes // a // b) <= MAX_SIDE
    ]
    if not shapes:
        return None
    return "x".join(map(str, min(shapes, key=lambda s: s[0] * s[1] + s[1] * s[2] + s[2] * s[0])))


def default(row: dict[str, Any], count: int) -> str | None:
    """The shape a generation gives to so many chips, or None where it has no such slice."""
    if count > row["max_chips"]:
        return None
    listed = {chips(shape): shape for shape in row["shapes"]}
    return listed.get(count) or (most_cubic(count) if row.get("cubes") else None)


def is_legal(row: dict[str, Any], topology: str) -> bool:
    """Whether a generation has this shape on GKE, as its default or not."""
    if topology in row["shapes"]:
        return True
    sides = dimensions(topology)
    return (
        bool(row.get("cubes"))
        and len(sides) == 3
        and all(side and side % 4 == 0 for side in sides)
        and list(sides) == sorted(sides)
        and sides[-1] <= MAX_SIDE
        and math.prod(sides) <= row["max_chips"]
    )


def sizes(row: dict[str, Any]) -> list[int]:
    """Every number of chips that has a default shape, ascending."""
    listed = {chips(shape) for shape in row["shapes"]}
    cubes = range(64, row["max_chips"] + 1, 64) if row.get("cubes") else ()
    return sorted(listed.union(count for count in cubes if most_cubic(count)))
