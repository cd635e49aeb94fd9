"""Run a rendered JobSet on this machine: one process per pod, restarted as its failure policy says."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import socket
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from launcher import contract
from launcher.errors import ActionError
from launcher.local import unpacked
from launcher.local.pods import Pod, expand
from launcher.local.processes import Processes
from launcher.local.restarts import failure_action
from launcher.rendering import container, joining

# A pod that lost a peer can neither go on nor save more than its last checkpoint holds, so it does not get
# the whole grace period. A pod whose peer was preempted does: it may still be writing the shared state.
PEER_SECONDS = 5
FREE_RESTARTS = 100  # limit of restarts that do not count: Kubernetes has none, a loop here needs one
# A step of ResNet-18 frees 100 MB per process and asks for them again. The C library of Linux (glibc) gave
# them back to the kernel each time, which cleared the pages anew. Now a process keeps up to 1 GiB, which it
# can only in its first arena.
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}


class Interrupts:
    """A counter of the SIGINTs and SIGTERMs that arrive during a run."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Count both signals inside the block instead of ending the launcher."""
        before = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, *_: Any) -> None:
        self.count += 1


def run(
    jobset: Mapping[str, Any],
    environ: Mapping[str, str],
    shown: Callable[[str], str] = str,
    code: str = "",
) -> int:
    """Run the JobSet to its end and return the number of restarts.

    Args:
      shown: turns a line that a pod prints into the one to print.
      code: directory of the unpacked code of --code; empty for a run without.

    Raises ActionError where the run fails, exceeds maxRestarts or is interrupted.
    """
    uid, counted, attempt = str(uuid.uuid4()), 0, 0
    pod, exit_code = "", 0
    max_restarts = jobset["spec"]["failurePolicy"]["maxRestarts"]
    interrupts = Interrupts()
    with interrupts.caught():
        while attempt <= max_restarts + FREE_RESTARTS:
            failed = _attempt(jobset, _pods(jobset, uid, attempt, environ, code), environ, interrupts, shown)
            if failed is None:
                return attempt
            pod, exit_code = failed
            action = failure_action(jobset, pod, exit_code)
            counted += action.counted
            if not action.restart:
                raise _hopeless(jobset, pod, exit_code)
            if counted > max_restarts:
                raise _out_of_restarts(jobset, pod, exit_code, attempt)
            attempt += 1
            budget = f"{counted} of {max_restarts} counted" if action.counted else "does not count"
            print(
                f"{pod} ended with exit code {exit_code}: restart {attempt} ({budget})",
                file=sys.stderr,
                flush=True,
            )
    raise ActionError(
        f"the run did not finish within {attempt} restarts",
        f"pod {pod} reports preemption (exit code {exit_code}) again and again",
    )


def _attempt(
    jobset: Mapping[str, Any],
    pods: list[Pod],
    environ: Mapping[str, str],
    interrupts: Interrupts,
    shown: Callable[[str], str],
) -> tuple[str, int] | None:
    """Run all pods once.

    Return None when each of them ended with 0, else (pod, exit code) of the one that decides the attempt.
    """
    pod_spec = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    grace_seconds = pod_spec["terminationGracePeriodSeconds"]
    with Processes(pods, environ, shown) as processes:
        while processes.running:
            exit_codes = processes.wait()
            if interrupts.count:
                _interrupt(processes, grace_seconds, interrupts)
            failed = {pod: code for pod, code in exit_codes.items() if code}
            if failed:
                actions = [failure_action(jobset, pod, code) for pod, code in failed.items()]
                preempted = any(action.restart and not action.counted for action in actions)
                failed |= processes.stop(
                    grace_seconds if preempted else PEER_SECONDS, lambda: interrupts.count > 0
                )
                if interrupts.count:
                    raise _interrupted()
                # The first pod to end decides, unless another one reports that no restart can help.
                hopeless = [p for p, code in failed.items() if not failure_action(jobset, p, code).restart]
                pod = next(iter([*hopeless, *failed]))
                return pod, failed[pod]
    return None


def _interrupt(processes: Processes, grace_seconds: int, interrupts: Interrupts) -> None:
    """Stop all pods with time to save, then raise ActionError; a second signal kills them at once."""
    print(
        f"stopping: the pods have {grace_seconds} s to save; interrupt again to kill them",
        file=sys.stderr,
        flush=True,
    )
    count = interrupts.count
    processes.stop(grace_seconds, lambda: interrupts.count > count)
    raise _interrupted()


def _interrupted() -> ActionError:
    return ActionError("interrupted", "the same command resumes from the last checkpoint")


def _hopeless(jobset: Mapping[str, Any], pod: str, exit_code: int) -> ActionError:
    return ActionError(
        f"{jobset['metadata']['name']} failed: pod {pod} ended with exit code {exit_code}, "
        "which no restart can fix",
        "its last lines above give the reason",
    )


def _out_of_restarts(jobset: Mapping[str, Any], pod: str, exit_code: int, restarts: int) -> ActionError:
    return ActionError(
        f"{jobset['metadata']['name']} failed: pod {pod} ended with exit code {exit_code} "
        f"and no restart is left after {restarts}",
        "--max-restarts N allows more",
    )


def _pods(
    jobset: Mapping[str, Any], uid: str, attempt: int, environ: Mapping[str, str], code: str
) -> list[Pod]:
    """Return the pods of one attempt, adapted to this machine: its Python, its loopback interface."""
    # In a pod, HOME is an emptyDir. Here the same path would be the shared /tmp, without the user's keys.
    coordinator = f"127.0.0.1:{_free_port()}"
    machine = {"HOME": environ.get("HOME"), contract.variable("coordinator"): coordinator}
    if joining.joins(jobset):
        machine |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    pods = expand(jobset, uid, attempt, environ, machine)
    pods = [_here(pod, environ, coordinator) for pod in pods]
    return [unpacked.adapted(pod, code, environ) for pod in pods] if code else pods


def _here(pod: Pod, environ: Mapping[str, str], coordinator: str) -> Pod:
    """Return a pod for this machine.

    The trainer gets this Python, and -P: no module of the current directory takes the place of an installed
    one. Any other program is found as a shell finds it, and imports its neighbours. Where the path has no
    `python`, as on Debian, this one is used.
    """
    if pod.command[: len(container.PROGRAM)] == container.PROGRAM:
        allocator = {name: value for name, value in ALLOCATOR.items() if name not in environ}
        command = [sys.executable, "-P", *pod.command[1:]]
        return dataclasses.replace(pod, command=command, env=allocator | pod.env)
    env = dict(pod.env)
    if joining.ADDRESS in env:
        env["JAX_COORDINATOR_BIND_ADDRESS"] = coordinator  # nothing listens on the network
    path = env.get("PATH", environ.get("PATH", os.defpath))
    if shutil.which("python", path=path) is None:
        env["PATH"] = f"{path}{os.pathsep}{os.path.dirname(sys.executable)}"
    return dataclasses.replace(pod, env=env)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
