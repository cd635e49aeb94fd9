"""The types of the fields that the launcher reads of each kind, so that an odd object cannot surprise it.

An API server stores only valid objects. A proxy, an aggregated API or a stranger's object may hold anything:
a field of another type is left out and named, null counts as absent, and a field with a default gets it.
"""

from __future__ import annotations

import copy
import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

JSON = dict[str, Any]
ABSENT: Any = object()
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
NAMES = {str: "text", int: "a whole number", bool: "true or false", dict: "a mapping", list: "a list"}


@dataclass(frozen=True)
class Leaf:
    """A value without parts: what it must be, in words, and how to know."""

    name: str
    fits: Callable[[Any], bool]


@dataclass(frozen=True)
class Part:
    """A mapping with known keys; others are left as they are.

    Attributes:
      fields: key -> shape of its value.
      required: keys without which the mapping is of no use.
      defaults: key -> value where there is none.
    """

    fields: dict[str, Any]
    required: tuple[str, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict)


TEXT = Leaf("text", lambda value: isinstance(value, str))
SWITCH = Leaf("true or false", lambda value: isinstance(value, bool))
MOMENT = Leaf("a time", lambda value: isinstance(value, str) and _is_time(value))
COUNT = Leaf("a number of at least 0", lambda value: _is_int(value) and 0 <= value < 2**31)
NUMBER = Leaf("a whole number", lambda value: _is_int(value) and -(2**31) <= value < 2**31)
INDEX = Leaf("digits", lambda value: isinstance(value, str) and value.isdecimal() and len(value) < 10)
ANY = Leaf("anything", lambda value: True)


@dataclass(frozen=True)
class Each:
    """A list of one shape, or with `keyed` a mapping with any keys; entries that do not fit are left out."""

    shape: Any
    keyed: bool = False
    special: dict[str, Leaf] = field(default_factory=dict)  # keys of a mapping whose values are narrower


