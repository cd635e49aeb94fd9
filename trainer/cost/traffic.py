"""What a compiled program does, instruction by instruction, read from its HLO text: FLOPs, traffic with HBM.

The compiler's own `bytes accessed` is more than that: a prefetch in slices is counted with its whole operand
once a slice, and what lies in VMEM is counted as if it lay in HBM.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from trainer.cost import flops
from trainer.cost.hlo import ARRAY, CALLED, LOOP, array_bytes, computations, trips

# What costs nothing, and the ends of what was counted where it began.
FREE = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier", "while")
NAME = re.compile(r"\s*(?:ROOT )?%?(?P<name>[\w.-]+) = ")
OPERATION = re.compile(r" (?P<kind>[a-z][\w-]*)\(")
OPERAND = re.compile(r"%([\w.-]+)")
ON_CHIP = re.compile(r"S\([1-9]\d*\)")  # a memory space in a layout; HBM is space 0, which is not printed


@dataclass(frozen=True)
class Call:
    """One instruction of the schedule: bytes read from HBM and written there, FLOPs, times that it runs."""

    name: str
    kind: str
    read: int
    written: int
    flops: int
    times: int
    source: str  # the operation of the traced program that it stands for

    @property
    def bytes(self) -> int:
        return self.times * (self.read + self.written)


def totals(text: str) -> tuple[int, int]:
    """(FLOPs, bytes) of one run of the program, of one device. text: of `Compiled.as_text()`."""
    found = list(calls(text))
    return sum(call.times * call.flops for call in found), sum(call.bytes for call in found)


def calls(text: str) -> Iterator[Call]:
    """Every instruction that does something, in the order of the schedule; loops as often as they run."""
    bodies, entry = computations(text)
    yield from _calls(bodies, entry, 1)


def _calls(bodies: dict[str, str], name: str, times: int) -> Iterator[Call]:
    types: dict[str, str] = {}
    for line in bodies[name].splitlines():
        if not (begun := NAME.match(line)):
            continue
        kind, result, operands = _split(line[begun.end() :])
        types[begun["name"]] = result
        if kind == "while" and (loop := LOOP.search(line)):
            yield from _calls(bodies, loop["body"], times * trips(line, bodies))
        if kind in FREE or kind.endswith(("-done", "-update")) or "ConcatBitcast" in line:
            continue
        given = [types.get(operand, "") for operand in OPERAND.findall(operands)]
        source = re.search(r'op_name="([^"]*)"', line)
        read, written = _moved(kind, result, given)
        work = _flops(bodies, line, kind, result, types)
        if read or written or work:
            yield Call(begun["name"], kind, read, written, work, times, source[1] if source else "")


def _flops(bodies: dict[str, str], line: str, kind: str, result: str, types: dict[str, str]) -> int:
    """Of an instruction and of those that are fused into it."""
    if kind == "convolution":
        return flops.convolution(line, types, result)
    if not (called := CALLED.search(line)):
        return 0
    total, inner = 0, dict[str, str]()
    for line in bodies[called["body"]].splitlines():
        if begun := NAME.match(line):
            kind, result, _ = _split(line[begun.end() :])
            inner[begun["name"]] = result
            total += _flops(bodies, line, kind, result, inner)
    return total


def _moved(kind: str, result: str, given: list[str]) -> tuple[int, int]:
    """Bytes read and written. A copy that is started has its operand in its result, and a flag."""
    if kind not in ("copy-start", "slice-start", "async-start"):
        return sum(map(_hbm, given)), _hbm(result)
    # copy-start: (destination, source, flag); the others, of a slice: ((source), destination, flag)
    arrays = list(ARRAY.finditer(result))
    destination, source = (arrays[0], arrays[1]) if kind == "copy-start" else (arrays[1], arrays[0])
    size = array_bytes(destination)
    return size * _in_hbm(source), size * _in_hbm(destination)


def _split(text: str) -> tuple[str, str, str]:
    """`(f32[2]{0}, s32[]) fusion(%a, %b), kind=…` -> kind, type of the result, operands."""
    depth, end = text.startswith("("), 1
    while depth and end < len(text):
        depth += (text[end] == "(") - (text[end] == ")")
        end += 1
    found = OPERATION.search(text, end - 1)
    if not found:
        return "", text, ""
    return found["kind"], text[: found.start()], text[found.end() :].split("), ")[0]


def _hbm(text: str) -> int:
    return sum(array_bytes(array) for array in ARRAY.finditer(text) if _in_hbm(array))


def _in_hbm(array: re.Match[str]) -> bool:
    return not ON_CHIP.search(array["layout"] or "")
