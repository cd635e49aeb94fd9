"""The network between GPU hosts on GKE: what fabrics.yaml says a pod needs, put into the rendered objects."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launcher import keys

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob

CHANNEL = "compute-domain-channel"  # claim of the pods of one NVLink domain


@functools.cache
def facts() -> dict[str, dict[str, Any]]:
    """fabrics.yaml by the names that slices.yaml uses."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(Path(__file__).with_name("fabrics.yaml").read_text(encoding="utf-8"), Loader=loader)


def of(job: TrainingJob) -> dict[str, Any] | None:
    """The fabric that joins the job's hosts, or None where one host or another platform needs none."""
    name = job.shape.fabric
    return facts()[name] if name and job.fabric and job.platform == "gke" and job.hosts > 1 else None


def pod_annotations(job: TrainingJob) -> dict[str, str]:
    """The pods' network interfaces, and the devices of the daemon, which asks for no GPU."""
    fabric = of(job)
    if fabric is None:
        return {}
    networks = {"eth0": "default", **fabric["networks"]}
    if fabric.get("rdma"):  # as many network cards as GPUs
        networks |= {f"eth{2 + gpu}": f"rdma-{gpu}" for gpu in range(job.shape.chips_per_host)}
    interfaces = [{"interfaceName": name, "network": network} for name, network in networks.items()]
    found = {keys.DEFAULT_INTERFACE: "eth0", keys.INTERFACES: json.dumps(interfaces)}
    daemon = fabric.get("daemon")
    if daemon:
        devices = [f"- path: /dev/{device}" for device in daemon["devices"]]
        found[keys.CONTAINER_DEVICES + daemon["name"]] = "\n".join(devices) + "\n"
    return found


def apply(job: TrainingJob, spec: dict[str, Any]) -> None:
    """Adds volumes, daemon, variables and rights to a pod spec whose first container is the trainer."""
    fabric = of(job)
    if fabric is None:
        return
    trainer = spec["containers"][0]
    spec["volumes"] += [{"name": n, "hostPath": {"path": path}} for n, path in fabric["volumes"].items()]
    spec["volumes"] += [{"name": name, "emptyDir": {}} for name in fabric.get("shared", [])]
    trainer["volumeMounts"] += _mounts(fabric["mounts"])
    given = {entry["name"] for entry in trainer["env"] if entry["name"] != "LD_LIBRARY_PATH"} | set(job.env)
    own = {name: value for name, value in fabric["env"].items() if name not in given}
    trainer["env"] = [entry for entry in trainer["env"] if entry["name"] not in own]
    trainer["env"] += [{"name": name, "value": value} for name, value in own.items()]
    if "profile" in fabric:
        # bash reads the variables, then becomes the trainer: signals and exit codes are the trainer's.
        trainer["command"] = [
            "bash",
            "-c",
            f'source {fabric["profile"]} && exec "$@"',
            "--",
            *trainer["command"],
        ]
    if "capabilities" in fabric:
        trainer["securityContext"]["capabilities"]["add"] = list(fabric["capabilities"])
    if fabric.get("root"):
        trainer["securityContext"] |= {"runAsUser": 0, "runAsNonRoot": False}
    if "daemon" in fabric:
        spec["initContainers"] = [_daemon(fabric["daemon"])]
    if job.shape.domain_hosts:
        spec["resourceClaims"] = [{"name": CHANNEL, "resourceClaimTemplateName": _template(job)}]
        trainer["resources"]["claims"] = [{"name": CHANNEL}]


def _daemon(facts: dict[str, Any]) -> dict[str, Any]:
    """A sidecar: an init container that goes on until the trainer has ended."""
    return {
        "name": facts["name"],
        "image": facts["image"],
        "command": list(facts["command"]),
        "restartPolicy": "Always",
        "env": [{"name": "LD_LIBRARY_PATH", "value": "/usr/local/nvidia/lib64"}],
        "volumeMounts": _mounts(facts["mounts"]),
        "securityContext": {
            "runAsUser": 0,
            "runAsNonRoot": False,
            "capabilities": {"add": list(facts["capabilities"])},
        },
    }


def _mounts(places: dict[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "mountPath": path} for name, path in places.items()]


def _template(job: TrainingJob) -> str:
    return f"{job.name}-channel"


def objects(job: TrainingJob) -> list[dict[str, Any]]:
    """What must exist before the JobSet: for NVL72 the domain in which hosts share GPU memory."""
    if of(job) is None or not job.shape.domain_hosts:
        return []
    metadata: dict[str, Any] = {"name": job.name} | ({"namespace": job.namespace} if job.namespace else {})
    metadata["labels"] = {**keys.labels(job.name), **job.label}
    return [
        {
            "apiVersion": "resource.nvidia.com/v1beta1",
            "kind": "ComputeDomain",
            "metadata": metadata,
            "spec": {"numNodes": job.hosts, "channel": {"resourceClaimTemplate": {"name": _template(job)}}},
        }
    ]
