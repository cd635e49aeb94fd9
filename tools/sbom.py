"""Print a software bill of materials (CycloneDX 1.6) of pinned requirements.

It reads names, versions and hashes, as tools/requirements.py prints them, from standard input.
`make sbom` writes one for each image, into dist/.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any


def components(requirements: str) -> list[dict[str, Any]]:
    """Return a component per requirement, with the digests of all its files: a wheel per platform, source."""
    result = []
    for entry in re.split(r"\n(?! )", requirements.strip()):
        match = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", entry)
        if not match:
            raise SystemExit(f"error: must be NAME==VERSION with hashes, got {entry.splitlines()[0]!r}")
        name, version = match.groups()
        digests = re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)
        purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
        properties = [{"name": "sha256 of an accepted file", "value": digest} for digest in digests]
        result.append(
            {
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": version,
                "purl": purl,
                "properties": properties,
            }
        )
    return result


def main() -> None:
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "components": components(sys.stdin.read()),
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
