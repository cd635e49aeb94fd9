"""What happens when a pod ends: the trainer's exit codes as failure policies of Job and JobSet.

0 finished; 42 preempted, state saved: restart, does not count; 43 failed and may be retried, 45 hung:
restart, counts; 44 cannot succeed: fail at once. Maintenance and eviction do not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launcher.rendering.container import NAME

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob

PREEMPTED, HOPELESS = 42, 44


def of_job(job: TrainingJob) -> dict[str, Any]:
    """The Job's podFailurePolicy: the codes that must be told apart end it with a message that has them."""
    codes = [PREEMPTED, HOPELESS] if job.jobset_at_least(0, 10) else [HOPELESS]
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


def of_jobset(job: TrainingJob) -> dict[str, Any]:
    """The JobSet's failurePolicy.

    Every rule of a podFailurePolicy gives the same reason, so only the Job's message tells the exit code;
    JobSet matches it from 0.10 on. Older ones restart on 42 and on maintenance too, and count it.
    """
    found: dict[str, Any] = {"maxRestarts": job.max_restarts}
    if job.jobset_at_least(0, 7):
        found["restartStrategy"] = "BlockingRecreate"  # no new pod meets one of the attempt before
    rules = []
    if job.jobset_at_least(0, 10):
        rules = [
            _rule("cannotSucceed", "FailJobSet", rf".*exit code {HOPELESS} .*"),
            _rule("preemptedAndSaved", "RestartJobSetAndIgnoreMaxRestarts", rf".*exit code {PREEMPTED} .*"),
            _rule("disrupted", "RestartJobSetAndIgnoreMaxRestarts", r".*DisruptionTarget.*"),
        ]
    elif job.jobset_at_least(0, 6):
        rules = [_rule("cannotSucceed", "FailJobSet")]
    if job.deadline and rules:
        rules.append(_rule("outOfTime", "FailJobSet", reason="DeadlineExceeded"))
    return found | ({"rules": rules} if rules else {})


def _rule(name: str, action: str, pattern: str = "", reason: str = "PodFailurePolicy") -> dict[str, Any]:
    rule: dict[str, Any] = {"name": name, "action": action, "onJobFailureReasons": [reason]}
    return rule | ({"onJobFailureMessagePatterns": [pattern]} if pattern else {})
