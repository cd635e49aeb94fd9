"""Values of the chart helm/resnet-train from a TrainingJob: the chart renders the same objects. Pure."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from launcher.errors import Problem, RequestError
from launcher.rendering import code
from launcher.request import exit_codes, node_choice
from launcher.request.mounts import Mount
from launcher.request.packed_code import PackedCode

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob


def key(field: str) -> str:
    """Return the chart's name of a field: `num_slices` -> `numSlices`."""
    first, *others = field.split("_")
    return first + "".join(word.capitalize() for word in others)


def values(job: TrainingJob, named_by_release: bool = False) -> dict[str, Any]:
    """Return the values with which the chart renders the same objects as `render`, without defaults.

    Args:
      named_by_release: leave out a name that is the default one, and the run directory that follows from
        it, so that the run has the name of its release.

    >>> from launcher import TrainingJob
    >>> values(TrainingJob(slice="v4-32", arch="resnet152", bucket="my-bucket"))["runDir"]
    'gs://my-bucket/resnet152-v4-32'

    Raises RequestError for a job of platform local: a chart is for clusters.
    """
    if job.platform == "local":
        raise RequestError(Problem("platform", "must be gke or generic for a chart, got 'local'"))
    chart_values = {}
    for field in dataclasses.fields(job):
        value = getattr(job, field.name)
        if value is not None and value != field.default and value not in ((), {}):
            chart_values[key(field.name)] = WRITERS.get(field.name, _plain)(value)
    if job.code and code.in_bucket(job):
        chart_values["code"].pop("archive", None)
    if named_by_release and job.name == job.default_name:
        del chart_values["name"]
        if job.run_dir == f"{job.bucket}/{job.name}":
            del chart_values["runDir"]
    return chart_values


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _number(value: float) -> int | str:
    return value if isinstance(value, int) else str(value)  # as text: Go formats floats differently


def _pairs(value: Mapping[str, str]) -> list[str]:
    return [
        f"{name}={entry}" for name, entry in value.items()
    ]  # a list: a variable may refer to earlier ones


def _secrets(value: Mapping[str, tuple[str, str]]) -> list[str]:
    return [f"{name}={secret}/{entry}" for name, (secret, entry) in value.items()]


def _mounts(value: tuple[Mount, ...]) -> list[str]:
    return [
        f"{mount.kind}{'/' * bool(mount.name)}{mount.name}:{mount.path}{':ro' * mount.read_only}"
        for mount in value
    ]


def _tolerations(value: tuple[Mapping[str, str], ...]) -> list[str]:
    return [
        entry["key"]
        + (f"={entry['value']}" if "value" in entry else "")
        + (f":{entry['effect']}" if "effect" in entry else "")
        for entry in value
    ]


def _code(value: PackedCode) -> dict[str, Any]:
    document: dict[str, Any] = {"digest": value.digest}
    document |= {"commit": value.commit} if value.commit else {}
    document |= {"dirty": True} if value.dirty else {}
    return document | ({"archive": base64.b64encode(value.archive).decode()} if value.archive else {})


def _version(value: tuple[int, int]) -> str:
    return ".".join(map(str, value))


# Fields written as their flag takes them. A patch is text, because Helm removes nulls from maps.
WRITERS: dict[str, Callable[[Any], Any]] = {
    "epochs": _number,
    "custom_slice": lambda facts: {key(name.replace("-", "_")): value for name, value in facts.items()},
    "exit_codes": exit_codes.text,
    "code": _code,
    "env": _pairs,
    "secret_env": _secrets,
    "notify": "/".join,
    "mount": _mounts,
    "toleration": _tolerations,
    "jobset_version": _version,
    "kueue_version": _version,
    "node_affinity": lambda value: [node_choice.text(choice) for choice in value],
    "patch": lambda value: [json.dumps(patch) for patch in value] if value[1:] else json.dumps(value[0]),
}
