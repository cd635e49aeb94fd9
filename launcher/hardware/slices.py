"""The slice that a name stands for: its hosts, chips, devices, topology and node labels.

Hardware facts are in slices.yaml and facts.py, topologies in topology.py, error messages for a wrong name
in suggestions.py, and the list of all slices in catalogue.py.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any, Literal

from launcher import keys
from launcher.errors import RequestError
from launcher.hardware import facts, suggestions, topology

MAX_HOSTS = 100_000  # Kubernetes refuses an Indexed Job with more pods
LOCAL_GPU = "local-gpu"
MAX_CPU_DEVICES = 1024  # fake devices of one process

# The generation, a size (32, 2x2x4, 2x4), then -1 for the same size as one VM.
NAME = re.compile(r"(?P<generation>[a-z0-9-]+?)[-:](?P<size>[0-9]{1,9}(?:x[0-9]{1,9}){0,2})(?P<single>-1)?")


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Hosts joined by one interconnect (TPU), one pool of GPU nodes, or a group of CPU hosts.

    None stands for what a slice does not have: CPU hosts have no topology, accelerator or machine type.
    """

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
    selects_machine: bool = False
    resource_name: str | None = None

    @property
    def chips(self) -> int:
        """Accelerators in the slice; on CPU hosts, fake devices."""
        return self.hosts * self.chips_per_host

    @property
    def devices_per_host(self) -> int:
        """Devices that `jax.local_device_count()` counts in each pod."""
        return self.chips_per_host * self.devices_per_chip

    @property
    def devices(self) -> int:
        """Devices that `jax.device_count()` counts in a run on this slice alone."""
        return self.hosts * self.devices_per_host

    @property
    def resource(self) -> str | None:
        """Extended resource of which a pod requests `chips_per_host`, or None on CPU hosts."""
        return self.resource_name or {"tpu": keys.TPU, "gpu": keys.GPU}.get(self.kind)

    @property
    def node_selector(self) -> dict[str, str]:
        """Labels that select the GKE nodes of this slice."""
        selector: dict[str, str] = {}
        if self.kind == "gpu" and self.accelerator:
            selector = {keys.GPU_ACCELERATOR: self.accelerator}
        if self.kind == "tpu" and self.accelerator and self.topology:
            selector = {keys.TPU_ACCELERATOR: self.accelerator, keys.TPU_TOPOLOGY: self.topology}
        if self.selects_machine and self.machine:
            return selector | {keys.INSTANCE_TYPE: self.machine}
        # 2x4 is two 4-chip VMs or one 8-chip VM. GKE's label counts the chips of the VM, and Autopilot
        # refuses the label of the machine type.
        count = {keys.ACCELERATOR_COUNT: str(self.chips_per_host)}
        return selector | (count if self.topology == "2x4" and selector else {})

    @property
    def tolerations(self) -> list[dict[str, str]]:
        """Tolerations for the taints that GKE puts on the nodes of this slice."""
        tolerations = []
        if self.resource:
            tolerations.append({"key": self.resource, "operator": "Exists", "effect": "NoSchedule"})
        if self.arch == "arm64":
            arm64 = {"key": keys.ARCH, "operator": "Equal", "value": "arm64", "effect": "NoSchedule"}
            tolerations.append(arm64)
        return tolerations


def tpu(row: dict[str, Any], shape: str, *, single_vm: bool = False) -> Slice:
    """Return the TPU slice with a legal topology; `single_vm` puts all its chips into one VM."""
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
    """Return the slice with `count` GPUs, or None where the generation's VMs cannot add up to that number."""
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
        # The fabric joins whole hosts: a VM with only some of a host's GPUs has no network cards for it.
        fabric=row.get("fabric") if per_host == row["host"] else None,
        arch=row.get("arch", "amd64"),
        domain_hosts=row.get("domain_hosts"),
        selects_machine=bool(row.get("selects_machine")),
    )


def cpu(hosts: int, devices: int) -> Slice | None:
    """Return a group of CPU hosts with `devices` fake devices each, or None for more than is allowed."""
    if not (1 <= hosts <= MAX_HOSTS and 1 <= devices <= MAX_CPU_DEVICES):
        return None
    return Slice(
        name=f"cpu-{hosts}x{devices}", kind="cpu", generation="cpu", hosts=hosts, chips_per_host=devices
    )


def local_gpu(count: int) -> Slice:
    """Return `count` GPUs of this machine as one host."""
    return Slice(name=f"{LOCAL_GPU}-{count}", kind="gpu", generation=LOCAL_GPU, hosts=1, chips_per_host=count)


@functools.lru_cache(maxsize=256)
def parse(name: str) -> Slice:
    """Return the slice of a name: `v4-32`, `v4:2x2x4`, `v6e-8-1`, `h100-mega-64`, `cpu-2x4`.

    Aliases such as `v5litepod-16` give the slice under its own name, `v5e-16`.

    Raises:
      RequestError: no slice has this name; the error gives the reason and the nearest names.
    """
    # gb200-4-nolssd is how others name gb200-nolssd-4.
    match = NAME.fullmatch(re.sub(r"-([0-9]+)-nolssd$", r"-nolssd-\1", name.strip().lower()))
    shape = _from_match(match) if match else None
    if shape is None:
        raise RequestError(suggestions.problem(name, match, facts.generations()))
    return shape


def _from_match(match: re.Match[str]) -> Slice | None:
    size, single_vm = match["size"], match["single"] is not None
    if match["generation"] == "cpu":
        return cpu(*topology.dimensions(size)) if size.count("x") == 1 and not single_vm else None
    if match["generation"] == LOCAL_GPU:
        return local_gpu(int(size)) if size.isdecimal() and 1 <= int(size) <= 64 and not single_vm else None
    row = facts.generations().get(facts.aliases(facts.generations()).get(match["generation"], ""))
    if row is None or (single_vm and _chips(row, size) not in row.get("single_vm", [])):
        return None
    if row["kind"] == "gpu":
        return gpu(row, int(size), single_vm=single_vm) if size.isdecimal() and int(size) else None
    shape = size if "x" in size else topology.default(row, _chips(row, size))
    return tpu(row, shape, single_vm=single_vm) if shape and topology.is_legal(row, shape) else None


def _chips(row: dict[str, Any], size: str) -> int:
    """Return the chips (or GPUs) that a size stands for, or 0 where it is not a whole number of chips."""
    if "x" in size:
        return topology.chips(size)
    chips, remainder = divmod(int(size), row.get("cores_per_chip", 1))
    return 0 if remainder else chips
