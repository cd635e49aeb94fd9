"""The request of a run, read back from its JobSet: another shape of the same run is rendered from it. Pure.

What is read back counts only where it renders the stored object again, field by field. So nothing that the
request of a run held can be lost unnoticed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from launcher import keys
from launcher.cluster.api import MANAGER
from launcher.contract import variable
from launcher.errors import ActionError, LauncherError
from launcher.rendering import code as rendered_code
from launcher.rendering.jobset import render
from launcher.request import exit_codes
from launcher.request.job import TrainingJob
from launcher.request.mounts import SCRATCH
from launcher.runs import commands, diff, objects
from launcher.version import __version__

FLAGS = ("--arch", "--recipe", "--data", "--batch", "--epochs", "--steps", "--seed")
UNSAVED = "checkpoint.enabled=false"
# Fields that the JobSet shows only in their effects: tried until it is rendered again.
CHOICES: dict[str, tuple[Any, ...]] = {
    "platform": ("gke", "generic"),
    "tuning": ("none", "published"),
    "fabric": ("auto", "none"),
    "jobset_version": (None, "0.9", "0.6", "0.5"),
    "namespace": (None, True),  # of the request, or of the context
}

Fields = dict[str, Any]


def fields_of(
    live: Mapping[str, Any], network_policy: bool = False, hidden: Mapping[str, str | None] | None = None
) -> Fields:
    """Return the fields of a run, ready for JSON, with which TrainingJob renders the JobSet again.

    Args:
      live: the stored JobSet.
      network_policy: whether a NetworkPolicy was made with it.
      hidden: value of a field of CHOICES, where it is known. On one slice, or one host, some of them show
        no effect, and then the default is taken for a field that is not named here.

    Raises:
      ActionError: the run was made with what this version cannot read back; the hint says what to type.
    """
    name, difference = objects.name(live), "its JobSet has another form than resnet-launch gives it"
    known = {key: (value,) for key, value in (hidden or {}).items() if value is not None}
    for number, values in enumerate(itertools.product(*(CHOICES | known).values())):
        chosen = {key: value for key, value in zip(CHOICES, values, strict=True) if value is not None}
        try:
            manifest = diff.owned(live, MANAGER)
            if "namespace" in chosen:
                chosen["namespace"] = manifest["metadata"]["namespace"]
            policy = {"network_policy": True} if network_policy else {}
            fields = _with_extras(_read(manifest) | policy | chosen, manifest)
            text = diff.unified(live, render(TrainingJob(**fields))[-1], MANAGER)
        except LauncherError as error:
            text = f"\n\n\n-{error}"
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):  # not in the form of a render
            continue
        if not text:
            return fields
        if not number:
            difference = _first_difference(text)
    raise ActionError(
        f"run {name!r} cannot be rendered again from the cluster alone ({difference}); nothing was changed",
        f"resnet-launch submit --replace --name {name} with the other flags of the run moves it",
    )


def _first_difference(text: str) -> str:
    changed = [line[1:].strip() for line in text.splitlines()[3:] if line[:1] in ("-", "+")]
    return f"it differs in {changed[0]!r}" if changed else "it differs"


def _read(manifest: Mapping[str, Any]) -> Fields:
    """Return what stands in the manifest as it was asked for."""
    metadata, spec = manifest["metadata"], manifest["spec"]
    [group] = spec["replicatedJobs"]
    job = group["template"]["spec"]
    pod = job["template"]["spec"]
    trainer = pod["containers"][0]
    annotations, labels = metadata["annotations"], metadata["labels"]
    fields: Fields = {
        "name": metadata["name"],
        "slice": annotations[keys.SLICE_NAME],
        "num_slices": group["replicas"],
        "run_dir": annotations[keys.RUN_DIR],
        "image": trainer["image"],
        "grace": pod["terminationGracePeriodSeconds"],
        "max_restarts": spec["failurePolicy"]["maxRestarts"],
        "ttl": spec.get("ttlSecondsAfterFinished"),
        "deadline": job.get("activeDeadlineSeconds"),
        "queue": labels.get(keys.QUEUE),
        "priority": labels.get(keys.PRIORITY),
        "service_account": pod.get("serviceAccountName"),
        "image_pull_secret": [entry["name"] for entry in pod.get("imagePullSecrets", [])] or None,
        "image_pull_policy": trainer.get("imagePullPolicy"),
        "priority_class": pod.get("priorityClassName"),
        "scheduler": pod.get("schedulerName"),
        "host_network": True if pod.get("hostNetwork") else None,
        **_program(manifest, trainer),
        **_capacity(annotations, pod.get("nodeSelector", {}), job),
        **_topology(job["template"]["metadata"].get("annotations", {})),
        **_resources(trainer.get("resources", {}), pod["volumes"]),
        "mount": [*_mounts(pod["volumes"], trainer["volumeMounts"])] or None,
        "code": _code(annotations),
        "code_image": _code_image(pod),
    }
    return {key: value for key, value in fields.items() if value is not None}


def _program(manifest: Mapping[str, Any], trainer: Mapping[str, Any]) -> Fields:
    """Return network and settings, or the command of the user's own."""
    annotations = manifest["metadata"]["annotations"]
    command = commands.of(manifest)
    if keys.ARCH_NAME not in annotations:
        codes = exit_codes.annotated(manifest["metadata"])
        return {
            "command": command,
            "exit_codes": {name: [*listed] for name, listed in codes.items()} if codes else None,
            "workdir": trainer.get("workingDir"),
        }
    arguments = command[command.index("--run-dir") + 2 :]
    pairs = [*zip(arguments[::2], arguments[1::2], strict=True)]
    fields: Fields = {}
    for flag in FLAGS:  # in this order; after them --set, and then what stood after --
        if pairs and pairs[0][0] == flag:
            fields[flag.removeprefix("--")] = pairs.pop(0)[1]
    unkept = annotations[keys.RUN_DIR].startswith(f"{SCRATCH}/")
    if unkept and pairs and pairs[0] == ("--set", UNSAVED):  # of the launcher, for several hosts
        pairs.pop(0)
    sets = list(itertools.takewhile(lambda pair: pair[0] == "--set", pairs))
    if sets:
        fields["set"] = [value for _, value in sets]
    if more := [part for pair in pairs[len(sets) :] for part in pair]:
        fields["args"] = more
    return fields


