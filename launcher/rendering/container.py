"""The container of the trainer, or of another program: command, environment, security, resources, mounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launcher import keys
from launcher.contract import variable
from launcher.hardware import fabrics
from launcher.rendering import code, confinement, fabric, joining
from launcher.request import tuning

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob

NAME = "trainer"
PROGRAM = ["python", "-m", "trainer"]  # followed by flags, each with a value
USER = 1000  # any number but 0: the image works under each
CPU_REQUEST = "500m"  # without --cpu, for CPU hosts, whose quota counts it, and beside huge pages
PORT = 8476  # JAX coordinator
GPU_LIBRARIES = "/usr/local/nvidia/lib64"  # where GKE's device plugin mounts the driver
PLATFORMS = {"tpu": "tpu,cpu", "gpu": "cuda,cpu", "cpu": "cpu"}  # JAX's names; the first is its default
AMD = "amd.com/"  # beginning of the resources of AMD's device plugin
ROCM = "rocm,cpu"  # JAX's names on AMD GPUs
METRICS_PORT = 8431  # of libtpu: without it GKE shows neither duty cycle nor memory of the run's chips


def command(job: TrainingJob) -> list[str]:
    """Return the command of every pod; the trainer reads its slice and host from the environment."""
    if job.command:
        return [*joining.prefix(job), *job.command]
    settings = (part for argument in job.trainer_arguments for part in argument)
    return [*PROGRAM, "--name", job.name, "--run-dir", job.run_dir, *settings]


def first_host(job: TrainingJob) -> str:
    """Return the name of pod 0 of slice 0 in the JobSet's headless service: process 0 runs there."""
    return f"{job.name}-slice-0-0.{job.name}"


def _label(name: str) -> dict[str, Any]:
    return {"fieldRef": {"fieldPath": f"metadata.labels['{name}']"}}


def _secret(name: str, key: str) -> dict[str, Any]:
    return {"secretKeyRef": {"name": name, "key": key}}


def environment(job: TrainingJob) -> list[dict[str, Any]]:
    """Return the env entries of the container; variables of the request come last and win."""
    shape = job.shape
    # JobSet labels pods with its uid from 0.10 on. Before that the run's name has to identify the submission.
    uid = (
        _label(keys.JOBSET_UID) if job.jobset_at_least(0, 10) else f"{job.namespace or 'default'}/{job.name}"
    )
    variables: dict[str, Any] = {
        "JAX_PLATFORMS": ROCM if (job.gpu_resource or "").startswith(AMD) else PLATFORMS[shape.kind],
        variable("platform"): shape.kind,
        variable("devices"): str(job.devices),
        variable("hosts"): str(job.hosts),
        variable("slices"): str(job.num_slices),
        variable("restart"): _label(keys.RESTART_ATTEMPT),
        variable("owner"): uid,
        variable("pod"): {"fieldRef": {"fieldPath": "metadata.name"}},
        "HOME": "/tmp",
        "PYTHONUNBUFFERED": "1",
    }
    if shape.kind == "cpu":
        variables["JAX_NUM_CPU_DEVICES"] = str(shape.devices_per_host)
    if shape.kind == "gpu" and job.platform == "gke":
        variables["LD_LIBRARY_PATH"] = GPU_LIBRARIES
    if shape.kind != "tpu":  # on TPU, GKE sets these for JAX
        variables[variable("coordinator")] = f"{first_host(job)}:{PORT}"
        variables[variable("hosts_per_slice")] = str(shape.hosts)
        variables[variable("slice_index")] = _label(keys.JOB_INDEX)
    if job.command:
        variables[variable("run_dir")] = job.run_dir
        variables |= joining.variables(job, first_host(job))
    variables |= tuning.variables(job)
    if job.notify:
        variables[variable("max_restarts")] = str(job.max_restarts)
        variables[variable("notify")] = _secret(*job.notify)
    variables |= job.env
    for name, (secret, key) in job.secret_env.items():
        variables[name] = _secret(secret, key)
    variables |= code.variables(job)
    return [
        {"name": name, "value" if isinstance(value, str) else "valueFrom": value}
        for name, value in variables.items()
    ]


def resources(job: TrainingJob) -> dict[str, Any]:
    """Return requests and limits: all accelerators of the host, and the request's CPU and memory."""
    limits: dict[str, Any] = {}
    resource = job.gpu_resource if job.gpu_resource and job.shape.kind == "gpu" else job.shape.resource
    if resource:
        limits[resource] = job.shape.chips_per_host
    limits |= fabric.resources(job)
    # Kubernetes grants huge pages only beside CPU or memory.
    pages = any(name.startswith(fabrics.HUGE_PAGES) for name in limits)
    unnamed = job.shape.kind == "cpu" or (pages and not (job.memory or job.memory_limit))
    requests = dict(limits)
    amounts = {  # resource: its request, its limit
        "memory": (job.memory or job.memory_limit, job.memory_limit or job.memory),
        "cpu": (
            job.cpu or job.cpu_limit or (CPU_REQUEST if unnamed else None),
            job.cpu_limit,
        ),
        "ephemeral-storage": (job.ephemeral_storage, job.ephemeral_storage),
    }
    for name, (request, limit) in amounts.items():
        if request:
            requests[name] = request
        if limit:
            limits[name] = limit
    return {"requests": requests, "limits": limits}


def build(job: TrainingJob, mounts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the container that does the work, the same in every pod of the run."""
    spec: dict[str, Any] = {
        "name": NAME,
        "image": job.image,
        "command": command(job),
        "env": environment(job),
    }
    if job.image_pull_policy:
        spec["imagePullPolicy"] = job.image_pull_policy
    if job.workdir:
        spec["workingDir"] = job.workdir
    if job.shape.kind == "tpu":
        spec["ports"] = [{"name": "tpu-metrics", "containerPort": METRICS_PORT}]
    else:
        spec["ports"] = [{"name": "coordinator", "containerPort": PORT}]
        if job.command:
            spec["ports"].append({"name": "master", "containerPort": joining.MASTER_PORT})
    amounts = {key: value for key, value in resources(job).items() if value}
    if amounts:
        spec["resources"] = amounts
    return spec | {"volumeMounts": mounts} | confinement.fields()