LABELS = Each(
    TEXT,
    keyed=True,
    special={
        "jobset.sigs.k8s.io/job-index": INDEX,
        "jobset.sigs.k8s.io/restart-attempt": INDEX,
        "batch.kubernetes.io/job-completion-index": INDEX,
    },
)
OWNER = Part({"uid": TEXT, "name": TEXT, "kind": TEXT, "apiVersion": TEXT, "controller": SWITCH}, ("uid",))
METADATA = Part(
    {
        **dict.fromkeys(("name", "namespace", "uid", "generateName", "resourceVersion"), TEXT),
        **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), MOMENT),
        "deletionGracePeriodSeconds": COUNT,
        "labels": LABELS,
        "annotations": Each(TEXT, keyed=True),
        "ownerReferences": Each(OWNER),
        "finalizers": Each(TEXT),
    },
    ("name",),
    {"labels": {}},
)
CONDITION = Part(
    {
        **dict.fromkeys(("type", "status", "reason", "message"), TEXT),
        "lastTransitionTime": MOMENT,
    },
    ("type", "status"),
)
CONDITIONS = Each(CONDITION)
STATE = Part(
    {
        "running": Part({"startedAt": MOMENT}),
        "waiting": Part({"reason": TEXT, "message": TEXT}),
        "terminated": Part(
            {
                **dict.fromkeys(("exitCode", "signal"), NUMBER),
                **dict.fromkeys(("reason", "message"), TEXT),
                **dict.fromkeys(("startedAt", "finishedAt"), MOMENT),
            }
        ),
    }
)
CONTAINER_STATUS = Part(
    {
        **dict.fromkeys(("name", "image", "imageID", "containerID"), TEXT),
        **dict.fromkeys(("ready", "started"), SWITCH),
        "restartCount": COUNT,
        "state": STATE,
        "lastState": STATE,
    },
    ("name",),
    {"state": {}, "image": ""},
)
CONTAINER = Part({"name": TEXT, "image": TEXT, "restartPolicy": TEXT}, ("name",))
POD_SPEC = Part(
    {
        **dict.fromkeys(("nodeName", "restartPolicy", "serviceAccountName"), TEXT),
        "terminationGracePeriodSeconds": COUNT,
        "containers": Each(CONTAINER),
        "initContainers": Each(CONTAINER),
    }
)
POD = Part(
    {
        "metadata": METADATA,
        "spec": POD_SPEC,
        "status": Part(
            {
                **dict.fromkeys(("phase", "reason", "message", "hostIP", "podIP"), TEXT),
                "startTime": MOMENT,
                "conditions": CONDITIONS,
                "containerStatuses": Each(CONTAINER_STATUS),
                "initContainerStatuses": Each(CONTAINER_STATUS),
            }
        ),
    },
    ("metadata",),
    {"status": {}, "spec": {}},
)
JOB_TEMPLATE = Part(
    {
        "metadata": Part({"labels": LABELS, "annotations": Each(TEXT, keyed=True)}),
        "spec": Part(
            {
                **dict.fromkeys(("parallelism", "completions"), COUNT),
                **dict.fromkeys(("backoffLimit", "backoffLimitPerIndex", "maxFailedIndexes"), COUNT),
                "template": Part(
                    {
                        "metadata": Part({"labels": LABELS, "annotations": Each(TEXT, keyed=True)}),
                        "spec": POD_SPEC,
                    },
                    defaults={"spec": {}},
                ),
            },
            defaults={"parallelism": 1, "template": {"spec": {}}},  # as Kubernetes counts a Job without it
        ),
    },
    defaults={"spec": {"parallelism": 1, "template": {"spec": {}}}},
)
COUNTS = dict.fromkeys(("ready", "succeeded", "failed", "active", "suspended"), COUNT)
JOBSET = Part(
    {
        "metadata": METADATA,
        "spec": Part(
            {
                "suspend": SWITCH,
                "managedBy": TEXT,
                "failurePolicy": Part({"maxRestarts": COUNT}),
                "ttlSecondsAfterFinished": COUNT,
                "replicatedJobs": Each(
                    Part(
                        {"name": TEXT, "replicas": COUNT, "template": JOB_TEMPLATE},
                        ("name",),
                        {"template": {"spec": {"parallelism": 1, "template": {"spec": {}}}}},
                    )
                ),
            },
            defaults={"replicatedJobs": []},
        ),
        "status": Part(
            {
                "conditions": CONDITIONS,
                "restarts": COUNT,
                "restartsCountTowardsMax": COUNT,
                "terminalState": TEXT,
                "replicatedJobsStatus": Each(Part({"name": TEXT, **COUNTS})),
            }
        ),
    },
    ("metadata",),
    {"spec": {"replicatedJobs": []}, "status": {}},
)
REFERENCE = Part(dict.fromkeys(("kind", "name", "namespace", "uid", "fieldPath", "apiVersion"), TEXT))
EVENT = Part(
    {
        "metadata": METADATA,
        "involvedObject": REFERENCE,
        **dict.fromkeys(("type", "reason", "message", "reportingComponent"), TEXT),
        **dict.fromkeys(("firstTimestamp", "lastTimestamp", "eventTime"), MOMENT),
        "count": COUNT,
        "source": Part({"component": TEXT, "host": TEXT}),
        "series": Part({"count": COUNT, "lastObservedTime": MOMENT}),
    },
    ("metadata",),
    {"involvedObject": {}},
)
CHECK_STATE = Part(
    {
        **dict.fromkeys(("name", "state", "message"), TEXT),
        **dict.fromkeys(("requeueAfterSeconds", "retryCount"), COUNT),
        "lastTransitionTime": MOMENT,
    },
    ("name", "state"),
)
WORKLOAD = Part(
    {
        "metadata": METADATA,
        "spec": Part({"active": SWITCH, "queueName": TEXT, "priority": NUMBER, "priorityClassName": TEXT}),
        "status": Part(
            {
                "conditions": CONDITIONS,
                "admissionChecks": Each(CHECK_STATE),
                "requeueState": Part({"count": COUNT, "requeueAt": MOMENT}),
                "clusterName": TEXT,
                "nominatedClusterNames": Each(TEXT),
            }
        ),
    },
    ("metadata",),
    {"spec": {}, "status": {}},
)
CONFIG_MAP = Part({"metadata": Part({"name": TEXT}), "data": Each(TEXT, keyed=True)})
DEPLOYMENT = Part(
    {
        "metadata": METADATA,
        "spec": Part(
            {
                "template": Part(
                    {
                        "spec": Part(
                            {"containers": Each(Part({"image": TEXT}, ("image",)))},
                            defaults={"containers": []},
                        )
                    },
                    defaults={"spec": {"containers": []}},
                )
            },
            defaults={"template": {"spec": {"containers": []}}},
        ),
    },
    ("metadata",),
    {"spec": {"template": {"spec": {"containers": []}}}},
)
OTHER = Part({"metadata": METADATA, "spec": Part({}), "status": Part({})}, ("metadata",))
# What a kind that is listed for its runs cannot do without: the order of a list, and the identity of a run.
DATED = ("creationTimestamp", "uid")
SHAPES = {
    "JobSet": JOBSET,
    "Pod": POD,
    "Event": EVENT,
    "Workload": WORKLOAD,
    "OlderWorkload": WORKLOAD,
    "ConfigMap": CONFIG_MAP,
    "Deployment": DEPLOYMENT,
}
REQUIRED = {"JobSet": DATED, "Pod": ("uid",), "Workload": DATED, "OlderWorkload": DATED}


