"""What Job and JobSet make of a failed pod, read from the failure policies of a rendered JobSet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """Whether the run restarts and whether that counts, and the Job's words for why."""

    restart: bool
    counted: bool
    message: str


def of_exit(jobset: Mapping[str, Any], pod: str, code: int) -> Verdict:
    """The verdict on a pod of the run whose container ended with a code other than 0."""
    reason, message = _job_failure(jobset, pod, code)
    for rule in jobset["spec"]["failurePolicy"].get("rules", []):
        if _applies(rule, reason, message):
            action = rule["action"]
            return Verdict(action != "FailJobSet", action == "RestartJobSet", message)
    return Verdict(True, True, message)  # JobSet's default: RestartJobSet


def _job_failure(jobset: Mapping[str, Any], pod: str, code: int) -> tuple[str, str]:
    """Reason and message of the failed Job's condition."""
    job = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
    for index, rule in enumerate(job["podFailurePolicy"]["rules"]):
        wanted = rule.get("onExitCodes")
        if wanted and (code in wanted["values"]) == (wanted["operator"] == "In"):
            where = f"{jobset['metadata'].get('namespace', 'default')}/{jobset['metadata']['name']}-{pod}"
            return "PodFailurePolicy", (
                f"Container {wanted['containerName']} for pod {where} failed with exit code {code} "
                f"matching {rule['action']} rule at index {index}"
            )
    return "BackoffLimitExceeded", "Job has reached the specified backoff limit"


def _applies(rule: Mapping[str, Any], reason: str, message: str) -> bool:
    reasons, patterns = rule.get("onJobFailureReasons"), rule.get("onJobFailureMessagePatterns")
    return (not reasons or reason in reasons) and (
        not patterns or any(re.search(pattern, message) for pattern in patterns)
    )
