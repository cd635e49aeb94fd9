"""The networks between GPU hosts (fabrics.yaml), read once, and where each of them may be used."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

CLAIMED = "dranet"  # on GKE, where the cards of the generation's own fabric are handed out as devices
BY_CLAIM = ("rdma-gib", CLAIMED)  # fabrics of the generations whose cards can be claimed
ELSEWHERE = ("efa", "ib", "roce")  # on other platforms than GKE
HUGE_PAGES = "hugepages-"  # beginning of resources that count memory


@functools.cache
def facts() -> dict[str, dict[str, Any]]:
    """Return fabrics.yaml: name of a fabric -> its entry."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(Path(__file__).with_name("fabrics.yaml").read_text(encoding="utf-8"), Loader=loader)


def cards(generation: str, gpus: int) -> int:
    """Return the network cards that a host claims: one per GPU, unless the generation has more."""
    return facts()[CLAIMED]["claim"]["cards"].get(generation, gpus)


def resources(fabric: str, generation: str) -> dict[str, int | str | None]:
    """Return the resources that a fabric adds to a whole host; None where the number is not known."""
    rows = facts()[fabric].get("resources", {})
    return {name: value.get(generation) if isinstance(value, dict) else value for name, value in rows.items()}
