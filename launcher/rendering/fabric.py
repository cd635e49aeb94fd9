"""The network between GPU hosts on GKE: adds what fabrics.yaml lists for it to the rendered objects."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launcher import keys

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob

CHANNEL = "compute-domain-channel"  # resource claim that the pods of one NVLink domain share


@functools.cache
def facts() -> dict[str, dict[str, Any]]:
    """Return fabrics.yaml: name of a fabric, as slices.yaml spells it -> its entry."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(Path(__file__).with_name("fabrics.yaml").read_text(encoding="utf-8"), Loader=loader)


def select(job: TrainingJob) -> dict[str, Any] | None:
    """Return the entry of the fabric between the job's hosts, or None for one host or another platform."""
    name = job.shape.fabric
    return facts()[name] if name and job.fabric and job.platform == "gke" and job.hosts > 1 else None


def pod_annotations(job: TrainingJob) -> dict[str, str]:
    """Return annotations for the pods' network interfaces and the daemon's devices (it requests no GPU)."""
    fabric = select(job)
    if fabric is None:
        return {}
    networks = {"eth0": "default", **fabric["networks"]}
    if fabric.get("rdma"):  # one network card per GPU
        networks |= {f"eth{2 + gpu}": f"rdma-{gpu}" for gpu in range(job.shape.chips_per_host)}
    interfaces = [{"interfaceName": name, "network": network} for name, network in networks.items()]
    annotations = {keys.DEFAULT_INTERFACE: "eth0", keys.INTERFACES: json.dumps(interfaces)}
    daemon = fabric.get("daemon")
    if daemon:
        devices = [f"- path: /dev/{device}" for device in daemon["devices"]]
        annotations[keys.CONTAINER_DEVICES + daemon["name"]] = "\n".join(devices) + "\n"
    return annotations


def apply(job: TrainingJob, spec: dict[str, Any]) -> None:
    """Add volumes, daemon, variables and privileges to a pod spec whose first container is the trainer."""
    fabric = select(job)
    if fabric is None:
        return
    trainer = spec["containers"][0]
    spec["volumes"] += [
        {"name": name, "hostPath": {"path": path}} for name, path in fabric["volumes"].items()
    ]
    spec["volumes"] += [{"name": name, "emptyDir": {}} for name in fabric.get("shared", [])]
    trainer["volumeMounts"] += _mounts(fabric["mounts"])
    taken = {entry["name"] for entry in trainer["env"] if entry["name"] != "LD_LIBRARY_PATH"} | set(job.env)
    added = {name: value for name, value in fabric["env"].items() if name not in taken}
    trainer["env"] = [entry for entry in trainer["env"] if entry["name"] not in added]
    trainer["env"] += [{"name": name, "value": value} for name, value in added.items()]
    if "profile" in fabric:
        # exec replaces bash by the trainer, so that signals and exit codes are the trainer's.
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
        spec.setdefault("initContainers", []).append(_daemon(fabric["daemon"]))
    if job.shape.domain_hosts:
        spec["resourceClaims"] = [{"name": CHANNEL, "resourceClaimTemplateName": _claim_template(job)}]
        trainer["resources"]["claims"] = [{"name": CHANNEL}]


def _daemon(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a sidecar: an init container that runs until the trainer has ended."""
    return {
        "name": entry["name"],
        "image": entry["image"],
        "command": list(entry["command"]),
        "restartPolicy": "Always",
        "env": [{"name": "LD_LIBRARY_PATH", "value": "/usr/local/nvidia/lib64"}],
        "volumeMounts": _mounts(entry["mounts"]),
        "securityContext": {
            "runAsUser": 0,
            "runAsNonRoot": False,
            "capabilities": {"add": list(entry["capabilities"])},
        },
    }


def _mounts(paths: dict[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "mountPath": path} for name, path in paths.items()]


def _claim_template(job: TrainingJob) -> str:
    return f"{job.name}-channel"


def objects(job: TrainingJob) -> list[dict[str, Any]]:
    """Return the objects to create before the JobSet: for NVL72, the domain whose hosts share GPU memory."""
    if select(job) is None or not job.shape.domain_hosts:
        return []
    metadata: dict[str, Any] = {"name": job.name} | ({"namespace": job.namespace} if job.namespace else {})
    metadata["labels"] = {**keys.labels(job.name), **job.label}
    return [
        {
            "apiVersion": "resource.nvidia.com/v1beta1",
            "kind": "ComputeDomain",
            "metadata": metadata,
            "spec": {
                "numNodes": job.hosts,
                "channel": {"resourceClaimTemplate": {"name": _claim_template(job)}},
            },
        }
    ]
