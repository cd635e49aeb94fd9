"""Moving a run to another shape: it saves, ends, and starts from its checkpoint on other slices.

At every moment the run is in one of two states: it is on the cluster, on the old or the new shape, or it has
ended with its checkpoint saved and its request is kept on this machine. From both the same command goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from launcher.cluster.api import JSON, Cluster
from launcher.contract import PREDICTED
from launcher.errors import ActionError, LauncherError, NotKnown, Problem, RequestError
from launcher.request import summary
from launcher.request.job import TrainingJob
from launcher.runs import diagnosis, kept_request, lookup, objects, ownership, reconstruction, submission


class Interrupted(NotKnown):
    """Ctrl-C has ended a move; the message says where the run is."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run and the shape that it will have.

    Attributes:
      live: the run on the cluster; None where it has ended and only its request is left.
      fields: its request as it is now, ready for JSON.
      job: the same run on the new shape.
      moves: whether the shape is another one.
    """

    live: JSON | None
    fields: dict[str, Any]
    job: TrainingJob
    moves: bool


def plan(
    cluster: Cluster,
    name: str,
    slice_name: str | None,
    num_slices: int | None,
    hidden: Mapping[str, str | None],
) -> Plan:
    """Read a run and check the request for its new shape; nothing is changed.

    Args:
      slice_name: the new slice; None: as now.
      num_slices: the new number of slices; None: as now.
      hidden: tuning and fabric of the run, where a shape may not show them; None: not known.

    Raises:
      RequestError: batch or settings do not fit the new shape.
      ActionError: there is no such run, it is over, keeps no checkpoints or cannot be rendered again.
    """
    live, kept = cluster.get("JobSet", name), kept_request.read(cluster, name)
    if live is None and kept is None:
        lookup.find(cluster, name)  # raises, with the name that is closest
    if live is not None:
        fields = request_of(cluster, live, hidden)
    else:
        assert kept is not None
        fields = kept
    return reshaped(live, fields, slice_name, num_slices)


def request_of(cluster: Cluster, live: JSON, hidden: Mapping[str, str | None] = {}) -> dict[str, Any]:
    """Return the request of a run on the cluster, ready for JSON.

    Args:
      hidden: as for `plan`.

    Raises:
      ActionError: the run is not the launcher's, is over, or cannot be rendered again.
    """
    name = objects.name(live)
    ownership.require_ours(live)
    _require_going_on(live, name)
    policy = any(entry["kind"] == "NetworkPolicy" for entry in lookup.companions(cluster, name))
    return reconstruction.fields_of(live, policy, hidden)


def reshaped(
    live: JSON | None, fields: dict[str, Any], slice_name: str | None = None, num_slices: int | None = None
) -> Plan:
    """Return a run and its new shape, from its request as it is now.

    Raises:
      RequestError: batch or settings do not fit the new shape, or it keeps no checkpoints.
    """
    shape = {"slice": slice_name, "num_slices": num_slices}
    changed = fields | {key: value for key, value in shape.items() if value is not None}
    job, before = TrainingJob(**changed), TrainingJob(**fields)
    _require_saved(job)
    require_fitting(job)
    moves = live is None or (job.slice, job.num_slices) != (before.slice, before.num_slices)
    if moves:  # what was predicted holds for the old shape alone
        changed = _without_prediction(changed)
        job = TrainingJob(**changed)
    return Plan(live=live, fields=changed, job=job, moves=moves)


def carry_out(cluster: Cluster, planned: Plan, confirmed: str) -> JSON:
    """End the run, which saves first, and start it on its new shape; return the stored JobSet.

    The server has checked the new objects before the old run is asked to end.

    Args:
      confirmed: the run's name where it is another person's.

    Raises:
      RequestError, ActionError, NotKnown: as `submission.submit`.
    """
    name = planned.job.name
    kept_request.keep(cluster, name, planned.fields)
    with continuing(cluster, planned):
        replaced = objects.uid(planned.live) if planned.live else ""
        stored = submission.submit(
            planned.job, cluster, replace=bool(replaced), confirmed=confirmed, replaced=replaced
        )
    kept_request.drop(cluster, name)
    return stored


@contextmanager
def continuing(cluster: Cluster, planned: Plan) -> Iterator[None]:
    """Add to each error and to Ctrl-C where the run is, and that the same command goes on from there."""
    name = planned.job.name
    try:
        yield
    except RequestError:
        raise
    except (LauncherError, KeyboardInterrupt) as error:
        state = _state(cluster, planned)
        text = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        known = isinstance(error, ActionError) and not isinstance(error, NotKnown)
        kind = Interrupted if isinstance(error, KeyboardInterrupt) else ActionError if known else NotKnown
        raise kind(f"{text}; {state}", f"the same command goes on; resnet-launch status {name}") from None


def _state(cluster: Cluster, planned: Plan) -> str:
    """Return in words where a run is after an error."""
    try:
        now = cluster.get("JobSet", planned.job.name)
    except LauncherError:
        return "the run is on the cluster, or has ended with its checkpoint saved"
    if now is None:
        return "the run has ended with its checkpoint saved, and is not on the cluster"
    if planned.live is not None and objects.uid(now) == objects.uid(planned.live):
        ending = objects.text(now, "metadata", "deletionTimestamp")
        return "the run is saving and ending" if ending else "the run goes on as it was"
    return "the run is on its new shape"


def _without_prediction(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a run without the throughput that `submit --check` has predicted."""
    predicted = f"{PREDICTED}="
    arguments = fields.get("args", [])
    pairs = [pair for pair in zip(arguments[::2], arguments[1::2], strict=True) if predicted not in pair[1]]
    sets = [setting for setting in fields.get("set", []) if not setting.startswith(predicted)]
    others = {key: value for key, value in fields.items() if key not in ("set", "args")}
    others |= {"set": sets} if sets else {}
    return others | ({"args": [part for pair in pairs for part in pair]} if pairs else {})


def _require_going_on(live: JSON, name: str) -> None:
    ended = next((kind for kind in diagnosis.ENDED if diagnosis.condition(live, kind)), None)
    if ended:
        raise ActionError(
            f"run {name!r} is {ended.lower()}", f"resnet-launch delete {name}, then submit again"
        )


def _require_saved(job: TrainingJob) -> None:
    """Raise where a run has no checkpoint from which it could go on.

    Raises:
      RequestError: its run directory ends with its pods, or it saves nothing.
    """
    if not job.kept:
        problem = f"must outlive the pods of a run that is resized, got {job.run_dir}"
        raise RequestError(Problem("run-dir", problem, "submit it with --bucket BUCKET"))


def require_fitting(job: TrainingJob) -> None:
    """Raise RequestError where a run cannot go on with its shape: by its batch, or without a checkpoint."""
    if problem := summary.undivided(job):
        raise RequestError(Problem("slice", f"must divide the batch, got {job.slice}: {problem}"))
    if not job.command and not job.settings["checkpoint.enabled"]:
        raise RequestError(Problem("set", "checkpoint.enabled must be true for a run that is resized"))
