"""The rules that hold between the fields of a job. Each rule yields the problems that it finds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from launcher import contract, keys
from launcher.errors import Problem
from launcher.hardware import facts
from launcher.hardware.slices import LOCAL_GPU, NAME
from launcher.request import (
    fabric_choice,
    kubernetes_names,
    packed_code,
    program,
    queue_topology,
    readers,
)

if TYPE_CHECKING:
    from launcher.request.fields import Fields

LONGEST_NAME = 63  # characters of a pod's name, which JobSet checks before it creates a pod
MAX_PODS = 2**31 - 1  # JobSet counts pods with 32 bits
FLEX_SECONDS = 7 * 86400  # longest life of a flex-start node on GKE
NO_FLEX = ("v4",)  # generations without flex-start
OUTSIDE_BLOCKS = 2  # layers of a network for CIFAR that are in no block: the first and the last
RESERVED = ("RESNET_", "JOB_COMPLETION_INDEX", "TPU_WORKER_", "MEGASCALE_")
# By these a program of the user's own joins on GPUs and CPUs: rendering/joining.py.
JOINING = (
    *("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID", "JAX_LOCAL_DEVICE_IDS"),
    *("OMPI_MCA_orte_hnp_uri", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    *("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "NODE_RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"),
)


def missing(job: Fields, flag: str) -> Problem | None:
    """Return the problem of a request that lacks this field; None where it may be left out."""
    if flag == "slice":
        return Problem(flag, "must be given", "as in --slice v4-32; resnet-launch slices lists them")
    if flag == "arch" and job.command is None:
        hint = 'as in --arch resnet50, or --command "python train.py" --name my-run'
        return Problem(flag, "must be given, or command in its place", hint)
    if flag == "name" and job.command is not None:
        return Problem(flag, "must be given with command", program.NAMED)
    return None


def longest_pod(name: str, slices: int, hosts: int) -> str:
    """Return the longest pod name of a run, with the five characters that Kubernetes appends."""
    return f"{name}-slice-{slices - 1}-{hosts - 1}-abcde"


def _names(job: Fields) -> Iterator[Problem]:
    room = LONGEST_NAME - len(longest_pod("", job.num_slices, job.shape.hosts))
    if len(job.name) > room:
        yield Problem(
            "name",
            f"must be at most {room} characters for {job.num_slices} x {job.slice}, got {job.name!r}",
            "its longest pod name must stay within 63; choose one with --name",
        )


def _program(job: Fields) -> Iterator[Problem]:
    if not job.command:
        for field in program.OF_A_PROGRAM:
            if getattr(job, field) is not None:
                yield Problem(field.replace("_", "-"), "must be used with command", program.NAMED)
        return
    if job.arch is not None:
        yield Problem("command", f"must be left out with arch, got both (arch {job.arch})", "leave out one")
    for field in program.OF_THE_TRAINER:
        if getattr(job, field) not in (None, ()):
            hint = "the command's own arguments stand in --command"
            yield Problem(field, "must be left out with command: only the trainer reads it", hint)


def _batch(job: Fields) -> Iterator[Problem]:
    batch = int(job.requested.get("train.batch", 0))
    groups = job.devices // job.group if job.devices % job.group == 0 else 1
    if batch % groups:
        below = batch // groups * groups
        nearest = f"{below} or {below + groups}" if below else f"{groups}"
        parts = f"{groups} groups of {job.group} devices" if job.group > 1 else f"{groups} devices"
        yield Problem("batch", f"must be a multiple of the run's {parts}, got {batch}", f"--batch {nearest}")
    if job.steps and job.epochs:
        yield Problem("steps", f"must not be used together with epochs, got {job.steps} and {job.epochs}")


def _recipe(job: Fields) -> Iterator[Problem]:
    """Check that a recipe that is published for one family is used with a network of it."""
    document = contract.document()
    arch = str(job.requested.get("model.arch", job.arch))
    family, published = document["families"].get(arch), document["recipe_families"].get(job.used_recipe)
    if job.command or family is None or published in (None, family):
        return
    fitting = [recipe for recipe, other in document["recipe_families"].items() if other == family]
    fitting.append(document["path_recipe"])
    text = f"must be for {arch}, a network of {family}, got {job.used_recipe} for {published}"
    yield Problem("recipe", text, f"--recipe {fitting[0]}; recipes for {arch}: {', '.join(fitting)}")


def _network(job: Fields) -> Iterator[Problem]:
    """Check that a named network honours the settings of the section `model` that are not the default."""
    if job.command:
        return
    document, settings = contract.document(), job.settings
    arch = str(settings["model.arch"])
    if job.used_recipe in document["recipe_families"]:
        settings = job.requested  # `_recipe` compares the family that the recipe is published for
    for group in document["network_settings"]:
        if arch not in group["archs"]:
            continue
        hint = f"the settings of {arch}: {', '.join(group['settings']) or 'none'}"
        honoured = {"model.arch", *group["settings"]}
        for path in sorted(path for path in settings if path.startswith("model.") and path not in honoured):
            if settings[path] != contract.fields()[path]["default"]:
                text = f"{path} must be left out for {arch}, which does not have it, got {settings[path]!r}"
                yield Problem("set", text, hint)


def _depth(job: Fields) -> Iterator[Problem]:
    """Check that a network can have as many layers as `model.depth` says (arXiv:1512.03385, section 4.2)."""
    depth = 0 if job.command else int(job.settings["model.depth"])
    arch = str(job.requested.get("model.arch", job.arch))
    step = contract.document()["layers_per_step"].get(arch)
    if not depth or not step:
        return
    blocks, too_many = divmod(depth - OUTSIDE_BLOCKS, step)
    if blocks < 1 or too_many:
        pair = [depth - too_many, depth - too_many + step] if blocks >= 1 else [step + OUTSIDE_BLOCKS]
        distance = min(abs(layers - depth) for layers in pair)
        nearest = [layers for layers in pair if abs(layers - depth) == distance]
        listed = " or ".join(map(str, nearest))
        text = f"model.depth must be {step}n + {OUTSIDE_BLOCKS} for {arch}, nearest {listed}, got {depth}"
        yield Problem("set", text, f"--set model.depth={nearest[-1]}")


def _mesh(job: Fields) -> Iterator[Problem]:
    """Check what mesh.model divides; the trainer checks the layers of a network that it imports."""
    size, devices = job.group, job.shape.devices
    if job.command or size == 1:
        return
    arch = str(job.requested.get("model.arch", job.arch))
    counts = contract.document()["model_axis"].get(arch, {})
    if not counts and arch in contract.document()["archs"]:
        text = f"mesh.model must be 1 for {arch}, whose layers cannot be divided over devices, got {size}"
        yield Problem("set", text, "--set train.shard=all divides the state of every network")
    elif any(count % size for count in (*counts.values(), devices)):
        listed = ", ".join(f"{count} {name}" for name, count in counts.items())
        layers = f"the {listed} of {arch} and " if counts else ""
        fitting = math.gcd(*counts.values(), devices)
        sizes = ", ".join(str(number) for number in range(1, fitting + 1) if fitting % number == 0)
        text = f"mesh.model must divide {layers}the {devices} devices of a slice, got {size}"
        yield Problem("set", text, f"--set mesh.model={fitting}; what divides all of them: {sizes}")


def _slices(job: Fields) -> Iterator[Problem]:
    shape = job.shape
    if job.custom_slice is not None and catalogued(job.slice):
        problem = f"must be custom, or a name of its own, with custom-slice, got {job.slice!r}"
        yield Problem("slice", problem, "--slice custom, or leave out --custom-slice")
    if job.num_slices > 1 and shape.kind == "tpu" and shape.hosts == 1:
        yield Problem(
            "num-slices",
            f"must be 1 for {job.slice}, got {job.num_slices}",
            "only slices with several hosts join over the data center network; choose a larger slice",
        )
    if job.hosts > MAX_PODS:
        yield Problem("num-slices", f"must make at most {MAX_PODS} pods, got {job.hosts}")
    if shape.generation == LOCAL_GPU and job.platform != "local":
        yield Problem(
            "slice",
            f"must be a slice of a cluster, got {job.slice!r}",
            "local-gpu is this machine: resnet-launch local --slice local-gpu",
        )


def catalogued(name: str) -> bool:
    """Return whether the catalogue has a slice with this name, or a generation whose sizes it could be."""
    match = NAME.fullmatch(name.strip().lower())
    known = {*facts.aliases(facts.generations()), "cpu", LOCAL_GPU}
    return match is not None and match["generation"] in known


def _storage(job: Fields) -> Iterator[Problem]:
    inside = any(mount.holds(job.run_dir) for mount in job.mount)
    if job.platform != "local" and job.kept and not job.run_dir.startswith("gs://") and not inside:
        yield Problem(
            "run-dir",
            f"must be gs://… or lie under a writable --mount, got {job.run_dir!r}",
            "the root of a pod is read-only: --bucket BUCKET, or --mount pvc/NAME:/runs --run-dir /runs/NAME",
        )
    # The disks of a machine that only the request describes are not known here.
    without_ssd = job.shape.selects_machine and job.custom_slice is None
    if without_ssd and any(mount.kind == "ssd" for mount in job.mount):
        yield Problem("mount", f"must not mount ssd on {job.slice}: its machines have no local SSD")
    paths = [mount.path for mount in job.mount]
    for path in sorted({path for path in paths if paths.count(path) > 1}):
        yield Problem("mount", f"must mount one source at each path, got several at {path}")


def _environment(job: Fields) -> Iterator[Problem]:
    joining = JOINING if job.command and job.shape.kind != "tpu" else ()
    for field, names in (("env", job.env), ("secret-env", job.secret_env)):
        for name in names:
            if name.startswith(RESERVED) or name in joining:
                yield Problem(field, f"must not set {name}: the launcher or the cluster sets it")
    for name in sorted(set(job.env) & set(job.secret_env)):
        yield Problem("secret-env", f"must not set {name}: --env sets it")


def _capacity(job: Fields) -> Iterator[Problem]:
    kinds = [flag for flag in ("spot", "reservation", "flex") if getattr(job, flag)]
    if len(kinds) > 1:
        yield Problem(kinds[-1], f"must be the only kind of capacity, got {' and '.join(kinds)}")
    for flag in [*kinds, *(["placement-policy"] if job.placement_policy else [])]:
        if job.platform != "gke":
            yield Problem(flag, f"must be left out on platform {job.platform}: only GKE has such nodes")
        elif job.shape.kind == "cpu":
            yield Problem(flag, "must be left out for CPU slices: choose their nodes with --node-selector")
    if job.flex is not None and not 0 < job.flex <= FLEX_SECONDS:
        yield Problem(
            "flex", f"must be above 0 and at most 7d, got {readers.duration_text(job.flex)}", "--flex 24h"
        )
    if job.flex and job.shape.generation in NO_FLEX:
        yield Problem("flex", f"must be left out for {job.slice}: GKE has no flex-start for this generation")
    if job.shape.placement_policy and job.platform == "gke" and not job.placement_policy:
        yield Problem(
            "placement-policy",
            f"must be given for {job.slice}: several hosts of this generation need a workload policy",
            "kubectl get nodes -L cloud.google.com/placement-policy-name shows the policies of node pools",
        )


def _platform(job: Fields) -> Iterator[Problem]:
    if job.shape.kind == "tpu" and job.platform == "generic":
        yield Problem("platform", f"must be gke for {job.slice}: TPU hosts join by variables that GKE sets")
    if job.gpu_resource and (job.shape.kind != "gpu" or job.platform != "generic"):
        yield Problem("gpu-resource", "must be used with a GPU slice and --platform generic")


def _fabric(job: Fields) -> Iterator[Problem]:
    yield from fabric_choice.problems(job)


def _queue(job: Fields) -> Iterator[Problem]:
    for field in ("priority", "topology_required", "topology_preferred"):
        if getattr(job, field) and not job.queue:
            yield Problem(
                field.replace("_", "-"), "must be used with --queue: Kueue reads it", "--queue NAME"
            )
    yield from queue_topology.problems(job)


def _code(job: Fields) -> Iterator[Problem]:
    if job.code_image and not job.code:
        yield Problem("code-image", "must be used with --code", "--code DIR")
    if job.code is None:
        return
    for mount in job.mount:
        if packed_code.DIRECTORY in (mount.path, *_above(mount.path)):
            yield Problem("mount", f"must not mount at {mount.path}, where the pods have the code of --code")
    if job.code.shadows and not job.command:
        text = "must have no module of its own called trainer: it would run in place of the trainer"
        yield Problem("code", text, "rename it, or run a program of your own: --command")
    if "PYTHONPATH" in job.secret_env:
        yield Problem(
            "secret-env", "must not set PYTHONPATH: with --code it names the code", "--env PYTHONPATH=DIR"
        )
    if job.platform == "local" or job.run_dir.startswith("gs://"):
        return
    size = len(job.code.archive)
    if not size:
        yield Problem("code", "must have its archive where the run directory is not in a bucket")
    elif size > packed_code.LARGEST_IN_CONFIGMAP:
        limit = packed_code.LARGEST_IN_CONFIGMAP // 1000
        yield Problem(
            "code",
            f"must pack to at most {limit} kB without a bucket, got {size // 1000} kB{job.code.largest}",
            "--bucket BUCKET keeps it there",
        )


def _above(path: str) -> Iterator[str]:
    parts = path.split("/")
    return ("/".join(parts[:depth]) for depth in range(2, len(parts)))


def _labels(job: Fields) -> Iterator[Problem]:
    flags = {keys.QUEUE: "--queue", keys.PRIORITY: "--priority"}
    for field, pairs in (("label", job.label), ("annotation", job.annotation)):
        for key in pairs:
            if keys.is_reserved(key):
                yield Problem(field, f"must not set {key}: runs are found by it")
            elif field == "label" and key in flags:
                yield Problem(field, f"must not set {key}", f"{flags[key]} {pairs[key] or 'NAME'}")


def _patch(job: Fields) -> Iterator[Problem]:
    for patch in job.patch:
        for key in patch:
            if key not in ("metadata", "spec"):
                yield Problem("patch", f"must hold only metadata and spec of the JobSet, got {key[:60]!r}")
        metadata = patch.get("metadata")
        if isinstance(metadata, Mapping) and {"name", "namespace"} & set(metadata):
            yield Problem("patch", "must not rename the run", "--name and --namespace set its name")


def _resources(job: Fields) -> Iterator[Problem]:
    for field in ("cpu", "memory"):
        request, limit = getattr(job, field), getattr(job, f"{field}_limit")
        if request and limit and kubernetes_names.amount(request) > kubernetes_names.amount(limit):
            text = f"must be at least --{field} {request}, got {limit!r}"
            yield Problem(f"{field}-limit", text, f"--{field}-limit {request}, or leave it out")


def _nodes(job: Fields) -> Iterator[Problem]:
    if job.compute_class and job.platform != "gke":
        yield Problem(
            "compute-class",
            f"must be left out on platform {job.platform}: only GKE has such nodes",
            "--node-selector KEY=VALUE",
        )
    for key, _ in job.node_affinity:
        if key in job.node_selector:
            yield Problem("node-affinity", f"must not name {key}: --node-selector sets it")


ALL = (
    _program,
    _names,
    _batch,
    _recipe,
    _network,
    _depth,
    _mesh,
    _slices,
    _storage,
    _environment,
    _capacity,
    _platform,
    _resources,
    _nodes,
    _fabric,
    _queue,
    _code,
    _labels,
    _patch,
)
