"""The network between GPU hosts: adds what hardware/fabrics.yaml lists for it to the rendered objects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from launcher import keys
from launcher.hardware import fabrics
from launcher.request import fabric_choice

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob

CHANNEL = "compute-domain-channel"  # resource claim that the pods of one NVLink domain share
CARDS = "rdma"  # resource claim of a pod's network cards
CLAIMS_API = "resource.k8s.io/v1"  # served since Kubernetes 1.34; DRANET needs GKE 1.34


def select(job: TrainingJob) -> dict[str, Any] | None:
    """Return the entry of the fabric between the job's hosts, or None where there is none."""
    name = fabric_choice.name(job)
    return fabrics.facts()[name] if name else None


def resources(job: TrainingJob) -> dict[str, int | str]:
    """Return what the fabric adds to the requests and limits of the container."""
    return fabric_choice.resources(job) if select(job) else {}


def pod_annotations(job: TrainingJob) -> dict[str, str]:
    """Return annotations for the pods' network interfaces and the daemon's devices (it requests no GPU)."""
    fabric = select(job)
    if fabric is None or "networks" not in fabric:
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
        {"name": name, "hostPath": {"path": path}} for name, path in fabric.get("volumes", {}).items()
    ]
    spec["volumes"] += [{"name": name, "emptyDir": {}} for name in fabric.get("shared", [])]
    trainer["volumeMounts"] += _mounts(fabric.get("mounts", {}))
    taken = {entry["name"] for entry in trainer["env"] if entry["name"] != "LD_LIBRARY_PATH"} | set(job.env)
    added = {name: value for name, value in fabric.get("env", {}).items() if name not in taken}
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
    if claims := _claims(job, fabric):
        spec["resourceClaims"] = [
            {"name": name, "resourceClaimTemplateName": template} for name, template in claims.items()
        ]
        trainer["resources"]["claims"] = [{"name": name} for name in claims]
    if affinity := _one_domain(job):
        spec["affinity"] = {**spec.get("affinity", {}), **affinity}


def _claims(job: TrainingJob, fabric: dict[str, Any]) -> dict[str, str]:
    """Return name -> claim template of what a pod claims: a channel of its NVLink domain, network cards."""
    claims = {CHANNEL: f"{job.name}-channel"} if job.shape.domain_hosts else {}
    return claims | ({CARDS: f"{job.name}-{CARDS}"} if "claim" in fabric else {})


def _one_domain(job: TrainingJob) -> dict[str, Any]:
    """Return the affinity that keeps the hosts of each slice in one NVLink domain.

    The first pod of a slice may go anywhere, and the others follow it: matchLabelKeys compares pods of the
    same Job only. Where Kueue places pods by topology, it does the same.
    """
    if not job.shape.domain_hosts or job.shape.hosts == 1 or job.topology_required or job.topology_preferred:
        return {}
    term = {
        "topologyKey": keys.SUBBLOCK if job.platform == "gke" else keys.CLIQUE,
        "labelSelector": {"matchLabels": {keys.JOBSET_NAME: job.name}},
        "matchLabelKeys": [keys.JOB_KEY],
    }
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


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


def objects(job: TrainingJob) -> list[dict[str, Any]]:
    """Return the objects to create before the JobSet: templates of the claims, and for NVL72 the domain.

    One ComputeDomain is enough for several slices: NVIDIA's driver (k8s-dra-driver-gpu 2240711) makes an IMEX
    domain of the nodes of each NVLink clique, its ComputeDomainClique. Zero is the number it recommends.
    """
    fabric = select(job)
    if fabric is None:
        return []
    claims = _claims(job, fabric)
    companions = []
    if CHANNEL in claims:
        spec: dict[str, Any] = {
            "numNodes": 0,
            "channel": {"resourceClaimTemplate": {"name": claims[CHANNEL]}},
        }
        companions.append(_companion(job, "resource.nvidia.com/v1beta1", "ComputeDomain", job.name, spec))
    if CARDS in claims:
        devices = {
            "deviceClassName": fabric["claim"]["class"],
            "allocationMode": "ExactCount",
            "count": fabrics.cards(job.shape.generation, job.shape.chips_per_host),
        }
        spec = {"spec": {"devices": {"requests": [{"name": CARDS, "exactly": devices}]}}}
        companions.append(_companion(job, CLAIMS_API, "ResourceClaimTemplate", claims[CARDS], spec))
    return companions


def _companion(job: TrainingJob, version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name} | ({"namespace": job.namespace} if job.namespace else {})
    metadata["labels"] = {**keys.labels(job.name), **job.label}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
