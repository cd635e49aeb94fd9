"""The failure policies of Job and JobSet, which decide from a pod's exit code what happens next.

contract.json lists the exit codes of the trainer, --exit-codes those of another program. A restart after
maintenance or an eviction does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launcher import contract
from launcher.rendering import code
from launcher.rendering.container import NAME
from launcher.request import exit_codes

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob


def pod_failure_policy(job: TrainingJob) -> dict[str, Any]:
    """Return the Job's podFailurePolicy: exit codes that need their own rule end it with a message.

    Empty where no exit code does.
    """
    codes = hopeless_codes(job)
    if job.jobset_at_least(0, 10):
        codes = sorted([*preempted_codes(job), *codes])
    rules = [_exit_rule(NAME, codes)] if codes else []
    if job.code:  # what its init container cannot unpack, a restart cannot either
        rules.insert(0, _exit_rule(code.NAME, contract.codes("fail at once")))
    if job.jobset_at_least(0, 10):
        rules.append(
            {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
        )
    return {"rules": rules} if rules else {}


def _exit_rule(container: str, codes: list[int]) -> dict[str, Any]:
    exits = {"containerName": container, "operator": "In", "values": codes}
    return {"action": "FailJob", "onExitCodes": exits}


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
    if job.code and job.jobset_at_least(0, 6):
        pattern = _exit_code_pattern(contract.codes("fail at once"), code.NAME)
        rules.append(_rule("codeNotUnpacked", "FailJobSet", pattern if job.jobset_at_least(0, 10) else ""))
    if job.jobset_at_least(0, 10):
        if hopeless := hopeless_codes(job):
            rules.append(_rule("cannotSucceed", "FailJobSet", _exit_code_pattern(hopeless)))
        if preempted := preempted_codes(job):
            pattern = _exit_code_pattern(preempted)
            rules.append(_rule("preemptedAndSaved", "RestartJobSetAndIgnoreMaxRestarts", pattern))
        rules.append(_rule("disrupted", "RestartJobSetAndIgnoreMaxRestarts", r".*DisruptionTarget.*"))
    elif job.jobset_at_least(0, 6) and hopeless_codes(job):
        rules.append(_rule("cannotSucceed", "FailJobSet"))
    if job.deadline and job.jobset_at_least(0, 6):
        rules.append(_rule("outOfTime", "FailJobSet", reason="DeadlineExceeded"))
    return policy | ({"rules": rules} if rules else {})


def preempted_codes(job: TrainingJob) -> list[int]:
    """Return the exit codes after which the run restarts for free: preempted, state saved."""
    return exit_codes.codes(job.exit_codes, "restart, not counted")


def hopeless_codes(job: TrainingJob) -> list[int]:
    """Return the exit codes after which the run fails at once, because no restart can help."""
    return exit_codes.codes(job.exit_codes, "fail at once")


def _exit_code_pattern(codes: list[int], container: str = "") -> str:
    """Return a regular expression for the message of a Job that failed with one of these exit codes.

    Args:
      container: the container that ended with it; empty for any.
    """
    alternatives = "|".join(map(str, codes))
    begin = f".*Container {container} for " if container else ""
    return rf"{begin}.*exit code {alternatives if len(codes) == 1 else f'({alternatives})'} .*"


def _rule(name: str, action: str, pattern: str = "", reason: str = "PodFailurePolicy") -> dict[str, Any]:
    rule: dict[str, Any] = {"name": name, "action": action, "onJobFailureReasons": [reason]}
    return rule | ({"onJobFailureMessagePatterns": [pattern]} if pattern else {})
