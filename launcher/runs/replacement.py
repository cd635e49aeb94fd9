"""Whether a run may continue in the run directory of the run that it replaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launcher import contract, keys
from launcher.cluster.api import JSON
from launcher.errors import Problem, RequestError
from launcher.rendering import container
from launcher.request import precedence
from launcher.runs import objects

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob


def require_resumable(existing: JSON, job: TrainingJob) -> None:
    """Refuse a run that its trainer would refuse, while the run that it replaces is still there.

    Raises:
      RequestError: both have one run directory, and another network, data, batch or seed.
    """
    if (
        job.command
        or not job.kept
        or objects.text(objects.annotations_of(existing), keys.RUN_DIR) != job.run_dir
    ):
        return
    before = _settings(existing)
    changed = [name for name in contract.document()["identity"] if before.get(name) != job.settings[name]]
    if before and changed:
        changes = ", ".join(f"{name} {before[name]!r}, got {job.settings[name]!r}" for name in changed[:3])
        problem = f"must be another one: {job.run_dir} is that of a run with {changes}"
        hint = f"--run-dir {job.run_dir}-2, or another --name; nothing was deleted"
        raise RequestError(Problem("run-dir", problem, hint))


def _settings(jobset: JSON) -> dict[str, precedence.Value]:
    """Return the trainer's settings of a run on the cluster; none where its command is another's."""
    for group in objects.entries(jobset, "spec", "replicatedJobs"):
        for pod in objects.entries(group, "template", "spec", "template", "spec", "containers"):
            command = pod.get("command")
            if pod.get("name") != container.NAME or not isinstance(command, list):
                continue
            words = [str(word) for word in command]
            if words[:3] != container.PROGRAM:
                return {}
            try:
                return precedence.resolve(zip(words[3::2], words[4::2], strict=True))
            except (KeyError, ValueError):  # settings of another version
                return {}
    return {}
