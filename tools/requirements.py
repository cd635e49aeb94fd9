"""Print what an extra needs, each package with its version and hashes from constraints.txt.

It reads the resolved names and versions from standard input:

    uv pip compile pyproject.toml --extra dev --constraint constraints.txt --no-annotate --no-header |
    python tools/requirements.py constraints.txt

A package that constraints.txt does not list at that version is an error: nothing is installed without a hash.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ENTRY = re.compile(
    r"^([A-Za-z0-9._-]+)==(\S+?)(?: *;[^\\]*)?(?: \\)?\n((?:    --hash=\S+(?: \\)?\n)+)", re.MULTILINE
)


def hashed(resolved: str, constraints: str) -> str:
    """Return the requirements in `resolved` with their hashes.

    Raises SystemExit with one line that names each package without a hash.
    """
    hashes = {(name, version): block for name, version, block in ENTRY.findall(constraints)}
    lines, missing = [], []
    for line in resolved.splitlines():
        requirement = line.partition(";")[0].strip()
        if not requirement or requirement.startswith("#"):
            continue
        name, _, version = requirement.partition("==")
        if (name, version) in hashes:
            lines.append(f"{requirement} \\\n{hashes[name, version]}")
        else:
            missing.append(requirement)
    if missing:
        raise SystemExit(f"error: constraints.txt has no hashes of {', '.join(missing)}\nhint: make lock")
    return "".join(lines)


if __name__ == "__main__":
    print(hashed(sys.stdin.read(), Path(sys.argv[1]).read_text(encoding="utf-8")), end="")
