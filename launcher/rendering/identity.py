"""The labels and annotations by which a run is found, which a patch must leave as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from launcher import keys
from launcher.errors import Problem, RequestError


def require_unchanged(jobset: Mapping[str, Any], patched: Mapping[str, Any]) -> None:
    """Check that a patch leaves what selects the JobSet and each of its pods.

    Network policies, `list` and `delete` find a run by these keys.

    Raises:
      RequestError: the patch sets, changes or removes one of them.
    """
    own = {key: value for key, value in _at(jobset, "metadata", "labels").items() if key in keys.SELECTING}
    problems = [*_changes(_at(jobset, "metadata"), _at(patched, "metadata"), "metadata")]
    before = {group["name"]: _pod(group) for group in jobset["spec"]["replicatedJobs"]}
    groups = _at(patched, "spec").get("replicatedJobs")
    for group in groups if isinstance(groups, list) else []:
        name = group.get("name") if isinstance(group, Mapping) else None
        place = f"the pods' metadata of replicated job {name!r}"
        problems += _changes(before.get(name, {"labels": own}), _pod(group), place)
    if problems:
        raise RequestError(*problems)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], place: str) -> Iterator[Problem]:
    for table in ("labels", "annotations"):
        old, new = _at(before, table), _at(after, table)
        for key in {**old, **new}:
            if keys.is_reserved(str(key)) and old.get(key) != new.get(key):
                should = f"keep {key}={old[key]}" if key in old else f"not set {key}"
                yield Problem("patch", f"must {should} in {place}: runs are found by it")


def _pod(group: Any) -> Mapping[str, Any]:
    return _at(group, "template", "spec", "template", "metadata")


def _at(value: Any, *path: str) -> Mapping[str, Any]:
    """Return the mapping at a path; an empty one where there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}
