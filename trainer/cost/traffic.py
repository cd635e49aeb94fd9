"""FLOPs and traffic with HBM of each instruction of a compiled program, read from its HLO text.

The compiler's own `bytes accessed` is larger. It counts the whole operand for each slice of a sliced
prefetch, and counts arrays in VMEM as if they were in HBM.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from trainer.cost import flops
from trainer.cost.hlo import ARRAY, CALLED, LOOP, array_bytes, computations, trips

# Instructions that cost nothing. The -done of an asynchronous one is skipped too: its -start is counted.
FREE = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier", "while")
NAME = re.compile(r"\s*(?:ROOT )?%?(?P<name>[\w.-]+) = ")
OPERATION = re.compile(r" (?P<kind>[a-z][\w-]*)\(")
OPERAND = re.compile(r"%([\w.-]+)")
ON_CHIP = re.compile(r"S\([1-9]\d*\)")  # a memory space in a layout; HBM is space 0, which is not printed


@dataclass(frozen=True)
class Instruction:
    """One instruction of the schedule.

    Attributes:
      name: its name in the HLO text.
      kind: its opcode, such as "fusion".
      read: bytes that it reads from HBM each time.
      written: bytes that it writes to HBM each time.
      flops: FLOPs of one execution.
      times: how often it runs.
      source: the traced operation that it comes from, such as "jit(step)/conv"; "" where HLO has none.
    """

    name: str
    kind: str
    read: int
    written: int
    flops: int
    times: int
    source: str

    @property
    def bytes(self) -> int:
        """Bytes read and written over all its executions."""
        return self.times * (self.read + self.written)


def totals(text: str) -> tuple[int, int]:
    """Return FLOPs and bytes of HBM traffic of one run of the program on one device.

    Args:
      text: HLO, from `Compiled.as_text()`.

    Raises:
      KeyError: the text has no entry computation.
    """
    rows = list(instructions(text))
    return sum(row.times * row.flops for row in rows), sum(row.bytes for row in rows)


def instructions(text: str) -> Iterator[Instruction]:
    """Yield every instruction that computes or moves data, in schedule order; the body of a loop comes once.

    Args:
      text: HLO, from `Compiled.as_text()`.

    Raises:
      KeyError: the text has no entry computation.
    """
    bodies, entry = computations(text)
    yield from _instructions(bodies, entry, 1)


def _instructions(bodies: dict[str, str], name: str, times: int) -> Iterator[Instruction]:
    types: dict[str, str] = {}
    for line in bodies[name].splitlines():
        if not (head := NAME.match(line)):
            continue
        kind, result, operands = _split(line[head.end() :])
        types[head["name"]] = result
        if kind == "while" and (loop := LOOP.search(line)):
            yield from _instructions(bodies, loop["body"], times * trips(line, bodies))
        if kind in FREE or kind.endswith(("-done", "-update")) or "ConcatBitcast" in line:
            continue
        operand_types = [types.get(operand, "") for operand in OPERAND.findall(operands)]
        source = re.search(r'op_name="([^"]*)"', line)
        read, written = _moved(kind, result, operand_types)
        operations = _flops(bodies, line, kind, result, types)
        if read or written or operations:
            yield Instruction(
                name=head["name"],
                kind=kind,
                read=read,
                written=written,
                flops=operations,
                times=times,
                source=source[1] if source else "",
            )


def _flops(bodies: dict[str, str], line: str, kind: str, result: str, types: dict[str, str]) -> int:
    """FLOPs of an instruction, including those fused into it."""
    if kind == "convolution":
        return flops.convolution(line, types, result)
    if not (called := CALLED.search(line)):
        return 0
    total, inner = 0, dict[str, str]()
    for line in bodies[called["body"]].splitlines():
        if head := NAME.match(line):
            kind, result, _ = _split(line[head.end() :])
            inner[head["name"]] = result
            total += _flops(bodies, line, kind, result, inner)
    return total


def _moved(kind: str, result: str, operand_types: list[str]) -> tuple[int, int]:
    """Bytes read from HBM and written to it; the result of an asynchronous copy also holds its operand."""
    if kind not in ("copy-start", "slice-start", "async-start"):
        return sum(map(_hbm_bytes, operand_types)), _hbm_bytes(result)
    # copy-start: (destination, source, flag); the others, of a slice: ((source), destination, flag)
    arrays = list(ARRAY.finditer(result))
    destination, source = (arrays[0], arrays[1]) if kind == "copy-start" else (arrays[1], arrays[0])
    size = array_bytes(destination)
    return size * _in_hbm(source), size * _in_hbm(destination)


def _split(text: str) -> tuple[str, str, str]:
    """Split `(f32[2]{0}, s32[]) fusion(%a, %b), kind=…` into opcode, type of the result and operands."""
    depth, end = text.startswith("("), 1
    while depth and end < len(text):
        depth += (text[end] == "(") - (text[end] == ")")
        end += 1
    operation = OPERATION.search(text, end - 1)
    if not operation:
        return "", text, ""
    return operation["kind"], text[: operation.start()], text[operation.end() :].split("), ")[0]


def _hbm_bytes(text: str) -> int:
    return sum(array_bytes(array) for array in ARRAY.finditer(text) if _in_hbm(array))


def _in_hbm(array: re.Match[str]) -> bool:
    return not ON_CHIP.search(array["layout"] or "")
