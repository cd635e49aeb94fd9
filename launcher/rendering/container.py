"""The trainer's container: command, environment, security, resources, mounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launcher import keys

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob

NAME = "trainer"
USER = 1000  # any number but 0: the image works under each
CPU_REQUEST = "500m"  # of a CPU host that names none: quotas count what is requested
PORT = 8476  # of the JAX coordinator
GPU_LIBRARIES = "/usr/local/nvidia/lib64"  # where GKE's device plugin mounts the driver
PLATFORMS = {"tpu": "tpu,cpu", "gpu": "cuda,cpu", "cpu": "cpu"}  # JAX's names, the first is the default one


def command(job: TrainingJob) -> list[str]:
    """What runs in every pod; the trainer finds out its place from the environment."""
    named = {
        "--name": job.name,
        "--run-dir": job.run_dir,
        "--arch": job.arch,
        "--recipe": job.recipe,
        "--data": job.data,
        "--batch": job.batch,
        "--epochs": job.epochs,
        "--steps": job.steps,
        "--seed": job.seed,
    }
    flags = [word for flag, value in named.items() if value is not None for word in (flag, str(value))]
    # Each host would save to a disk of its own, and no host could restore the others' part.
    settings = ("checkpoint.enabled=false", *job.set) if job.hosts > 1 and not job.kept else job.set
    return ["python", "-m", "trainer", *flags, *(w for s in settings for w in ("--set", s)), *job.args]


def coordinator(job: TrainingJob) -> str:
    """Host and port of process 0: pod 0 of slice 0, by its name in the JobSet's headless service."""
    return f"{job.name}-slice-0-0.{job.name}:{PORT}"


def _label(name: str) -> dict[str, Any]:
    return {"fieldRef": {"fieldPath": f"metadata.labels['{name}']"}}


def environment(job: TrainingJob) -> list[dict[str, Any]]:
    """Name and value of each variable; the request's own come last and win."""
    shape = job.shape
    # JobSet labels pods with its uid from 0.10 on; before that a name stands for the submission.
    uid = (
        _label(keys.JOBSET_UID) if job.jobset_at_least(0, 10) else f"{job.namespace or 'default'}/{job.name}"
    )
    found: dict[str, Any] = {
        "JAX_PLATFORMS": PLATFORMS[shape.kind],
        "RESNET_PLATFORM": shape.kind,
        "RESNET_DEVICES": str(job.devices),
        "RESNET_HOSTS": str(job.hosts),
        "RESNET_SLICES": str(job.num_slices),
        "RESNET_RESTART": _label(keys.RESTART_ATTEMPT),
        "RESNET_OWNER": uid,
        "RESNET_POD": {"fieldRef": {"fieldPath": "metadata.name"}},
        "HOME": "/tmp",
        "PYTHONUNBUFFERED": "1",
    }
    if shape.kind == "cpu":
        found["JAX_NUM_CPU_DEVICES"] = str(shape.devices_per_host)
    if shape.kind == "gpu" and job.platform == "gke":
        found["LD_LIBRARY_PATH"] = GPU_LIBRARIES
    if shape.kind != "tpu":  # on TPU, GKE tells each pod its place and JAX reads it
        found["RESNET_COORDINATOR"] = coordinator(job)
        found["RESNET_HOSTS_PER_SLICE"] = str(shape.hosts)
        found["RESNET_SLICE_INDEX"] = _label(keys.JOB_INDEX)
    found |= job.env
    for name, (secret, key) in job.secret_env.items():
        found[name] = {"secretKeyRef": {"name": secret, "key": key}}
    return [{"name": n, "value" if isinstance(v, str) else "valueFrom": v} for n, v in found.items()]


def resources(job: TrainingJob) -> dict[str, Any]:
    """Requests and limits: every accelerator of the host, and what the request asks for besides."""
    limits: dict[str, Any] = {}
    resource = job.gpu_resource if job.gpu_resource and job.shape.kind == "gpu" else job.shape.resource
    if resource:
        limits[resource] = job.shape.chips_per_host
    if job.memory:
        limits["memory"] = job.memory
    requests = dict(limits)
    if job.cpu or job.shape.kind == "cpu":
        requests["cpu"] = job.cpu or CPU_REQUEST
    return {"requests": requests, "limits": limits}


def build(job: TrainingJob, mounts: list[dict[str, Any]]) -> dict[str, Any]:
    """The container of every pod of the run."""
    found: dict[str, Any] = {
        "name": NAME,
        "image": job.image,
        "command": command(job),
        "env": environment(job),
    }
    if job.shape.kind != "tpu":
        found["ports"] = [{"name": "coordinator", "containerPort": PORT}]
    needs = {key: value for key, value in resources(job).items() if value}
    if needs:
        found["resources"] = needs
    return found | {
        "volumeMounts": mounts,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
