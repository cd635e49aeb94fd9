"""A run that has lost slices for good goes on with those that are left, while a command waits for it.

It acts once per loss: the run's new JobSet has to train before another loss of it counts. Two commands may
watch one run, since only the JobSet that was looked at can be replaced.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from launcher.cluster.api import JSON, Cluster
from launcher.errors import ActionError, LauncherError, Problem, RequestError
from launcher.runs import diagnosis, kept_request, lookup, objects, progress, resizing, watch
from launcher.runs.sentences import duration
from launcher.runs.slice_loss import Absence, present

GONE_SECONDS = 60.0  # for which a run that is gone may be between two shapes, by another command


class Shrinking:
    """Goes on with fewer slices where one has been missing for too long.

    Args:
      jobset: the run as it is now.
      least: smallest number of slices to go on with.
      after: seconds for which a slice of a run that has trained may be missing.
      note: prints a sentence for a person.
      confirmed: the run's name where it is another person's.

    Attributes:
      moving: a move that was begun, and what became of it is not known yet.
      moves: (slices before, slices after) of each time that it has acted.

    Raises:
      RequestError: the run does not fit any number of slices from `least` on, or keeps no checkpoints.
      ActionError: the run is over, or cannot be rendered again.
    """

    def __init__(
        self,
        cluster: Cluster,
        jobset: JSON,
        least: int,
        after: float,
        note: Callable[[str], None],
        confirmed: str = "",
    ) -> None:
        self._cluster, self._name, self._note = cluster, objects.name(jobset), note
        self._least, self._after, self._confirmed = least, after, confirmed
        self._uid, self._absence = objects.uid(jobset), Absence(2 * watch.LOOK_SECONDS)
        self._fields: dict[str, Any] | None = None  # request of the run of this UID
        self._noted, self._next = "", 0.0
        self.moving: resizing.Plan | None = None
        self.moves: list[tuple[int, int]] = []
        self._require_possible(jobset)

    def update(self, jobset: JSON) -> None:
        """Look at a run that is not over, at most every watch.LOOK_SECONDS; move it where the time has come.

        Raises:
          Interrupted: Ctrl-C while the run was moved; the error says where the run is.
        """
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + watch.LOOK_SECONDS
        try:
            if self.moving:
                self._settle(self.moving, jobset)
            else:
                self._look(jobset)
        except resizing.Interrupted:
            raise
        except LauncherError as error:  # the cluster refuses or does not answer: nothing is known
            self._absence.interrupt()
            self._say(f"{self._name}: the slices cannot be looked at: {error}")

    def is_gone(self) -> bool:
        """Return whether a run without a JobSet is gone; it may be on its way to another shape."""
        deadline = time.monotonic() + GONE_SECONDS
        if not self.moving:
            self._say(
                f"{self._name} is gone; in case another command moves it, it is waited for, "
                f"{duration(GONE_SECONDS)} at most"
            )
        while True:
            try:
                current = self._cluster.get("JobSet", self._name)
                if self.moving:
                    self._settle(self.moving, current)
                    return False
            except resizing.Interrupted:
                raise
            except LauncherError as error:
                self._say(f"{self._name}: {error}")
                return False
            if current is not None or time.monotonic() >= deadline:
                return current is None
            time.sleep(min(1.0, watch.LOOK_SECONDS))

    def hint(self, planned: resizing.Plan) -> str:
        """Return the command that goes on with a move which was begun."""
        return f"resnet-launch resize {self._name} --num-slices {planned.job.num_slices} goes on"

    def _require_possible(self, jobset: JSON) -> None:
        slices = diagnosis.slices(jobset)
        if diagnosis.runs_elsewhere(jobset):
            text = "another cluster runs its pods (MultiKueue), so its slices cannot be counted here"
            raise ActionError(f"run {self._name!r}: {text}", f"resnet-launch wait {self._name}")
        if self._least > slices:
            problem = f"must be at most the run's number of slices, {slices}, got {self._least}"
            raise RequestError(Problem("on-loss", problem, f"--on-loss {max(slices - 1, 1)}"))
        fields = self._fields = resizing.request_of(self._cluster, jobset)
        if self._least == slices:
            resizing.reshaped(jobset, fields)
            self._note(f"{self._name} has {_slices(slices)} already, the smallest number of --on-loss")
        else:
            fitting, problem = self._fitting(jobset, fields, slices - 1)
            if problem:
                raise problem
            self._note(
                f"{self._name} has {_slices(slices)}; where one is missing for {duration(self._after)}, "
                f"it goes on with {_either(fitting)}"
            )

    def _fitting(
        self, jobset: JSON, fields: dict[str, Any], most: int
    ) -> tuple[list[int], RequestError | None]:
        """Return the numbers of slices that fit the run, largest first; where none does, also why."""
        fitting, problem = list[int](), None
        for count in range(most, self._least - 1, -1):
            try:
                resizing.reshaped(jobset, fields, None, count)
                fitting.append(count)
            except RequestError as error:
                problem = error
        return fitting, None if fitting else problem

    def _look(self, jobset: JSON) -> None:
        if objects.uid(jobset) != self._uid:  # it was made anew: what was seen says nothing of it
            self._uid, self._absence = objects.uid(jobset), Absence(2 * watch.LOOK_SECONDS)
            self._noted, self._fields = "", None
        phase, slices = diagnosis.phase(jobset), diagnosis.slices(jobset)
        if phase not in ("Running", "Restarting", "Pending"):  # in a queue, suspended or ending
            self._absence.interrupt()
            return
        pods: list[JSON] | None = None
        if not self._absence.trained or phase != "Running":
            pods = lookup.pods_of(self._cluster, self._name)
            self._absence.trained |= "step" in progress.read(self._cluster, pods).progress
        count = slices if phase == "Running" or pods is None else present(jobset, pods)
        if count >= slices:
            self._absence.complete()
            self._noted = ""
            return
        if self._least >= slices:
            return
        self._absence.missing(count, time.monotonic())
        self._decide(jobset, count, slices)

    def _decide(self, jobset: JSON, count: int, slices: int) -> None:
        """Say what follows from a missing slice, and move the run where the time has come."""
        seen = f"{self._name} has {count} of {_slices(slices)}"
        if not self._absence.trained:
            self._say(f"{seen}, and no step of it has been seen; it is not moved")
            return
        if count < self._least:
            self._say(f"{seen}, fewer than --on-loss {self._least}; it waits for them")
            return
        fields = self._fields = self._fields or resizing.request_of(self._cluster, jobset)
        fitting, problem = self._fitting(jobset, fields, count)
        if problem:
            self._say(f"{seen}, and fits none from {self._least} to {count} ({problem}); it waits for them")
            return
        if self._absence.seconds < self._after:
            self._say(
                f"{seen}; without the other{'s' * (slices - count > 1)} for {duration(self._after)}, "
                f"it goes on with {fitting[0]}"
            )
        elif self._absence.steady() == count:
            self._move(resizing.reshaped(jobset, fields, None, fitting[0]), count)

    def _move(self, planned: resizing.Plan, count: int) -> None:
        """Move a run, unless it has changed since the look."""
        current = self._cluster.get("JobSet", self._name)
        if current is None or objects.uid(current) != self._uid:
            return
        if diagnosis.phase(current) not in ("Restarting", "Pending"):
            return
        if present(current, lookup.pods_of(self._cluster, self._name)) != count:
            return
        self._note(
            f"{self._name} has had {count} of {_slices(diagnosis.slices(current))} for "
            f"{duration(self._absence.seconds)}; it ends, and goes on with {planned.job.num_slices}"
        )
        self._carry_out(planned)

    def _settle(self, planned: resizing.Plan, current: JSON | None) -> None:
        """Go on with a move that was interrupted, if it was begun and nobody else has finished it."""
        assert planned.live is not None
        if current is not None and objects.uid(current) != objects.uid(planned.live):
            self._finish(planned)
            self._note(f"{self._name} has been moved by another command: {_shape(current)}")
        elif current is not None and not objects.text(current, "metadata", "deletionTimestamp"):
            self._finish(planned)  # nothing was stopped
        else:
            self._carry_out(planned)

    def _carry_out(self, planned: resizing.Plan) -> None:
        assert planned.live is not None
        self.moving = planned
        try:
            stored = resizing.carry_out(self._cluster, planned, self._confirmed)
        except resizing.Interrupted as error:
            raise resizing.Interrupted(str(error), self.hint(planned)) from None
        except LauncherError as error:
            self._say(f"{self._name} has not been moved yet, and it is tried again: {error}")
            return
        self._finish(planned)
        self.moves.append((diagnosis.slices(planned.live), planned.job.num_slices))
        self._note(f"{self._name} goes on with {_shape(stored)}, from its last checkpoint")

    def _finish(self, planned: resizing.Plan) -> None:
        self.moving = None
        kept_request.drop(self._cluster, self._name)

    def _say(self, text: str) -> None:
        """Print a sentence, unless it was the last one."""
        if text != self._noted:
            self._noted = text
            self._note(text)


def _shape(jobset: JSON) -> str:
    row = lookup.row(jobset)
    return f"{row['slices']} x {row['slice']}"


def _slices(count: int) -> str:
    return f"{count} slice{'s' * (count != 1)}"


def _either(counts: list[int]) -> str:
    """Return `3, 2 or 1`."""
    *others, last = map(str, counts)
    return f"{', '.join(others)} or {last}" if others else last
