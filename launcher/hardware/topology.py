"""The topologies of TPU slices: which are legal, and which is the default for a number of chips.

`row` is the entry of one generation in slices.yaml.
"""

from __future__ import annotations

import math
from typing import Any

MAX_SIDE = 256  # longest side of a torus; excludes 67 cubes, for example, which would need 4x4x268


def dimensions(topology: str) -> tuple[int, ...]:
    """Return the sides of a topology: `2x2x4` -> (2, 2, 4)."""
    return tuple(int(side) for side in topology.split("x"))


def chips(topology: str) -> int:
    """Return the number of chips in a topology: `2x2x4` -> 16."""
    return math.prod(dimensions(topology))


def most_cubic(count: int) -> str | None:
    """Return the default topology of a 3-D slice of 64 chips or more, or None where there is none.

    Among A <= B <= C, all multiples of 4, it is the one with the least AB + BC + CA: half the surface.
    """
    cubes, remainder = divmod(count, 64)
    if remainder or not cubes:
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
    """Return the default topology of `count` chips, or None where the generation has no such slice."""
    if count > row["max_chips"]:
        return None
    listed = {chips(shape): shape for shape in row["shapes"]}
    return listed.get(count) or (most_cubic(count) if row.get("cubes") else None)


def is_legal(row: dict[str, Any], topology: str) -> bool:
    """Whether GKE offers this topology for a generation, as a default or not."""
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
    """Return every number of chips that has a default topology, in ascending order."""
    listed = {chips(shape) for shape in row["shapes"]}
    cubes = range(64, row["max_chips"] + 1, 64) if row.get("cubes") else ()
    return sorted(listed.union(count for count in cubes if most_cubic(count)))
