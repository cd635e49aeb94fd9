"""Slices that the catalogue does not have yet: their facts as a request states them, checked like its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from launcher import keys
from launcher.errors import closest
from launcher.hardware import topology
from launcher.hardware.slices import MAX_HOSTS, Slice
from launcher.request import kubernetes_names, readers
from launcher.request.readers import Wrong

Facts = Mapping[str, Any]  # key of KEYS -> value; hosts, chips-per-host, devices-per-chip and resource always

GENERATION = "custom"  # of every such slice, and the name of one that has no other
EXAMPLE = "--custom-slice accelerator=tpu-v9-slice,topology=4x4,chips-per-host=4"
MAX_CHIPS_PER_HOST = 64
KEYS: dict[str, readers.Reader] = {
    "accelerator": kubernetes_names.label_value,
    "topology": kubernetes_names.matching(
        r"[1-9][0-9]{0,2}(x[1-9][0-9]{0,2}){1,2}", "must be a topology such as 4x4 or 4x4x8", 11
    ),
    "chips-per-host": readers.integer(1, MAX_CHIPS_PER_HOST),
    "hosts": readers.integer(1, MAX_HOSTS),
    "machine": kubernetes_names.label_value,
    "resource": kubernetes_names.key,
    "devices-per-chip": readers.integer(1, 2),
    "arch": readers.one_of("amd64", "arm64"),
}
REQUIRED = ("accelerator", "chips-per-host")


def read(value: Any) -> dict[str, Any]:
    """Read `accelerator=…,topology=4x4,chips-per-host=4`, or the same as a mapping, and fill in the rest.

    Without a resource, a slice with a topology has TPUs and one without has GPUs of NVIDIA.
    """
    facts: dict[str, Any] = {}
    for key, text in _pairs(value):
        name = key.strip().replace("_", "-")
        if name not in KEYS:
            raise Wrong(f"must hold {', '.join(KEYS)}", key, closest(name, KEYS))
        try:
            facts[name] = KEYS[name](text.strip() if isinstance(text, str) else text)
        except Wrong as wrong:
            raise _Named(name, wrong) from None
    for name in REQUIRED:
        if not facts.get(name):
            raise Wrong(f"must have {name}", ", ".join(facts), EXAMPLE)
    facts.setdefault("resource", keys.TPU if "topology" in facts else keys.GPU)
    facts.setdefault("devices-per-chip", 1)
    _agree(facts)
    return {name: facts[name] for name in KEYS if name in facts}


class _Named(Wrong):
    """A wrong value of one of the facts, with its name before the message."""

    def __init__(self, name: str, wrong: Wrong) -> None:
        ValueError.__init__(self, f"{name} {wrong}")
        self.hint = wrong.hint


def _agree(facts: dict[str, Any]) -> None:
    """Compute the hosts from the topology, and refuse numbers that disagree."""
    per_host, is_tpu = facts["chips-per-host"], facts["resource"] == keys.TPU
    if not is_tpu:
        if "topology" in facts:
            problem = f"topology must be left out with resource {facts['resource']}"
            raise Wrong(problem, facts["topology"], "hosts=N says how many hosts the slice has")
        facts.setdefault("hosts", 1)
        return
    if "topology" not in facts:
        raise Wrong("topology must be given for TPUs", "none", EXAMPLE)
    shape = facts["topology"]
    chips = topology.chips(shape)
    if chips % per_host:
        divisors = ", ".join(str(n) for n in (1, 2, 4, 8) if chips % n == 0)
        problem = f"chips-per-host must divide the {chips} chips of {shape}"
        raise Wrong(problem, per_host, f"as in chips-per-host={divisors[-1]}; {divisors} divide it")
    hosts = chips // per_host
    if hosts > MAX_HOSTS:
        raise Wrong(f"topology must make at most {MAX_HOSTS} hosts", shape)
    if facts.setdefault("hosts", hosts) != hosts:
        problem = f"hosts must be {hosts}: {shape} has {chips} chips, {per_host} on each host"
        raise Wrong(problem, facts["hosts"], f"hosts={hosts}, or leave it out")


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((str(key), item) for key, item in value.items() if item is not None)
        return
    entries = value.split(",") if isinstance(value, str) else []
    if not entries or not all("=" in entry for entry in entries):
        raise Wrong("must be NAME=VALUE,…", value, EXAMPLE)
    seen: set[str] = set()
    for entry in entries:
        key, _, text = entry.partition("=")
        if key in seen:
            raise Wrong("must have each name once", key)
        seen.add(key)
        yield key, text


def name(value: Any) -> str:
    """Read the name of a slice: lower-case letters, digits and `-`, as it becomes part of the run's name."""
    if not isinstance(value, str) or not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", value):
        raise Wrong("must be at most 40 lower-case letters, digits and '-', starting with a letter", value)
    return value


def text(facts: Facts) -> str:
    """Return the facts as their flag takes them."""
    return ",".join(f"{key}={value}" for key, value in facts.items())


def shape(slice_name: str, facts: Facts) -> Slice:
    """Return the slice with these facts."""
    return Slice(
        name=slice_name,
        kind="tpu" if facts["resource"] == keys.TPU else "gpu",
        generation=GENERATION,
        hosts=facts["hosts"],
        chips_per_host=facts["chips-per-host"],
        devices_per_chip=facts["devices-per-chip"],
        topology=facts.get("topology"),
        accelerator=facts["accelerator"],
        machine=facts.get("machine"),
        arch=facts.get("arch", "amd64"),
        selects_machine="machine" in facts,
        resource_name=facts["resource"],
    )
