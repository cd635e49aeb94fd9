"""The failure policies of Job and JobSet, which decide from a pod's exit code what happens next.

contract.json lists the exit codes of the trainer, --exit-codes those of another program. A restart after
maintenance or an eviction does not count. Neither does a pod that its node rejects, as a host does whose
devices are not back from a repair: Job makes a new one after a pause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launcher import contract
from launcher.rendering import code
from launcher.rendering.container import NAME
from launcher.request import exit_codes

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob


# Job replaces a pod after 10 s, and doubles the pause each time. 10 + 20 + 40 + 80 s are over before the
# other hosts give up joining (train.join_seconds, 300 s); then all hosts start anew.
REPLACEMENTS = 4
OTHER_CODES = {"operator": "NotIn", "values": [0]}  # of any container


def replacements(job: TrainingJob) -> dict[str, int]:
    """Return the Job's limits of replaced pods.

    Only a pod without an exit code and without a disruption is replaced, since every other failed pod ends
    the Job: the hosts left cannot continue without it. The pauses are those of each host, so that a whole
    rejected slice waits too. Job ends when a host has been rejected once more than it was replaced.
    """
    if job.jobset_at_least(0, 10):
        return {"backoffLimitPerIndex": REPLACEMENTS, "maxFailedIndexes": 0}
    return {"backoffLimit": 0}  # without message patterns the end of the Job cannot be told from exit code 44


def pod_failure_policy(job: TrainingJob) -> dict[str, Any]:
    """Return the Job's podFailurePolicy: how a pod ended that ends the Job, with a message.

    Empty where no rule is needed.
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
        rules.append({"action": "FailJob", "onExitCodes": OTHER_CODES})
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
        reason = "MaxFailedIndexesExceeded"
        rules.append(_rule("rejectedByNode", "RestartJobSetAndIgnoreMaxRestarts", reason=reason))
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


def _exit_code_pattern(codes: list[int], container: str = NAME) -> str:
    """Return a regular expression for the message of a Job that failed with one of these exit codes.

    The message names the container: another one's 44, such as a sidecar's, means nothing here.
    """
    alternatives = "|".join(map(str, codes))
    alternatives = alternatives if len(codes) == 1 else f"({alternatives})"
    return rf".*Container {container} for .*exit code {alternatives} .*"


def _rule(name: str, action: str, pattern: str = "", reason: str = "PodFailurePolicy") -> dict[str, Any]:
    rule: dict[str, Any] = {"name": name, "action": action, "onJobFailureReasons": [reason]}
    return rule | ({"onJobFailureMessagePatterns": [pattern]} if pattern else {})
