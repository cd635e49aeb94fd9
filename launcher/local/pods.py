"""The pods that Kubernetes would create from a rendered JobSet, as commands with their environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from launcher import keys
from launcher.contract import variable
from launcher.errors import Problem, RequestError

REFERENCE = re.compile(r"\$(?:\$|\((?P<name>[^)]*)\))")  # $$ or $(NAME)
FIELD = re.compile(r"metadata\.(?P<table>labels|annotations)\['(?P<key>[^']+)'\]")


@dataclass(frozen=True)
class Pod:
    """One pod: its name within the run (`slice-0-1`), its command and its environment variables.

    directory: where the command starts; empty for the current one.
    """

    name: str
    command: list[str]
    env: dict[str, str]
    directory: str = ""


def expand(
    jobset: Mapping[str, Any],
    uid: str,
    attempt: int,
    secrets: Mapping[str, str],
    machine: Mapping[str, str | None] | None = None,
) -> list[Pod]:
    """Return the pods of one attempt of a run, slice by slice and host by host.

    References in values and in the command are replaced as the kubelet replaces them: `$(NAME)` by a variable
    that stands earlier, `$$` by `$`. What does not resolve stays.

    Args:
      uid: identity of the submission, as the JobSet's uid on a cluster.
      attempt: restarts of the run so far.
      secrets: name of an environment variable -> value, in place of the namespace's Secrets.
      machine: name -> value on this machine, in place of the pod's; None leaves the variable out.

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
                    "annotations": template["metadata"].get("annotations", {})
                    | {keys.COMPLETION_INDEX: str(index)},
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
                env = _variables(container["env"], metadata, secrets, machine or {})
                env["JOB_COMPLETION_INDEX"] = str(index)  # the Job's controller appends it
                command = [resolve(argument, env) for argument in container["command"]]
                pods.append(Pod(pod_name, command, env, container.get("workingDir", "")))
    return pods


def resolve(text: str, variables: Mapping[str, str]) -> str:
    """Return the text with `$(NAME)` replaced by the variable, where there is one, and `$$` by `$`."""

    def replace(match: re.Match[str]) -> str:
        name = match["name"]
        return "$" if name is None else variables.get(name, match[0])

    return REFERENCE.sub(replace, text)


def _variables(
    entries: list[dict[str, Any]],
    metadata: Mapping[str, Any],
    secrets: Mapping[str, str],
    machine: Mapping[str, str | None],
) -> dict[str, str]:
    variables: dict[str, str] = {}
    for entry in entries:
        name = entry["name"]
        if name in machine:
            value = machine[name]
            if value is None:
                continue
            variables[name] = value
        elif "valueFrom" not in entry:
            variables[name] = resolve(entry.get("value") or "", variables)
        elif "fieldRef" in entry["valueFrom"]:
            variables[name] = _field(entry["valueFrom"]["fieldRef"]["fieldPath"], metadata)
        elif name in secrets:
            variables[name] = secrets[name]
        else:
            hint = f"export {name}=…: there is no cluster to read the Secret from"
            field = "notify" if name == variable("notify") else "secret-env"
            raise RequestError(Problem(field, f"must find {name} in this environment", hint))
    return variables


def _field(path: str, metadata: Mapping[str, Any]) -> str:
    """Return the value of a downward API field reference, as the kubelet would."""
    match = FIELD.fullmatch(path)
    if match:
        return metadata[match["table"]].get(match["key"], "")
    return metadata[path.removeprefix("metadata.")]
