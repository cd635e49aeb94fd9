"""What a compiled program says to other devices, read from its HLO text."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

KINDS = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
CALL = re.compile(
    rf"^\s*(?:ROOT )?%?[\w.-]+ = (?P<shape>.*?) (?P<kind>{KINDS}|send)(?P<start>-start)?\((?P<rest>.*)", re.M
)
ARRAY = re.compile(r"\b(?P<type>pred|bf16|[sufc](?:\d+)\w*)\[(?P<dims>[\d,]*)\](?P<layout>\{[^}]*\})?")
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
    number, size = Counter(), Counter()
    for kind, network, amount in _calls(text):
        number[kind, network] += 1
        size[kind, network] += amount
    rows = [
        {"kind": kind, "network": network, "number": number[kind, network], "bytes": size[kind, network]}
        | ({"rounds": _rounds(text)} if network == "dcn" else {})
        for kind, network in number
    ]
    return sorted(rows, key=lambda row: (-row["bytes"], row["kind"]))


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


def dimensions(text: str) -> list[int]:
    """Of the first array of a type: `bf16[256,1024]{1,0}` -> [256, 1024]."""
    array = ARRAY.search(text)
    return [int(n) for n in array["dims"].split(",") if n] if array else []


def array_bytes(array: re.Match[str]) -> int:
    """`bf16[256,1024]` -> 524288, a match of ARRAY."""
    kind = array["type"]
    bits = 8 if kind == "pred" else int(re.sub(r"\D*(\d+).*", r"\1", kind))
    return math.ceil(math.prod(int(n) for n in array["dims"].split(",") if n) * bits / 8)
