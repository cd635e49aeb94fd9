"""The code of `--code` in the pods: an init container unpacks its archive, which the trainer mounts. Pure.

The archive comes from the run directory in the bucket, or from a ConfigMap where there is no bucket. Its
digest is part of the pods, so a restart runs the same bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from launcher import keys
from launcher.contract import variable
from launcher.rendering import confinement
from launcher.request.packed_code import DIRECTORY

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob
    from launcher.request.packed_code import PackedCode

NAME = "code"  # of the init container, and of the volume that it fills
ARCHIVE = "code-archive"  # volume of the ConfigMap
FILE = "code.tar.gz"  # key of the ConfigMap
PROGRAM = ["python", "-m", "trainer.code"]  # followed by source, directory and digest
IMAGE_PATH = "/opt/app"  # of the trainer in its image, whose PYTHONPATH the pods' own replaces
SHORT_DIGEST = 10  # characters of a digest in a name


def objects(job: TrainingJob) -> list[dict[str, Any]]:
    """Return the ConfigMap to create with the JobSet; none where the archive is in a bucket."""
    code = job.code
    if code is None or in_bucket(job) or job.platform == "local":
        return []
    metadata: dict[str, Any] = {"name": config_map(job.name, code)}
    metadata |= {"namespace": job.namespace} if job.namespace else {}
    metadata["labels"] = {**keys.labels(job.name), **job.label}
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "immutable": True,
            "binaryData": {FILE: base64.b64encode(code.archive).decode()},
        }
    ]


def config_map(run: str, code: PackedCode) -> str:
    """Return the name of a run's ConfigMap, which another archive of the same run does not share."""
    return f"{run}-code-{code.digest[:SHORT_DIGEST]}"


def in_bucket(job: TrainingJob) -> bool:
    """Return whether the archive is kept in the run directory of a bucket."""
    return job.run_dir.startswith("gs://")


def jobset_annotations(job: TrainingJob) -> dict[str, str]:
    """Return annotations of the JobSet: the digest of the code, and its commit where it has one."""
    if job.code is None:
        return {}
    commit = {keys.COMMIT: job.code.revision} if job.code.revision else {}
    return {keys.CODE: f"sha256:{job.code.digest}", **commit}


def variables(job: TrainingJob) -> dict[str, str]:
    """Return the trainer's variables for its code; the request's own PYTHONPATH comes between."""
    if job.code is None:
        return {}
    paths = [DIRECTORY, *filter(None, [job.env.get("PYTHONPATH")]), IMAGE_PATH]
    return {"PYTHONPATH": ":".join(paths), variable("code"): job.code.record}


def apply(job: TrainingJob, spec: dict[str, Any]) -> None:
    """Add init container, volumes and working directory to a pod spec; its first container is the trainer."""
    if job.code is None:
        return
    trainer = spec["containers"][0]
    trainer.setdefault("workingDir", DIRECTORY)
    spec["volumes"].append({"name": NAME, "emptyDir": {}})
    trainer["volumeMounts"].append({"name": NAME, "mountPath": DIRECTORY, "readOnly": True})
    mounts: list[dict[str, Any]] = [
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": NAME, "mountPath": DIRECTORY},
    ]
    source = job.code.place(job.run_dir)
    if not in_bucket(job):
        source = f"/{ARCHIVE}/{FILE}"
        spec["volumes"].append({"name": ARCHIVE, "configMap": {"name": config_map(job.name, job.code)}})
        mounts.append({"name": ARCHIVE, "mountPath": f"/{ARCHIVE}", "readOnly": True})
    spec["initContainers"] = [_unpacker(job, trainer, [*PROGRAM, source, DIRECTORY, job.code.digest], mounts)]


def _unpacker(
    job: TrainingJob, trainer: Mapping[str, Any], command: list[str], mounts: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the init container: limits and security of the trainer, without its accelerators."""
    own = {"HOME": "/tmp", "PYTHONUNBUFFERED": "1"}
    requested = {*own, *job.env, *job.secret_env} - {"PYTHONPATH"}
    container: dict[str, Any] = {
        "name": NAME,
        "image": job.code_image or job.image,
        "command": command,
        "env": [dict(entry) for entry in trainer["env"] if entry["name"] in requested],
    }
    amounts = {
        key: kept
        for key, limits in trainer.get("resources", {}).items()
        if (
            kept := {
                name: amount
                for name, amount in limits.items()
                if name in ("cpu", "memory", "ephemeral-storage")
            }
        )
    }
    if job.image_pull_policy:
        container["imagePullPolicy"] = job.image_pull_policy
    if amounts:  # the pod requests the larger of both containers, so the same amounts cost nothing
        container["resources"] = amounts
    return container | {"volumeMounts": mounts} | confinement.fields()