def fit(kind: str, obj: Any, problems: list[str]) -> JSON | None:
    """Return an object with every known field of the right type; None where what it cannot do without is odd.

    Args:
      kind: key of api.GROUPS.
      problems: what does not fit is appended, as "status.phase must be text, got a list".
    """
    fitted = _fit(obj, SHAPES.get(kind, OTHER), "", problems)
    if fitted is ABSENT:
        return None
    for key in REQUIRED.get(kind, ()):
        if key not in fitted["metadata"]:
            problems.append(f"metadata.{key} is missing")
            return None
    return fitted


def _fit(value: Any, shape: Any, path: str, problems: list[str]) -> Any:
    """Return the value, a changed copy of it where parts do not fit, or ABSENT."""
    if isinstance(shape, Leaf):
        return value if shape.fits(value) else _absent(path, shape.name, value, problems)
    if isinstance(shape, Part):
        if not isinstance(value, dict):
            return _absent(path, "a mapping", value, problems)
        return _fit_part(value, shape, path, problems)
    if shape.keyed:
        if not isinstance(value, dict):
            return _absent(path, "a mapping", value, problems)
        pairs = {
            key: _fit(entry, shape.special.get(key, shape.shape), f"{path}.{key}", problems)
            for key, entry in value.items()
        }
        return {key: entry for key, entry in pairs.items() if entry is not ABSENT}
    if not isinstance(value, list):
        return _absent(path, "a list", value, problems)
    entries = [_fit(entry, shape.shape, f"{path}[{i}]", problems) for i, entry in enumerate(value)]
    return [entry for entry in entries if entry is not ABSENT]


def _fit_part(value: JSON, shape: Part, path: str, problems: list[str]) -> Any:
    result = {}
    for key, entry in value.items():
        if entry is None:
            continue
        if key in shape.fields:
            entry = _fit(entry, shape.fields[key], f"{path}.{key}" if path else key, problems)
        if entry is not ABSENT:
            result[key] = entry
    for key in shape.required:
        if key not in result:
            problems.append(f"{path + '.' if path else ''}{key} is missing")
            return ABSENT
    missing = {key: copy.deepcopy(value) for key, value in shape.defaults.items() if key not in result}
    return result | missing


def _absent(path: str, expected: str, value: Any, problems: list[str]) -> Any:
    if value is not None or not path:
        came = "null" if value is None else NAMES.get(type(value), "a number")
        shown = f"{came} {value[:40]!r}" if isinstance(value, str) else came
        problems.append(f"{path or 'the object'} must be {expected}, got {shown}")
    return ABSENT


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_time(text: str) -> bool:
    if not TIME.fullmatch(text):
        return False
    try:
        datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return False
    return True
