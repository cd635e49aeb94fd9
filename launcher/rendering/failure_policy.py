"""The failure policies of Job and JobSet, which decide from the trainer's exit code what happens next.

0 finished. 42 preempted, state saved: a restart that does not count. 43 failed, may be retried, and 45 hung:
a restart that counts. 44 cannot succeed: the run fails at once. A restart after maintenance or an eviction
does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launcher.rendering.container import NAME

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob

PREEMPTED, HOPELESS = 42, 44


def pod_failure_policy(job: TrainingJob) -> dict[str, Any]:
    """Return the Job's podFailurePolicy: exit codes that need their own rule end it with a message."""
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


def jobset_failure_policy(job: TrainingJob) -> dict[str, Any]:
    """Return the JobSet's failurePolicy.

    All rules of a podFailurePolicy fail the Job with the same reason, so only the Job's message contains the
    exit code. JobSet matches messages from 0.10 on. Older releases restart after 42 and maintenance as well,
    but count these restarts.
    """
    policy: dict[str, Any] = {"maxRestarts": job.max_restarts}
    if job.jobset_at_least(0, 7):
        policy["restartStrategy"] = "BlockingRecreate"  # no new pod starts while an old one is left
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
    return policy | ({"rules": rules} if rules else {})


def _rule(name: str, action: str, pattern: str = "", reason: str = "PodFailurePolicy") -> dict[str, Any]:
    rule: dict[str, Any] = {"name": name, "action": action, "onJobFailureReasons": [reason]}
    return rule | ({"onJobFailureMessagePatterns": [pattern]} if pattern else {})
