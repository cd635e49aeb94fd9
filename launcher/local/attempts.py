"""Runs a rendered JobSet as processes of this machine: one a pod, restarted as its failure policy says."""

from __future__ import annotations

import signal
import socket
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from launcher.errors import ActionError
from launcher.local import restarts as verdict
from launcher.local.pods import Pod, expand
from launcher.local.processes import Processes
from launcher.rendering import failure_policy

# A pod that lost a peer cannot go on and has nothing to save that its last checkpoint does not hold, so it
# is not given the whole grace period; one whose peer was preempted may still be writing the common state.
PEER_SECONDS = 5
FREE_RESTARTS = 100  # restarts that do not count; Kubernetes has no bound, a loop here has


class Interrupts:
    """SIGINT and SIGTERM while a run goes on: how many have come."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Counts both signals inside the block instead of ending the launcher."""
        before = {number: signal.signal(number, self._on) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on(self, *_: Any) -> None:
        self.count += 1


def run(jobset: Mapping[str, Any], environ: Mapping[str, str]) -> int:
    """Runs the JobSet to its end and gives the number of restarts it took.

    Raises ActionError where the run fails, runs out of restarts or is interrupted.
    """
    uid, counted, attempt = str(uuid.uuid4()), 0, 0
    most = jobset["spec"]["failurePolicy"]["maxRestarts"]
    interrupts = Interrupts()
    with interrupts.caught():
        while attempt <= most + FREE_RESTARTS:
            failed = _attempt(jobset, _pods(jobset, uid, attempt, environ), environ, interrupts)
            if failed is None:
                return attempt
            pod, code = failed
            found = verdict.of_exit(jobset, pod, code)
            counted += found.counted
            if not found.restart or counted > most:
                raise ActionError(*_failure(jobset, pod, code, attempt, out=found.restart))
            attempt += 1
            budget = f"{counted} of {most} counted" if found.counted else "does not count"
            print(f"{pod} ended with {code}: restart {attempt} ({budget})", file=sys.stderr, flush=True)
    raise ActionError(
        f"the run restarted {attempt} times without an end", "a pod keeps reporting preemption (42)"
    )


def _attempt(
    jobset: Mapping[str, Any], pods: list[Pod], environ: Mapping[str, str], interrupts: Interrupts
) -> tuple[str, int] | None:
    """Runs all pods once: None when each ended with 0, else the first that did not, and its code."""
    pod_spec = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    grace = pod_spec["terminationGracePeriodSeconds"]
    with Processes(pods, environ) as processes:
        while processes.running:
            ended = processes.wait()
            if interrupts.count:
                _interrupt(processes, grace, interrupts)
            failed = {pod: code for pod, code in ended.items() if code}
            if failed:
                saved = failure_policy.PREEMPTED in failed.values()
                failed |= processes.stop(grace if saved else PEER_SECONDS, lambda: interrupts.count > 0)
                if interrupts.count:
                    raise _interrupted()
                # The first to end decides, unless another knows that no restart can mend it.
                hopeless = [pod for pod, code in failed.items() if code == failure_policy.HOPELESS]
                pod = next(iter([*hopeless, *failed]))
                return pod, failed[pod]
    return None


def _interrupt(processes: Processes, grace_seconds: int, interrupts: Interrupts) -> None:
    """Tells all pods to save and end, waits for them, and gives up the run; a second signal kills at once."""
    print(f"stopping: up to {grace_seconds} s to save; again to kill at once", file=sys.stderr, flush=True)
    seen = interrupts.count
    processes.stop(grace_seconds, lambda: interrupts.count > seen)
    raise _interrupted()


def _interrupted() -> ActionError:
    return ActionError("interrupted", "the same command resumes from the last checkpoint")


def _failure(jobset: Mapping[str, Any], pod: str, code: int, restarts: int, *, out: bool) -> tuple[str, str]:
    name = jobset["metadata"]["name"]
    why = f"pod {pod} ended with {code}"
    if out:
        return (
            f"{name} failed: {why} and no restart is left after {restarts}",
            "--max-restarts N gives it more",
        )
    return f"{name} failed: {why}, which no restart can mend", "the reason is in its last lines above"


def _pods(jobset: Mapping[str, Any], uid: str, attempt: int, environ: Mapping[str, str]) -> list[Pod]:
    """The pods of one attempt, as they can run here: this interpreter, the coordinator on loopback."""
    port = _free_port()
    found = []
    for pod in expand(jobset, uid, attempt, environ):
        # The pod's HOME is an emptyDir of its own; here it would be everyone's /tmp, without the user's keys.
        env = {name: value for name, value in pod.env.items() if name != "HOME"}
        if "RESNET_COORDINATOR" in env:
            env["RESNET_COORDINATOR"] = f"127.0.0.1:{port}"
        words = [sys.executable, *pod.command[1:]] if pod.command[0] == "python" else pod.command
        found.append(Pod(pod.name, words, env))
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
