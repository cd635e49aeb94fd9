"""FLOPs and traffic with HBM of each instruction of a compiled program, read from its HLO text.

The compiler's own `bytes accessed` is larger. It counts the whole operand for each slice of a sliced
prefetch, and counts arrays in VMEM as if they were in HBM.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from trainer.cost import flops
from trainer.cost.hlo import (
    ARRAY,
    CALLED,
    LOOP,
    NAME,
    OPERAND,
    array_bytes,
    computations,
    opcode,
    opening,
    trips,
)
from trainer.cost.slices import Computation

# Instructions that cost nothing. The -done of an asynchronous one is skipped too: its -start is counted.
FREE = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier", "while")
FREE_CALLS = ('"ConcatBitcast"', '"AllocateBuffer"')  # custom calls that move nothing
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
        kind, result, operands = opcode(line[head.end() :])
        types[head["name"]] = result
        if kind == "while" and (loop := LOOP.search(line)):
            yield from _instructions(bodies, loop["body"], times * trips(line, bodies))
        if kind in FREE or kind.endswith(("-done", "-update")) or any(call in line for call in FREE_CALLS):
            continue
        operand_types = [types.get(operand, "") for operand in OPERAND.findall(operands)]
        source = re.search(r'op_name="([^"]*)"', line)
        called = CALLED.search(line)
        fused = Computation(bodies, called["body"]) if kind == "fusion" and called else None
        read, written = _moved(kind, result, operand_types, fused)
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
            kind, result, _ = opcode(line[head.end() :])
            inner[head["name"]] = result
            total += _flops(bodies, line, kind, result, inner)
    return total


def _moved(kind: str, result: str, operand_types: list[str], fused: Computation | None) -> tuple[int, int]:
    """Bytes read from HBM and written to it; the result of an asynchronous copy also holds its operand."""
    if kind == "dynamic-slice":
        return _all_bytes(result) * _is_in_hbm(operand_types[0]), _hbm_bytes(result)
    if kind == "dynamic-update-slice":
        return _hbm_bytes(operand_types[1]), _all_bytes(operand_types[1]) * _is_in_hbm(result)
    if fused:
        return _moved_by_fusion(result, operand_types, fused)
    if kind not in ("copy-start", "slice-start", "async-start"):
        return sum(map(_hbm_bytes, operand_types)), _hbm_bytes(result)
    # copy-start: (destination, source, flag); the others: ((sources), destinations, flags)
    arrays = list(ARRAY.finditer(result))
    if kind == "copy-start":
        pairs = [(arrays[1], arrays[0])]
    else:
        number = len(ARRAY.findall(opening(result[1:])))
        pairs = list(zip(arrays[:number], arrays[number:], strict=False))
    read = sum(array_bytes(destination) * _in_hbm(source) for source, destination in pairs)
    return read, sum(array_bytes(destination) * _in_hbm(destination) for _, destination in pairs)


def _moved_by_fusion(result: str, operand_types: list[str], fused: Computation) -> tuple[int, int]:
    """Bytes that a fusion reads and writes: of what it only slices, or updates in place, the slices."""
    read = 0
    for number, operand in enumerate(operand_types):
        size = fused.read(number)
        read += _hbm_bytes(operand) if size is None else size * _is_in_hbm(operand)
    arrays, sizes = list(ARRAY.finditer(result)), fused.written()
    if len(arrays) != len(sizes):
        return read, _hbm_bytes(result)
    return read, sum(
        (array_bytes(array) if size is None else size) * _in_hbm(array)
        for array, size in zip(arrays, sizes, strict=True)
    )


def _hbm_bytes(text: str) -> int:
    return sum(array_bytes(array) for array in ARRAY.finditer(text) if _in_hbm(array))


def _all_bytes(text: str) -> int:
    return sum(map(array_bytes, ARRAY.finditer(text)))


def _is_in_hbm(text: str) -> bool:
    """Return whether the first array of an HLO type lies in HBM."""
    array = ARRAY.search(text)
    return bool(array and _in_hbm(array))


def _in_hbm(array: re.Match[str]) -> bool:
    return not ON_CHIP.search(array["layout"] or "")
