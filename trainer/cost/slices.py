"""What a fused computation reads of its operands and writes of its results, where it slices them.

The body of a scan reads one block's part of arrays that hold all blocks, and writes one part, in place: the
HLO of a fusion has the whole arrays as operands and results, and the slices inside.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from trainer.cost.hlo import ARRAY, CALLED, NAME, OPERAND, array_bytes, opcode

NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One instruction of a computation: its opcode, HLO type, operands, and the computation that it calls."""

    kind: str
    type: str
    operands: tuple[str, ...]
    called: str

    @property
    def bytes(self) -> int:
        return sum(map(array_bytes, ARRAY.finditer(self.type)))


class Computation:
    """A fused computation.

    Args:
      bodies: the text of each computation of the program by name.
      name: its own name.
    """

    def __init__(self, bodies: dict[str, str], name: str):
        self._bodies, self._lines = bodies, dict[str, Line]()
        self._parameters: dict[int, str] = {}
        self._root = ""
        for text in bodies[name].splitlines():
            if not (head := NAME.match(text)):
                continue
            kind, result, operands = opcode(text[head.end() :])
            called = CALLED.search(text)
            names = tuple(OPERAND.findall(operands))
            own = head["name"]
            self._lines[own] = Line(
                kind=kind, type=result, operands=names, called=called["body"] if called else ""
            )
            if kind == "parameter" and (number := NUMBER.match(operands)):
                self._parameters[int(number[0])] = own
            if "ROOT " in head[0]:
                self._root = own

    @cached_property
    def _users(self) -> dict[str, list[Line]]:
        users: dict[str, list[Line]] = {}
        for line in self._lines.values():
            for operand in dict.fromkeys(line.operands):
                users.setdefault(operand, []).append(line)
        return users

    def read(self, operand: int) -> int | None:
        """Return how many bytes of an operand are read where it is only sliced; None: all of it."""
        name = self._parameters.get(operand)
        size = None if name is None else self._read(name)
        return size if size is None or name is None else min(size, self._lines[name].bytes)

    def _read(self, name: str) -> int | None:
        if name == self._root or name not in self._users:
            return None
        total = 0
        for line in self._users[name]:
            size = self._read_by(name, line)
            if size is None:
                return None
            total += size
        return total

    def _read_by(self, name: str, line: Line) -> int | None:
        first, others = line.operands[0], line.operands[1:]
        if line.kind in ("dynamic-slice", "dynamic-update-slice") and first == name and name not in others:
            return line.bytes if line.kind == "dynamic-slice" else 0
        if line.kind == "bitcast":
            return self._read(next(own for own, other in self._lines.items() if other is line))
        if line.kind == "fusion" and line.called:
            inner = Computation(self._bodies, line.called)
            sizes = [inner.read(i) for i, operand in enumerate(line.operands) if operand == name]
            return None if None in sizes else sum(size or 0 for size in sizes)
        return None

    def written(self) -> list[int | None]:
        """Return how many bytes of each result are written where it is updated in place; None: the whole."""
        root = self._lines.get(self._root)
        if root and root.kind == "tuple":
            return [size for operand in root.operands for size in self._written(operand)]
        return self._written(self._root)

    def _written(self, name: str) -> list[int | None]:
        line = self._lines.get(name)
        if line and line.kind == "dynamic-update-slice":
            return [self._lines[line.operands[1]].bytes]
        if line and line.kind == "bitcast":
            return self._written(line.operands[0])
        if line and line.kind == "fusion" and line.called:
            return Computation(self._bodies, line.called).written()
        return [None]
