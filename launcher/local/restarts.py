"""How Job and JobSet react to a failed pod, read from the failure policies of a rendered JobSet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from launcher.rendering.container import NAME


@dataclass(frozen=True)
class FailureAction:
    """Whether a run restarts, whether the restart counts, and the Job's message that led to it."""

    restart: bool
    counted: bool
    message: str


def failure_action(jobset: Mapping[str, Any], pod: str, exit_code: int) -> FailureAction:
    """Return the JobSet's action after a pod's container ended with an exit code other than 0.

    `pod` is the pod's name within the run, such as `slice-0-1`.
    """
    reason, message = _job_failure(jobset, pod, exit_code)
    for rule in jobset["spec"]["failurePolicy"].get("rules", []):
        if _matches(rule, reason, message):
            action = rule["action"]
            return FailureAction(action != "FailJobSet", action == "RestartJobSet", message)
    return FailureAction(True, True, message)  # JobSet's default: RestartJobSet


def _job_failure(jobset: Mapping[str, Any], pod: str, exit_code: int) -> tuple[str, str]:
    """Return (reason, message) of the failed Job's condition, as the Job controller writes them."""
    job = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
    for index, rule in enumerate(job.get("podFailurePolicy", {}).get("rules", [])):
        on_exit = rule.get("onExitCodes")
        if (
            on_exit
            and on_exit.get("containerName", NAME) == NAME
            and (exit_code in on_exit["values"]) == (on_exit["operator"] == "In")
        ):
            path = f"{jobset['metadata'].get('namespace', 'default')}/{jobset['metadata']['name']}-{pod}"
            return "PodFailurePolicy", (
                f"Container {NAME} for pod {path} failed with exit code {exit_code} "
                f"matching {rule['action']} rule at index {index}"
            )
    return "BackoffLimitExceeded", "Job has reached the specified backoff limit"


def _matches(rule: Mapping[str, Any], reason: str, message: str) -> bool:
    reasons, patterns = rule.get("onJobFailureReasons"), rule.get("onJobFailureMessagePatterns")
    return (not reasons or reason in reasons) and (
        not patterns or any(re.search(pattern, message) for pattern in patterns)
    )
