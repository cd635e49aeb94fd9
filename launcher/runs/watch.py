"""Waiting for a run with watches that resume, instead of polling each pod."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from launcher.cluster.api import JSON, Cluster, Unreachable
from launcher.cluster.refusals import Refused
from launcher.errors import ActionError, NotKnown
from launcher.runs import diagnosis, objects

LOOK_SECONDS = 10.0  # longest time without a look at a run that is waited for
WATCH_SECONDS = 120.0  # length of one watch: so long a dead connection goes unnoticed at most
RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0)  # pauses before a broken watch is renewed
UNREACHABLE_SECONDS = 300.0  # longest outage to wait out: upgrading a control plane takes minutes
# The resource version is too old to watch from (410), or the server is busy or starting.
RETRIED_STATUSES = (410, 429, 500, 502, 503, 504)


class TimedOutError(ActionError):
    """The run did not reach the awaited state in time."""

    exit_code = 3


@contextmanager
def end_not_known(
    name: str, *kinds: type[ActionError], lasting: tuple[type[ActionError], ...] = ()
) -> Iterator[None]:
    """Turn errors that leave the end of a run open into NotKnown: an exit code of 1 means that it failed.

    Args:
      kinds: errors to turn; default: those of a cluster that refuses or does not answer.
      lasting: kinds among them that say what became of the run, and stay.
    """
    turned = kinds or (Refused, Unreachable)
    try:
        yield
    except turned as error:
        if isinstance(error, (NotKnown, TimedOutError, *lasting)):
            raise
        raise NotKnown(f"what became of run {name!r} is not known: {error}", error.hint) from None


def changes(
    cluster: Cluster,
    kind: str,
    deadline: float,
    longest: float = WATCH_SECONDS,
    left: threading.Event | None = None,
    note: Callable[[str], None] = lambda problem: None,
    **query: str,
) -> Iterator[tuple[str, list[JSON]]]:
    """Yield ("LISTED", all matching objects), then (ADDED | MODIFIED | DELETED, [object]).

    After a watch that ended, broke or became too old, the objects are listed again, so no change is missed
    while an API server restarts. They are listed once more at the deadline.

    Args:
      kind: key of api.GROUPS.
      deadline: end, on the clock of time.monotonic.
      longest: length of one watch in seconds, after which the objects are listed again.
      left: set once nobody reads the changes any more; no request follows.
      note: is called with the reason when a request fails that is repeated, and with "" after an answer.
      query: selectors of the list request.

    Raises:
      Unreachable: the server does not answer for UNREACHABLE_SECONDS, or at the deadline.
      Refused: the server refuses for a reason that waiting does not change.
    """
    first_failure: float | None = None  # time of the first failure since the last answer
    failures = 0
    left = left or threading.Event()
    while not left.is_set():
        begun = time.monotonic()
        try:
            listed, version = cluster.list(kind, **query)
            first_failure, failures = None, 0
            note("")
            yield "LISTED", listed
            seconds = min(longest, deadline - time.monotonic())
            if seconds <= 0 or left.is_set():
                return
            for change, obj in cluster.watch(kind, version, seconds, **query):
                yield change, [obj]
            if time.monotonic() - begun < RETRY_SECONDS[0]:  # something ends watches at once: do not spin
                left.wait(RETRY_SECONDS[0])
        except (Refused, Unreachable) as error:
            if isinstance(error, Refused) and error.status not in RETRIED_STATUSES:
                raise
            note(str(error))
            first_failure = first_failure or time.monotonic()
            if time.monotonic() > min(deadline, first_failure + UNREACHABLE_SECONDS):
                raise
            pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
            failures += 1
            left.wait(max(min(pause, deadline - time.monotonic()), 0.1))


def states(
    cluster: Cluster,
    name: str,
    deadline: float,
    longest: float = WATCH_SECONDS,
    left: threading.Event | None = None,
) -> Iterator[JSON | None]:
    """Yield the JobSet of a run at every change until the deadline; None where there is none.

    It is also yielded at the start and after each watch of `longest` seconds.
    """
    selector = f"metadata.name={name}"
    for change, jobsets in changes(cluster, "JobSet", deadline, longest, left, fieldSelector=selector):
        # A proxy may ignore the selector: what is said of another run says nothing of this one.
        named = [jobset for jobset in jobsets if objects.name(jobset) == name]
        if named or change == "LISTED":
            yield named[0] if named and change != "DELETED" else None


def is_over(jobset: JSON | None) -> bool:
    """Return whether a run is completed, failed or deleted (None)."""
    return jobset is None or any(diagnosis.condition(jobset, kind) for kind in ("Completed", "Failed"))


def until_over(
    cluster: Cluster,
    name: str,
    seconds: float,
    update: Callable[[JSON], None] = lambda jobset: None,
    is_gone: Callable[[], bool] = lambda: True,
) -> JSON:
    """Wait until a run is completed or failed and return its JobSet.

    Args:
      update: gets the JobSet of a run that is not over, every LOOK_SECONDS and at each change; what it raises
        ends the wait.
      is_gone: is asked, for a run without a JobSet, whether it is deleted rather than being made anew.

    Raises:
      TimedOutError: the run is not over after `seconds`.
      ActionError: the run was deleted.
    """
    for jobset in states(cluster, name, time.monotonic() + seconds, LOOK_SECONDS):
        if jobset is None:
            if is_gone():
                raise ActionError(f"run {name!r} is gone", "it was deleted, or its --ttl has passed")
            continue
        if is_over(jobset):
            return jobset
        update(jobset)
    hint = f"resnet-launch status {name} shows what it is doing"
    raise TimedOutError(f"run {name!r} is not over after {seconds:.0f} s", hint)


def until_gone(cluster: Cluster, jobset: JSON, seconds: float) -> None:
    """Wait until this JobSet and everything it owns are gone. Raises TimedOutError after `seconds`."""
    name, uid = jobset["metadata"]["name"], jobset["metadata"]["uid"]
    for current in states(cluster, name, time.monotonic() + seconds):
        if current is None or current["metadata"]["uid"] != uid:
            return
    hint = f"kubectl get pods -n {cluster.namespace} -l jobset.sigs.k8s.io/jobset-name={name}"
    raise TimedOutError(f"run {name!r} still exists after {seconds:.0f} s", hint)
