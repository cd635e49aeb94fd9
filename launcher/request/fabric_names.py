"""Readers of `--fabric` and `--fabric-resource`; the rules between them are in fabric_choice.py."""

from __future__ import annotations

import re
from typing import Any

from launcher.hardware import fabrics
from launcher.request import kubernetes_names, readers

AUTO, NONE = "auto", "none"
CHOICES = (AUTO, fabrics.CLAIMED, *fabrics.ELSEWHERE, NONE)
_SWITCH = {True: AUTO, False: NONE, "true": AUTO, "false": NONE, "1": AUTO, "0": NONE}
_one_of = readers.one_of(*CHOICES)


def read(value: Any) -> str:
    """Read the name of a fabric; true and false, as earlier versions had them, mean auto and none."""
    if isinstance(value, (bool, str)):
        value = _SWITCH.get(value.lower() if isinstance(value, str) else value, value)
    return _one_of(value)


def read_resources(value: Any) -> dict[str, int | str]:
    """Read NAME=N: a resource and its number per host, or for huge pages a quantity such as 5120Mi."""
    pairs = readers.pairs(kubernetes_names.key, lambda amount: amount, "NAME=N, as in rdma/ib=1")(value)
    return {name: _amount(name, amount) for name, amount in pairs.items()}


def _amount(name: str, amount: Any) -> int | str:
    if not name.startswith(fabrics.HUGE_PAGES):
        try:
            return readers.integer(1, 1024)(amount)
        except readers.Wrong:
            raise readers.Wrong(f"must be {name}=N, N from 1 to 1024", f"{name}={amount}") from None
    if not re.fullmatch(r"[1-9][0-9]{0,9}[KMG]i", str(amount)):
        raise readers.Wrong(f"must be {name}=QUANTITY such as {name}=5120Mi", f"{name}={amount}")
    return str(amount)