def _capacity(annotations: Mapping[str, Any], selector: Mapping[str, str], job: Mapping[str, Any]) -> Fields:
    duration = annotations.get(keys.RUN_DURATION)
    if keys.FLEX_START in selector:
        duration = job.get("activeDeadlineSeconds")
    return {
        "spot": True if selector.get(keys.SPOT) == "true" else None,
        "compute_class": selector.get(keys.COMPUTE_CLASS),
        "placement_policy": selector.get(keys.PLACEMENT_POLICY),
        "flex": int(duration) if duration else None,
    }


def _topology(annotations: Mapping[str, str]) -> Fields:
    required = annotations.get(keys.SLICE_TOPOLOGY) or annotations.get(keys.REQUIRED_TOPOLOGY)
    return {"topology_required": required, "topology_preferred": annotations.get(keys.PREFERRED_TOPOLOGY)}


def _resources(resources: Mapping[str, Any], volumes: list[Mapping[str, Any]]) -> Fields:
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    shm = next((volume["emptyDir"].get("sizeLimit") for volume in volumes if volume["name"] == "shm"), None)
    amounts = {
        "cpu": requests.get("cpu"),
        "cpu_limit": limits.get("cpu"),
        "memory": requests.get("memory"),
        "memory_limit": limits.get("memory"),
        "ephemeral_storage": limits.get("ephemeral-storage"),
        "shm": shm,
    }
    return {name: None if value is None else str(value) for name, value in amounts.items()}


