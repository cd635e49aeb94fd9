"""The pods that Kubernetes would create from a rendered JobSet, as commands with their environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from launcher import keys
from launcher.errors import Problem, RequestError

FIELD = re.compile(r"metadata\.(?P<table>labels|annotations)\['(?P<key>[^']+)'\]")


@dataclass(frozen=True)
class Pod:
    """One pod: its name within the run (`slice-0-1`), its command and its environment variables."""

    name: str
    command: list[str]
    env: dict[str, str]


def expand(jobset: Mapping[str, Any], uid: str, attempt: int, secrets: Mapping[str, str]) -> list[Pod]:
    """Return the pods of one attempt of a run, slice by slice and host by host.

    Args:
      uid: identity of the submission, as the JobSet's uid on a cluster.
      attempt: restarts of the run so far.
      secrets: name of an environment variable -> value, in place of the namespace's Secrets.

    Raises:
      RequestError: a variable comes from a Secret and `secrets` does not have it.
    """
    name = jobset["metadata"]["name"]
    pods = []
    for group in jobset["spec"]["replicatedJobs"]:
        template = group["template"]["spec"]["template"]
        container = template["spec"]["containers"][0]
        for job_index in range(group["replicas"]):
            for index in range(group["template"]["spec"]["completions"]):
                pod_name = f"{group['name']}-{job_index}-{index}"
                metadata = {
                    "name": f"{name}-{pod_name}",
                    "namespace": jobset["metadata"].get("namespace", "default"),
                    "annotations": template["metadata"].get("annotations", {}),
                    "labels": template["metadata"]["labels"]
                    | {
                        keys.JOBSET_NAME: name,
                        keys.JOBSET_UID: uid,
                        keys.REPLICATED_JOB: group["name"],
                        keys.JOB_INDEX: str(job_index),
                        keys.RESTART_ATTEMPT: str(attempt),
                        keys.COMPLETION_INDEX: str(index),
                    },
                }
                env = dict(_variables(container["env"], metadata, secrets))
                pods.append(Pod(pod_name, container["command"], env | {"JOB_COMPLETION_INDEX": str(index)}))
    return pods


def _variables(
    entries: list[dict[str, Any]], metadata: Mapping[str, Any], secrets: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for entry in entries:
        name = entry["name"]
        if "value" in entry:
            yield name, entry["value"]
        elif "fieldRef" in entry["valueFrom"]:
            yield name, _field(entry["valueFrom"]["fieldRef"]["fieldPath"], metadata)
        elif name in secrets:
            yield name, secrets[name]
        else:
            hint = f"export {name}=…: there is no cluster to read the Secret from"
            raise RequestError(Problem("secret-env", f"must find {name} in this environment", hint))


def _field(path: str, metadata: Mapping[str, Any]) -> str:
    """Return the value of a downward API field reference, as the kubelet would."""
    match = FIELD.fullmatch(path)
    if match:
        return metadata[match["table"]].get(match["key"], "")
    return metadata[path.removeprefix("metadata.")]
