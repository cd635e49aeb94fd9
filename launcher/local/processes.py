"""Pods as processes: started together, their lines prefixed, stopped as the kubelet stops them."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

from launcher.errors import ActionError
from launcher.local.pods import Pod

POLL_SECONDS = 0.1  # how soon an exit or a signal is seen
LONGEST_LINE_BYTES = 1 << 20  # printed in parts beyond that


class Processes:
    """The running pods of one attempt.

    Each has a session of its own, so that Ctrl-C in a terminal reaches the launcher alone, which then tells
    all of them; on Linux each dies with the launcher, even when that is killed.
    """

    def __init__(self, pods: list[Pod], environ: Mapping[str, str]) -> None:
        self._selector = selectors.DefaultSelector()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for pod in pods:
                self._start(pod, environ)
        except OSError as error:
            self.stop(0)
            raise ActionError(f"cannot start {pods[0].command[0]}: {error.strerror}") from None

    def _start(self, pod: Pod, environ: Mapping[str, str]) -> None:
        process = subprocess.Popen(
            pod.command,
            env={**environ, **pod.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_die_with_parent() if sys.platform == "linux" else None,
        )
        self._running[pod.name] = process
        for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
            assert source is not None
            os.set_blocking(source.fileno(), False)
            self._selector.register(source, selectors.EVENT_READ, _Lines(pod.name, source, target))

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(0)  # whatever went wrong here, no pod outlives it
        self._selector.close()

    @property
    def running(self) -> list[str]:
        """Names of the pods that have not ended."""
        return list(self._running)

    def wait(self, seconds: float = POLL_SECONDS) -> dict[str, int]:
        """Passes lines on for at most so long; gives the exit codes of ended pods, 128 + n for signal n."""
        for key, _ in self._selector.select(seconds):
            if not key.data.copy():
                key.data.flush()
                self._selector.unregister(key.fileobj)
        ended = {name: code for name, p in self._running.items() if (code := p.poll()) is not None}
        for name in ended:
            process = self._running.pop(name)
            _signal_group(process, signal.SIGKILL)  # a container's end takes its other processes along
            self._finish(process)
        return {name: code if code >= 0 else 128 - code for name, code in ended.items()}

    def stop(self, grace_seconds: float, hurry: Callable[[], bool] = bool) -> dict[str, int]:
        """SIGTERM, so many seconds to save unless `hurry` says stop, then SIGKILL. Gives the exit codes."""
        for process in self._running.values():
            process.terminate()
        ended: dict[str, int] = {}
        deadline = time.monotonic() + grace_seconds
        while self._running and time.monotonic() < deadline and not hurry():
            ended |= self.wait()
        for process in self._running.values():
            _signal_group(process, signal.SIGKILL)
            process.wait()
        return ended | self.wait(0)

    def _finish(self, process: subprocess.Popen[bytes]) -> None:
        """Passes on what a pod that has ended left in its pipes."""
        for source in (process.stdout, process.stderr):
            assert source is not None
            key = self._selector.get_map().get(source)
            if key:
                self._selector.unregister(source)
                while key.data.copy():
                    pass
                key.data.flush()
            source.close()


class _Lines:
    """One pipe of one pod, copied line by line with the pod's name in front."""

    def __init__(self, pod: str, source: IO[bytes], target: Any) -> None:
        self._prefix, self._source, self._target = f"{pod} | ".encode(), source, target.buffer
        self._rest = b""

    def copy(self) -> bool:
        """Copies what can be read now; False when there is nothing or the pipe is closed."""
        data = self._source.read(1 << 16)
        *lines, self._rest = (self._rest + (data or b"")).split(b"\n")
        if len(self._rest) > LONGEST_LINE_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        self._write(lines)
        return bool(data)

    def flush(self) -> None:
        """Copies a last line that has no end."""
        self._write([self._rest] if self._rest else [])

    def _write(self, lines: list[bytes]) -> None:
        if lines:
            self._target.write(b"".join(self._prefix + line + b"\n" for line in lines))
            self._target.flush()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _die_with_parent() -> Any:
    """For preexec_fn: the kernel kills the child when the launcher dies."""
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG
