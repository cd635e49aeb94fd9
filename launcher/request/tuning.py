"""Settings for speed that vendors publish: which `--tuning published` sets, and their sources.

None of them was measured by this project. What belongs to a node pool is only named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from launcher.request.fields import Fields

READ = "2026-11-26"  # when the sources were last read
LIBTPU = "LIBTPU_INIT_ARGS"
HUGE_PAGES = ("v5e", "v5p", "v6e", "tpu7x")
# Arguments of libtpu for runs of several slices, by generation; those under "" are for every one.
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "": ("--megascale_abort_on_hangs=true",),
    "v6e": (
        "--megascale_grpc_premap_memory_bytes=17179869184",  # 16 GiB
        "--xla_tpu_enable_sunk_dcn_allreduce_done_with_host_reduction=true",
    ),
}
HOST_NETWORK = ("v6e",)  # generations whose slices exchange more than a pod's own network carries


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One published setting.

    pod: whether a pod can set it, so that `--tuning published` does.
    """

    name: str
    why: str
    source: str
    pod: bool

    def line(self) -> str:
        """Return the setting as one line of text."""
        where = "--tuning published" if self.pod else "of the node pool"
        return f"{self.name} ({where}): {self.why}; {self.source}"


def several_slices(job: Fields) -> bool:
    """Return whether the run's slices are TPUs joined by the data center's network."""
    return job.shape.kind == "tpu" and job.num_slices > 1


def settings(job: Fields) -> Iterator[Setting]:
    """Yield the published settings that matter for the slices of a run."""
    generation = job.shape.generation
    if generation in HUGE_PAGES:
        yield Setting(
            name="linuxConfig.transparentHugepageEnabled: TRANSPARENT_HUGEPAGE_ENABLED_ALWAYS",
            why="transfers between host and chips use huge pages",
            source="GKE node system configuration, TPU v5e and later",
            pod=False,
        )
    if not several_slices(job):
        return
    yield Setting(
        name=f"{LIBTPU} {ARGUMENTS[''][0]}",
        why="a transfer between slices that hangs ends the attempt instead of holding it",
        source="axlearn pull request 716",
        pod=True,
    )
    if generation in ARGUMENTS:
        yield Setting(
            name=f"{LIBTPU} {' '.join(ARGUMENTS[generation])}",
            why="16 GiB of premapped buffers, and all-reduces between slices that end on the host",
            source="tpu-recipes, microbenchmarks/trillium/collectives",
            pod=True,
        )
    if generation in HOST_NETWORK:
        yield Setting(
            name="hostNetwork: true",
            why="the pods use all network cards of their nodes; Pod Security restricted forbids it",
            source="ai-on-gke, Trillium on several slices",
            pod=True,
        )


def variables(job: Fields) -> dict[str, str]:
    """Return the variables that the run's tuning sets; one of the request wins."""
    if job.tuning == "none" or not several_slices(job):
        return {}
    return {LIBTPU: " ".join(ARGUMENTS[""] + ARGUMENTS.get(job.shape.generation, ()))}


def host_network(job: Fields) -> bool:
    """Return whether the pods use the network of their nodes, by request or by tuning."""
    tuned = job.tuning != "none" and several_slices(job) and job.shape.generation in HOST_NETWORK
    return job.host_network or tuned


def lines(job: Fields) -> list[str]:
    """Return the published settings for a run as text, with a heading; none where there are none."""
    rows = [setting.line() for setting in settings(job)]
    heading = (
        f"published settings for {job.num_slices} x {job.slice}, read {READ}, not measured by this project:"
    )
    return [heading, *(f"  {row}" for row in rows)] if rows else []
