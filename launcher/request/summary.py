"""A summary of a request in a few lines, and its warnings."""

from __future__ import annotations

import os.path
import re
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from launcher.errors import printable
from launcher.request import imports, tuning

# Names of variables whose values are credentials as a rule.
SECRET = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY)S?$", re.IGNORECASE)

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob
    from launcher.request.packed_code import PackedCode


def lines(job: TrainingJob) -> list[str]:
    """Return `v4-32 = 16 chips (2x2x4) on 4 hosts, 16 devices`, the batch and the run directory.

    Numbers are totals over all slices; the batch is also stated per device, or per group of them.
    """
    shape, count = job.shape, job.num_slices
    accelerator = {"tpu": "chip", "gpu": "GPU", "cpu": "CPU device"}[shape.kind]
    topology = f" ({shape.topology})" if shape.topology else ""
    slices = shape.name if count == 1 else f"{count} x {shape.name}"
    hardware = f"{_count(count * shape.chips, accelerator)}{topology} on {_count(job.hosts, 'host')}"
    summary = [f"{slices} = {hardware}, {_count(job.devices, 'device')}"]
    if "train.batch" in job.requested:
        batch = int(job.settings["train.batch"])
        per = f"group of {job.group} devices" if job.group > 1 else "device"
        summary.append(f"batch {batch} = {batch * job.group // job.devices} per {per}")
    if job.command:
        summary.append(f"command {printable(shlex.join(job.command))}")
    summary.append(f"run directory {job.run_dir}")
    if job.code:
        summary.append(_code(job.code))
    return summary


def _code(code: PackedCode) -> str:
    """Return `code 1a2b3c4d5e6f with changes, sha256:9f86d0818842, 14 kB`."""
    commit = code.commit[:12] + " with changes" * code.dirty if code.commit else ""
    size = len(code.archive)
    shown = f"{max(size // 1000, 1)} kB" if size < 1_000_000 else f"{size / 1e6:.1f} MB"
    return ", ".join(filter(None, (f"code {commit}".rstrip(), f"sha256:{code.digest[:12]}", shown)))


def without_data(job: TrainingJob) -> bool:
    """Return whether the run trains on synthetic images because nobody named a dataset."""
    if job.command or "data.name" in job.requested or job.recipe_settings is None:
        return False
    return job.settings["data.name"] == "synthetic"


def warnings(job: TrainingJob, *, importing: bool = False) -> Iterator[str]:
    """Yield what a person should know before the run starts.

    With `importing` the caller imports the modules that the request names, and nothing warns of them.
    """
    if not job.command:
        yield from _training(job, importing)
    if not job.kept:
        also = " and makes no checkpoints" if job.hosts > 1 and not job.command else ""
        yield f"no bucket is configured: the run keeps nothing{also} (--bucket BUCKET)"
    if job.platform != "local" and "/" not in job.image:
        yield f"image {job.image} names no registry: only nodes that have it can run it (--image IMAGE)"
    yield from job.code.notes if job.code else ()
    for name in _secret_names(job) if job.platform != "local" else []:
        readers = "everyone who may read the run can read it"
        yield f"env {name} looks like a secret, and {readers} (--secret-env {name}=SECRET/KEY)"
    if job.platform == "generic" and job.shape.kind == "gpu" and job.hosts > 1 and job.fabric == "auto":
        text = f"no fabric is named: the {job.hosts} hosts exchange gradients over the pods' own network"
        yield f"{text} (--fabric efa, ib or roce; --fabric none where there is no other)"
    if job.network_policy and tuning.host_network(job):
        yield "the network policy does not hold pods that use the network of the node (--no-host-network)"


def _training(job: TrainingJob, importing: bool) -> Iterator[str]:
    """Yield what is worth knowing about the dataset and the batch of the trainer."""
    if without_data(job):
        yield "no data is configured: the run trains on synthetic images (--data DATA)"
    data = str(job.settings["data.name"])
    mounted = any(mount.holds(data, to_read=True) for mount in job.mount)
    if job.platform != "local" and data.startswith("/") and not mounted:
        text = f"data {data} is under no --mount: the pods find it only if the image has it"
        folder = os.path.dirname(data.rstrip("/"))
        yield f"{text} (--mount pvc/NAME:{folder if folder != '/' else data.rstrip('/')}:ro)"
    if job.platform != "local" and not importing and (code := [*imported(job)]):
        where = "the image or --code must have it (resnet-launch check imports it)"
        yield f"not checked here: {', '.join(code)}; {where}"
    if problem := undivided(job):
        yield f"{problem}: the run would fail (--batch N)"


def undivided(job: TrainingJob) -> str:
    """Return why the batch of the recipe does not fit the devices; empty where it does, or was requested."""
    if job.command or "train.batch" in job.requested or job.recipe_settings is None:
        return ""
    batch, groups = int(job.settings["train.batch"]), job.devices // job.group
    parts = f"{groups} groups of {job.group} devices" if job.group > 1 else f"{groups} devices"
    return f"batch {batch} of the recipe does not divide over {parts}" if batch % groups else ""


def imported(job: TrainingJob) -> Iterator[str]:
    """Yield what the pods import for the request: `the network own.nets:small`."""
    for what, setting in (("network", "model.arch"), ("dataset", "data.name")):
        if imports.is_object(value := job.settings.get(setting)):
            yield f"the {what} {value}"
    if not job.command and job.recipe_settings is None:
        yield f"the recipe {job.used_recipe}"


def _secret_names(job: TrainingJob) -> list[str]:
    return [name for name, value in job.env.items() if value and SECRET.search(name)]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
