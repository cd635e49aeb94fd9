"""A slice name -> Slice: hosts, chips, devices, topology, selectors.

The hardware facts are in slices.yaml and facts.py, the shapes in topology.py, the words for a wrong name in
suggestions.py, the list of all slices in catalogue.py.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any, Literal

from launcher import keys
from launcher.errors import RequestError
from launcher.hardware import facts, suggestions, topology

MAX_HOSTS = 100_000  # Kubernetes refuses an Indexed Job of more pods
LOCAL_GPU = "local-gpu"
MAX_CPU_DEVICES = 1024  # fake devices of one process

# generation, then a size (32, 2x2x4, 2x4), then -1 where the size is wanted as one VM
NAME = re.compile(r"(?P<generation>[a-z0-9-]+?)[-:](?P<size>[0-9]{1,9}(?:x[0-9]{1,9}){0,2})(?P<single>-1)?")


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Hosts joined by one interconnect (TPU), one pool of GPU nodes, or a group of CPU hosts."""

    name: str
    kind: Literal["tpu", "gpu", "cpu"]
    generation: str
    hosts: int
    chips_per_host: int
    devices_per_chip: int = 1
    topology: str | None = None
    accelerator: str | None = None
    machine: str | None = None
    fabric: str | None = None
    arch: str = "amd64"
    placement_policy: bool = False
    domain_hosts: int | None = None

    @property
    def chips(self) -> int:
        """Accelerators in the slice; on CPU hosts, fake devices."""
        return self.hosts * self.chips_per_host

    @property
    def devices_per_host(self) -> int:
        """What `jax.local_device_count()` says in each pod."""
        return self.chips_per_host * self.devices_per_chip

    @property
    def devices(self) -> int:
        """What `jax.device_count()` says for this slice alone."""
        return self.hosts * self.devices_per_host

    @property
    def resource(self) -> str | None:
        """Extended resource that a pod asks `chips_per_host` of, or None on CPU."""
        return {"tpu": keys.TPU, "gpu": keys.GPU}.get(self.kind)

    @property
    def node_selector(self) -> dict[str, str]:
        """Labels of the GKE nodes that are such hosts."""
        if self.kind == "gpu" and self.accelerator:
            return {keys.GPU_ACCELERATOR: self.accelerator}
        if self.kind == "tpu" and self.accelerator and self.topology and self.machine:
            selector = {keys.TPU_ACCELERATOR: self.accelerator, keys.TPU_TOPOLOGY: self.topology}
            # 2x4 is two 4-chip VMs or one 8-chip VM, and only the machine type tells them apart.
            return selector | ({keys.INSTANCE_TYPE: self.machine} if self.topology == "2x4" else {})
        return {}

    @property
    def tolerations(self) -> list[dict[str, str]]:
        """What the taints of such hosts ask for."""
        found = (
            [{"key": self.resource, "operator": "Exists", "effect": "NoSchedule"}] if self.resource else []
        )
        if self.arch == "arm64":
            found.append({"key": keys.ARCH, "operator": "Equal", "value": "arm64", "effect": "NoSchedule"})
        return found


def tpu(row: dict[str, Any], shape: str, *, single_vm: bool = False) -> Slice:
    """The TPU slice of a legal topology."""
    chips = topology.chips(shape)
    per_host = chips if single_vm else min(chips, row["host"])
    is_default = shape == topology.default(row, chips)
    return Slice(
        name=f"{facts.tpu_name(row, chips) if is_default else row['name'] + ':' + shape}{'-1' * single_vm}",
        kind="tpu",
        generation=row["name"],
        hosts=chips // per_host,
        chips_per_host=per_host,
        devices_per_chip=row["devices_per_chip"],
        topology=shape,
        accelerator=row["accelerator"],
        machine=row["machines"][per_host],
        placement_policy=bool(row.get("placement_policy")) and chips > per_host,
    )


def gpu(row: dict[str, Any], count: int, *, single_vm: bool = False) -> Slice | None:
    """The slice of so many GPUs, or None where no number of this generation's VMs has them."""
    per_host = count if single_vm or count < row["host"] else row["host"]
    largest = row.get("max_chips", MAX_HOSTS * per_host)
    if per_host not in row["machines"] or count % per_host or count > largest:
        return None
    return Slice(
        name=f"{row['name']}-{count}{'-1' * single_vm}",
        kind="gpu",
        generation=row["name"],
        hosts=count // per_host,
        chips_per_host=per_host,
        accelerator=row["accelerator"],
        machine=row["machines"][per_host],
        # The fabric joins whole hosts: a VM with some of the GPUs has no network cards for it.
        fabric=row.get("fabric") if per_host == row["host"] else None,
        arch=row.get("arch", "amd64"),
        domain_hosts=row.get("domain_hosts"),
    )


def cpu(hosts: int, devices: int) -> Slice | None:
    """A group of CPU hosts, each a process with so many fake devices."""
    if not (1 <= hosts <= MAX_HOSTS and 1 <= devices <= MAX_CPU_DEVICES):
        return None
    return Slice(
        name=f"cpu-{hosts}x{devices}", kind="cpu", generation="cpu", hosts=hosts, chips_per_host=devices
    )


def local_gpu(count: int) -> Slice:
    """So many GPUs of this machine as one host."""
    return Slice(name=f"{LOCAL_GPU}-{count}", kind="gpu", generation=LOCAL_GPU, hosts=1, chips_per_host=count)


@functools.lru_cache(maxsize=256)
def parse(name: str) -> Slice:
    """The slice of a name: `v4-32`, `v5litepod-16`, `v4:2x2x4`, `v6e-8-1`, `h100-mega-64`, `cpu-2x4`.

    Raises RequestError for a name that is no slice, with the nearest ones and the reason.
    """
    match = NAME.fullmatch(name.strip().lower())
    found = _match(match) if match else None
    if found is None:
        raise RequestError(suggestions.problem(name, match, facts.generations()))
    return found


def _match(match: re.Match[str]) -> Slice | None:
    size, single_vm = match["size"], match["single"] is not None
    if match["generation"] == "cpu":
        return cpu(*topology.dimensions(size)) if size.count("x") == 1 and not single_vm else None
    if match["generation"] == LOCAL_GPU:
        return local_gpu(int(size)) if size.isdecimal() and 1 <= int(size) <= 64 and not single_vm else None
    row = facts.generations().get(facts.aliases(facts.generations()).get(match["generation"], ""))
    if row is None or (single_vm and _count(row, size) not in row.get("single_vm", [])):
        return None
    if row["kind"] == "gpu":
        return gpu(row, int(size), single_vm=single_vm) if size.isdecimal() and int(size) else None
    shape = size if "x" in size else topology.default(row, _count(row, size))
    return tpu(row, shape, single_vm=single_vm) if shape and topology.is_legal(row, shape) else None


def _count(row: dict[str, Any], size: str) -> int:
    """Chips (or GPUs) that a size names; 0 where it names a part of a chip."""
    if "x" in size:
        return topology.chips(size)
    chips, part = divmod(int(size), row.get("cores_per_chip", 1))
    return 0 if part else chips
