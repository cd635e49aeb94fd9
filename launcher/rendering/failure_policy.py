"""The failure policies of Job and JobSet, which decide from the trainer's exit code what happens next.

contract.json has the codes. A restart after maintenance or an eviction does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launcher import contract
from launcher.rendering.container import NAME

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob


def pod_failure_policy(job: TrainingJob) -> dict[str, Any]:
    """Return the Job's podFailurePolicy: exit codes that need their own rule end it with a message."""
    codes = hopeless()
    if job.jobset_at_least(0, 10):
        codes = sorted([*saved(), *codes])
    rules: list[dict[str, Any]] = [
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": NAME, "operator": "In", "values": codes},
        }
    ]
    if job.jobset_at_least(0, 10):
        rules.append(
            {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
        )
    return {"rules": rules}


def jobset_failure_policy(job: TrainingJob) -> dict[str, Any]:
    """Return the JobSet's failurePolicy.

    All rules of a podFailurePolicy fail the Job with the same reason, so only the Job's message contains the
    exit code. JobSet matches messages from 0.10 on. Older releases restart after a preemption and maintenance
    as well, but count these restarts.
    """
    policy: dict[str, Any] = {"maxRestarts": job.max_restarts}
    if job.jobset_at_least(0, 7):
        policy["restartStrategy"] = "BlockingRecreate"  # no new pod starts while an old one is left
    rules = []
    if job.jobset_at_least(0, 10):
        rules = [
            _rule("cannotSucceed", "FailJobSet", _exits(hopeless())),
            _rule("preemptedAndSaved", "RestartJobSetAndIgnoreMaxRestarts", _exits(saved())),
            _rule("disrupted", "RestartJobSetAndIgnoreMaxRestarts", r".*DisruptionTarget.*"),
        ]
    elif job.jobset_at_least(0, 6):
        rules = [_rule("cannotSucceed", "FailJobSet")]
    if job.deadline and rules:
        rules.append(_rule("outOfTime", "FailJobSet", reason="DeadlineExceeded"))
    return policy | ({"rules": rules} if rules else {})


def saved() -> list[int]:
    """Return the exit codes of a pod that was preempted and has saved its state."""
    return contract.codes("restart, not counted")


def hopeless() -> list[int]:
    """Return the exit codes of a run that no restart can help."""
    return contract.codes("fail at once")


def _exits(codes: list[int]) -> str:
    """Return the pattern of a Job's message that has one of the exit codes."""
    any_of = "|".join(map(str, codes))
    return rf".*exit code {any_of if len(codes) == 1 else f'({any_of})'} .*"


def _rule(name: str, action: str, pattern: str = "", reason: str = "PodFailurePolicy") -> dict[str, Any]:
    rule: dict[str, Any] = {"name": name, "action": action, "onJobFailureReasons": [reason]}
    return rule | ({"onJobFailureMessagePatterns": [pattern]} if pattern else {})
