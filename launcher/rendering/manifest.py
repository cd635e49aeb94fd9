"""YAML of rendered objects, written once, at the very end."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from launcher.errors import CONTROL

# Text that some reader takes for something else. PyYAML quotes what PyYAML itself would misread. The API
# server (goyaml.v2 behind sigs.k8s.io/yaml), Go's yaml.v3 and YAML 1.2 know more spellings of each kind.
OTHERWISE = re.compile(
    r"""
      [-+]? [0-9_.,]+ (e [-+]? [0-9_]*)?                     # 1_000, +.5, 1e3, 25921e05
    | [-+]? 0 [xob] [0-9a-f_.]* (p [-+]? [0-9_]*)?           # 0X1f, 0o17, -0b1, 0x1p-2
    | [-+]? [0-9_]+ (: [0-9_]+)+ (\. [0-9_]*)?               # 12:30:45, base 60 in YAML 1.1
    | [0-9]+ - [0-9]+ - [0-9]+ ([t\ ] .*)?                   # 2026-01-31, 2026-1-31T12:00:00Z
    | [-+]? \.? (inf|infinity|nan)
    | y | n | yes | no | on | off | true | false | null | ~ | = | <<
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Text that is safe as a block: a first line that does not begin with a space, characters that no reader
# takes for a line break or removes.
BLOCK = re.compile(r"(?![ \t\n])[\n\x20-\x7e\xa0-\u1fff\u3000-\ud7ff]*")


def to_yaml(objects: Iterable[Any]) -> str:
    """Return YAML documents: keys in the order they were built, no anchors, multi-line text as a block.

    Text that any reader of YAML 1.1 or 1.2 would take for a number, a date or a boolean is quoted.
    """
    import yaml

    fast: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    # Repeated values such as the labels are written out each time, not as &id001 and *id001.
    dumper: Any = type("Dumper", (fast,), {"ignore_aliases": lambda self, data: True})
    dumper.add_representer(str, _text)
    return yaml.dump_all(
        objects, Dumper=dumper, sort_keys=False, default_flow_style=False, width=1 << 16, allow_unicode=True
    )


def _text(dumper: Any, text: str) -> Any:
    if "\n" in text:
        style = "|" if BLOCK.fullmatch(text) else '"'
    elif CONTROL.search(text):  # in other quotes libyaml folds U+2028 as a line break
        style = '"'
    else:
        style = "'" if OTHERWISE.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
