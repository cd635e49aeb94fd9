"""The name of a reservation, or its path with project, block and subblock, as gcloud writes it."""

from __future__ import annotations

import re
from typing import Any

from launcher import keys
from launcher.request.readers import Wrong

_PART = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"  # any value of a label
PATH = (
    rf"(?:projects/(?P<project>{_PART})/reservations/)?(?P<name>{NAME})"
    rf"(?:/reservationBlocks/(?P<block>{_PART})(?:/reservationSubBlocks/(?P<subblock>{_PART}))?)?"
)
FORM = "[projects/PROJECT/reservations/]NAME[/reservationBlocks/BLOCK[/reservationSubBlocks/SUBBLOCK]]"
LABELS = {  # part of the path -> label of the nodes
    "name": keys.RESERVATION,
    "project": keys.RESERVATION_PROJECT,
    "block": keys.RESERVATION_BLOCK,
    "subblock": keys.RESERVATION_SUBBLOCK,
}


def read(value: Any) -> str:
    """Read the name or path of a reservation."""
    if not isinstance(value, str) or not re.fullmatch(PATH, value):
        raise Wrong("must be the name or path of a reservation", value, FORM)
    return value


def labels(reservation: str | None) -> dict[str, str]:
    """Return the labels of the reservation's nodes; none without a reservation."""
    match = re.fullmatch(PATH, reservation or "")
    parts = match.groupdict() if match else {}
    return {label: parts[part] for part, label in LABELS.items() if parts.get(part)}