def _mounts(volumes: list[Mapping[str, Any]], mounts: list[Mapping[str, Any]]) -> Iterator[str]:
    sources = {volume["name"]: volume for volume in volumes}
    for mount in mounts:
        if not mount["name"].startswith("mount-"):
            continue
        volume = sources[mount["name"]]
        source = "ssd"
        if "persistentVolumeClaim" in volume:
            source = f"pvc/{volume['persistentVolumeClaim']['claimName']}"
        elif "csi" in volume:
            source = f"gcs/{volume['csi']['volumeAttributes']['bucketName']}"
        elif "hostPath" in volume:
            source = f"host{volume['hostPath']['path']}"
        yield f"{source}:{mount['mountPath']}{':ro' * bool(mount.get('readOnly'))}"


def _code(annotations: Mapping[str, str]) -> Fields | None:
    if keys.CODE not in annotations:
        return None
    revision = annotations.get(keys.COMMIT, "")
    commit = revision.removesuffix("-dirty")
    digest = annotations[keys.CODE].removeprefix("sha256:")
    return {"digest": digest, "commit": commit, "dirty": commit != revision}


def _code_image(pod: Mapping[str, Any]) -> str | None:
    image = pod["containers"][0]["image"]
    own = [entry["image"] for entry in pod.get("initContainers", []) if entry["name"] == rendered_code.NAME]
    return next((name for name in own if name != image), None)


def _with_extras(fields: Fields, manifest: Mapping[str, Any]) -> Fields:
    """Add labels, annotations, variables, selectors and tolerations that do not follow from the rest."""
    if fields.get("image", "").startswith(f"{keys.APP}:{__version__}-"):  # the default, of each kind its own
        fields = {key: value for key, value in fields.items() if key != "image"}
    rendered = render(TrainingJob(**fields))[-1]
    pod, base = (_pod(entry)["spec"] for entry in (manifest, rendered))
    trainer, known = pod["containers"][0]["env"], base["containers"][0]["env"]
    added = [entry for entry in trainer if entry not in known]
    secrets = {
        entry["name"]: "/".join(entry["valueFrom"]["secretKeyRef"][key] for key in ("name", "key"))
        for entry in added
        if "valueFrom" in entry
    }
    own = (variable("max_restarts"), variable("code"))
    extras: Fields = {
        "notify": secrets.pop(variable("notify"), None),
        "env": [
            f"{entry['name']}={entry.get('value') or ''}"
            for entry in added
            if "valueFrom" not in entry and entry["name"] not in own
        ],
        "secret_env": secrets,
        "node_selector": _more(pod.get("nodeSelector"), base.get("nodeSelector")),
        "toleration": [
            _toleration(entry)
            for entry in pod.get("tolerations", [])
            if entry not in base.get("tolerations", [])
        ],
        "label": _more(_metadata(manifest, "labels"), _metadata(rendered, "labels")),
        "annotation": _more(_metadata(manifest, "annotations"), _metadata(rendered, "annotations")),
        "node_affinity": [*_choices(pod)],
    }
    for key in diff.STATE_ANNOTATIONS:
        extras["annotation"].pop(key, None)
    return fields | {key: value for key, value in extras.items() if value}


def _toleration(entry: Mapping[str, str]) -> str:
    value = f"={entry['value']}" if "value" in entry else ""
    return f"{entry['key']}{value}" + (f":{entry['effect']}" if "effect" in entry else "")


def _choices(pod: Mapping[str, Any]) -> Iterator[str]:
    required = (
        pod.get("affinity", {})
        .get("nodeAffinity", {})
        .get("requiredDuringSchedulingIgnoredDuringExecution", {})
    )
    for term in required.get("nodeSelectorTerms", []):
        for expression in term["matchExpressions"]:
            yield f"{expression['key']}={'|'.join(expression['values'])}"


def _pod(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    return manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]


def _metadata(manifest: Mapping[str, Any], kind: str) -> Mapping[str, str]:
    return manifest["metadata"].get(kind, {})


def _more(stored: Mapping[str, str] | None, rendered: Mapping[str, str] | None) -> dict[str, str]:
    known = rendered or {}
    return {key: value for key, value in (stored or {}).items() if known.get(key) != value}
