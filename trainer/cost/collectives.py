"""Collectives of a compiled program, by kind and network, read from its HLO text."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from trainer.cost.hlo import ARRAY, LOOP, array_bytes, called, computations, trips

KINDS = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
COLLECTIVE = re.compile(
    rf"^\s*(?:ROOT )?%?[\w.-]+ = (?P<shape>.*?) (?P<kind>{KINDS}|send)(?P<start>-start)?\((?P<operands>.*)",
    re.M,
)
RECEIVE = re.compile(
    r"^\s*(?:ROOT )?%?(?P<name>[\w.-]+) = .*? recv(?P<done>-done)?\("
    r"(?:.*? )?%?(?P<operand>[\w.-]+)\)(?P<attributes>.*)",
    re.M,
)
DCN = "_xla_host_transfer"  # frontend attribute of a transfer that leaves the slice through the hosts


def collectives(text: str) -> list[dict[str, Any]]:
    """Return the collectives of one run of the program, one row per kind and network, largest first.

    Between slices the compiler replaces a collective by one inside each slice and pairs of send and receive
    through the hosts. Only the sends are counted as traffic between slices.

    Args:
      text: HLO, from `Compiled.as_text()`.

    Returns:
      Rows of ``kind`` (as XLA names it), ``network`` ("ici" or "dcn"), ``number`` of instructions and
      ``bytes`` of their results on one device. Rows of "dcn" also have ``rounds``: the length of the longest
      chain of transfers in which each begins after the one before has arrived. Transfers that overlap are
      one round.
    """
    number, size, rounds = Counter(), Counter(), 0
    for body, times in _executions(text):
        rounds += times * _rounds(body)
        for kind, network, result_bytes in _instructions(body):
            number[kind, network] += times
            size[kind, network] += times * result_bytes
    rows = [
        {"kind": kind, "network": network, "number": number[kind, network], "bytes": size[kind, network]}
        | ({"rounds": rounds} if network == "dcn" else {})
        for kind, network in number
    ]
    return sorted(rows, key=lambda row: (-row["bytes"], row["kind"]))


def _executions(text: str) -> Iterator[tuple[str, int]]:
    """Yield the text of each computation that runs, and how often it does; each branch of a conditional does.

    A computation that runs from several places is yielded for each of them. A text without an entry
    computation is taken as one computation that runs once.
    """
    bodies, entry = computations(text)
    if not entry:
        yield text, 1
        return
    unvisited = [(entry, 1)]
    while unvisited:
        name, times = unvisited.pop()
        yield bodies[name], times
        for line in bodies[name].splitlines():
            if loop := LOOP.search(line):
                unvisited.append((loop["body"], times * trips(line, bodies)))
            unvisited += ((callee, times) for callee in called(line))


def _instructions(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield kind, network and bytes of each collective of a computation."""
    for instruction in COLLECTIVE.finditer(text):
        sizes = [array_bytes(array) for array in ARRAY.finditer(instruction["shape"])]
        kind = instruction["kind"]
        if kind == "send":
            if DCN in instruction["operands"]:
                yield kind, "dcn", max(sizes, default=0)
        elif instruction["start"] and kind != "all-reduce":
            yield kind, "ici", max(sizes, default=0)  # its shape is a tuple of operand and result
        else:
            yield kind, "ici", sum(sizes)


def _rounds(text: str) -> int:
    """Count the largest set of receives between slices that do not overlap in the schedule.

    Greedy choice by earliest end, which is optimal for intervals.
    """
    begun: dict[str, int] = {}  # name of a receive -> its place in the text
    rounds = arrived = 0
    for receive in RECEIVE.finditer(text):
        if DCN not in receive["attributes"]:
            continue
        if not receive["done"]:
            begun[receive["name"]] = receive.start()
        elif begun.get(receive["operand"], receive.start()) >= arrived:
            rounds, arrived = rounds + 1, receive.start()
    return rounds
