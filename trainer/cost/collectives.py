"""What a compiled program says to other devices: its collectives, by kind and network."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from trainer.cost.hlo import ARRAY, CALLED, LOOP, array_bytes, computations, trips

KINDS = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
CALL = re.compile(
    rf"^\s*(?:ROOT )?%?[\w.-]+ = (?P<shape>.*?) (?P<kind>{KINDS}|send)(?P<start>-start)?\((?P<rest>.*)", re.M
)
RECEIVE = re.compile(
    r"^\s*(?:ROOT )?%?(?P<name>[\w.-]+) = .*? recv(?P<done>-done)?\((?:.*? )?%?(?P<of>[\w.-]+)\)(?P<rest>.*)",
    re.M,
)
DCN = "_xla_host_transfer"  # frontend attribute of what leaves the slice, by way of the hosts


def collectives(text: str) -> list[dict[str, Any]]:
    """Rows of kind, network ("ici" or "dcn"), number and bytes (of one device's results), largest first.

    What crosses between slices also has its rounds: the most of them that follow each other in the schedule,
    each begun when the one before has arrived. Those that are on the way together wait once.

    text: of `Compiled.as_text()`. Between slices the compiler turns a collective into one inside each slice
    and pairs of send and receive through the hosts; a send is what crosses.
    """
    number, size, rounds = Counter(), Counter(), 0
    for body, times in _runs(text):
        rounds += times * _rounds(body)
        for kind, network, amount in _calls(body):
            number[kind, network] += times
            size[kind, network] += times * amount
    rows = [
        {"kind": kind, "network": network, "number": number[kind, network], "bytes": size[kind, network]}
        | ({"rounds": rounds} if network == "dcn" else {})
        for kind, network in number
    ]
    return sorted(rows, key=lambda row: (-row["bytes"], row["kind"]))


def _runs(text: str) -> list[tuple[str, int]]:
    """The computations of a program and how often each runs; of a part of one, all of it, once."""
    bodies, entry = computations(text)
    if not entry:
        return [(text, 1)]
    times, waiting = {entry: 1}, [entry]
    while waiting:
        name = waiting.pop()
        for line in bodies[name].splitlines():
            loop = LOOP.search(line)
            for other in filter(None, (loop, CALLED.search(line))):
                if other["body"] not in times:
                    times[other["body"]] = times[name] * (trips(line, bodies) if loop else 1)
                    waiting.append(other["body"])
    return [(bodies[name], count) for name, count in times.items()]


def _calls(text: str) -> Iterator[tuple[str, str, int]]:
    for call in CALL.finditer(text):
        arrays = [array_bytes(array) for array in ARRAY.finditer(call["shape"])]
        kind, leaves = call["kind"], DCN in call["rest"]
        if kind == "send":
            if leaves:
                yield kind, "dcn", max(arrays, default=0)
        elif call["start"] and kind != "all-reduce":
            yield kind, "ici", max(arrays, default=0)  # a tuple of operand and result
        else:
            yield kind, "ici", sum(arrays)


def _rounds(text: str) -> int:
    """The most receives of which none overlaps another, from their beginning to their end in the schedule."""
    begun: dict[str, int] = {}
    rounds = arrived = 0
    for call in RECEIVE.finditer(text):
        if DCN not in call["rest"]:
            continue
        if not call["done"]:
            begun[call["name"]] = call.start()
        elif begun.get(call["of"], call.start()) >= arrived:
            rounds, arrived = rounds + 1, call.start()
    return rounds
