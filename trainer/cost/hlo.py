"""Computations, loops and types in the HLO text of a compiled program.

The compiler of jax 0.12 writes `%sums#1` for the second array of the tuple `%sums`, where older ones name a
get-tuple-element. ``computations`` writes the latter into the text, so that every reader sees one spelling.
"""

import math
import re

ARRAY = re.compile(r"\b(?P<type>pred|bf16|[sufc](?:\d+)\w*)\[(?P<dims>[\d,]*)\](?P<layout>\{[^}]*\})?")
NAME = re.compile(r"\s*(?:ROOT )?%?(?P<name>[\w.-]+(?:#\d+)?) = ")
OPERATION = re.compile(r" (?P<kind>[a-z][\w-]*)\(")
OPERAND = re.compile(r"%([\w.-]+(?:#\d+)?)")
ELEMENT = re.compile(r"%(?P<tuple>[\w.-]+)#(?P<index>\d+)")
COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.-]+) \(.*?\{\n(?P<body>.*?)^\}", re.M | re.S)
CALLED = re.compile(r"calls=%?(?P<body>[\w.-]+)")
# What else runs the computation that it names: on TPU7x, `call` begins a collective on the SparseCore.
APPLIED = re.compile(r" call\(.*?to_apply=%?(?P<body>[\w.-]+)")
BRANCHES = re.compile(
    r"(?:branch_computations=\{(?P<list>[^}]*)\}|(?:true|false)_computation=%?(?P<one>[\w.-]+))"
)
LOOP = re.compile(r"body=%?(?P<body>[\w.-]+)")
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
CONDITION = re.compile(r"condition=%?(?P<body>[\w.-]+)")
BELOW = re.compile(r" compare\([^)]*?%?(?P<limit>[\w.-]+)\), direction=LT")


def computations(text: str) -> tuple[dict[str, str], str]:
    """Return the body of each computation by name, and the name of the entry; "" where the text has none."""
    matches = list(COMPUTATION.finditer(text))
    entry = next((computation["name"] for computation in matches if computation["entry"]), "")
    return {computation["name"]: _with_elements(computation["body"]) for computation in matches}, entry


def _with_elements(body: str) -> str:
    """Return a computation's body with a line for each `%tuple#index` that it uses, below the tuple's."""
    used: dict[str, set[int]] = {}
    for element in ELEMENT.finditer(body):
        used.setdefault(element["tuple"], set()).add(int(element["index"]))
    if not used:
        return body
    lines = []
    for line in body.splitlines():
        lines.append(line)
        if (head := NAME.match(line)) and head["name"] in used:
            name, types = head["name"], elements(line[head.end() :])
            lines += [
                f"  %{name}#{index} = {types[index]} get-tuple-element(%{name}), index={index}"
                for index in sorted(used[name])
            ]
    return "\n".join(lines)


def called(line: str) -> list[str]:
    """Return the names of the computations that an instruction runs once: fused, called or branched to.

    Args:
      line: the instruction's line of HLO.
    """
    names = [callee["body"] for callee in (CALLED.search(line), APPLIED.search(line)) if callee]
    for branches in BRANCHES.finditer(line):
        names += OPERAND.findall(branches["list"]) if branches["list"] else [branches["one"]]
    return names


def trips(line: str, bodies: dict[str, str]) -> int:
    """Return how often a `while` instruction runs its body.

    Its own trip count comes first, then the constant that its condition counts up to from 0; else it is 1.

    Args:
      line: the instruction's line of HLO.
      bodies: as ``computations`` returns them.
    """
    if known := TRIPS.search(line):
        return int(known[1])
    condition = CONDITION.search(line)
    body = bodies.get(condition["body"], "") if condition else ""
    limit = BELOW.search(body)
    value = re.search(rf"%{re.escape(limit['limit'])} = \S+ constant\((\d+)\)", body) if limit else None
    return int(value[1]) if value else 1


def opcode(text: str) -> tuple[str, str, str]:
    """Split `(f32[2]{0}, s32[]) fusion(%a, %b), kind=…` into opcode, type of the result and operands."""
    operation = OPERATION.search(text, max(len(opening(text)) - 1, 0))
    if not operation:
        return "", text, ""
    return operation["kind"], text[: operation.start()], text[operation.end() :].split("), ")[0]


def opening(text: str) -> str:
    """Return the tuple that a text begins with, `(f32[2]{0:T(128)}, s32[])`; "" where it begins with none."""
    depth, end = int(text.startswith("(")), int(text.startswith("("))
    while depth and end < len(text):
        depth += (text[end] == "(") - (text[end] == ")")
        end += 1
    return text[:end]


def elements(text: str) -> list[str]:
    """Return the types in the tuple that a text begins with: `(f32[2]{0}, (s32[], s32[]))` -> two."""
    types, depth = [""], 0
    for letter in re.sub(r"/\*.*?\*/", "", opening(text))[1:-1]:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            types.append("")
        else:
            types[-1] += letter
    return [one.strip() for one in types]


def dimensions(text: str) -> list[int]:
    """Return the shape of the first array in an HLO type: `bf16[256,1024]{1,0}` -> [256, 1024]."""
    array = ARRAY.search(text)
    return [int(n) for n in array["dims"].split(",") if n] if array else []


def array_bytes(array: re.Match[str]) -> int:
    """Return the size of an array from a match of ARRAY: `bf16[256,1024]` -> 524288."""
    kind = array["type"]
    bits = 8 if kind == "pred" else int(re.sub(r"\D*(\d+).*", r"\1", kind))
    return math.ceil(math.prod(int(n) for n in array["dims"].split(",") if n) * bits / 8)
